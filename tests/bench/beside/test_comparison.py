"""Ratios above 1 say that this project is better, whatever was measured; tables keep old rows."""

from __future__ import annotations

import json
import math

import pytest

from bench.beside.comparison import (
    RATE,
    Comparison,
    comparison_table,
    merge,
    number,
    read_comparisons,
    write_comparisons,
)


def made(unit=RATE, kind="bf16", what="train", ours=(20.0, 30.0, 22.0), theirs=(10.0, 10.0, 11.0)):
    commands = ["python train.py", "python -m yolov5.train"]
    quantity = "throughput"
    return Comparison(what, "float32", quantity, unit, "YOLOv5", kind, [*ours], [*theirs], commands)


def test_a_rate_shall_be_high_and_seconds_shall_be_low():
    assert made().ratio == pytest.approx(2.2)
    assert made().ratios == pytest.approx([2, 3, 2])
    assert made(unit="s").ratio == pytest.approx(1 / 2.2)
    assert made(unit="MB", ours=[1.0], theirs=[3.0]).ratio == 3
    assert math.isnan(made(theirs=[0.0, 0.0, 0.0]).ratio)


def test_a_cell_has_medians_and_the_range_of_the_turns():
    assert made().cell == "22.0 / 10.0 = **2.20** (2.00 to 3.00)"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.1234, "0.123"), (1.5, "1.5"), (12.34, "12.3"), (1234.5, "1,234")]
)
def test_numbers(value, shown):
    assert number(value) == shown


def test_a_table_has_a_column_for_each_kind_of_processor():
    rows = comparison_table([made(), made(kind="AVX2", ours=[9.0] * 3), made(what="val")])
    header, _, train, val = rows.splitlines()
    assert header.endswith("| quantity | bf16 | AVX2 |")
    assert train.count("**") == 4
    assert "**0.90**" in train
    assert val.endswith("|  |")  # not measured on that kind


def test_what_is_measured_again_replaces_the_old_row():
    old = [made(), made(what="val"), made(kind="AVX2")]
    new = made(ours=[40.0, 40.0, 40.0])
    assert merge(old, [new, made(what="scan")]) == [new, *old[1:], made(what="scan")]


def test_a_file_holds_all_that_is_needed_to_go_on(tmp_path):
    path = tmp_path / "table.json"
    assert read_comparisons(path) == []
    rows = [made(), made(unit="s")]
    write_comparisons(path, "Some processor\nall threads", rows)
    assert read_comparisons(path) == rows
    content = json.loads(path.read_text())
    assert content["header"] == ["Some processor", "all threads"]
    assert content["comparisons"][0]["ratio"] == pytest.approx(2.2)
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("Some processor")
    assert text.count("    python train.py") == 1  # each command once
