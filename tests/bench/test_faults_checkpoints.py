"""The campaign on checkpoints: its files are what they claim, and what it counts is true."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
import torch

from bench.faults.checkpoints import (
    DAMAGES,
    fingerprint,
    honest_files,
    judge_call,
    main,
    try_damaged,
    use_forged,
)
from bench.faults.forged import payloads, placed
from bench.faults.forged_files import forged_files, small_checkpoint, written
from bench.faults.forged_rows import rows_of_unknown_classes
from bench.faults.measured import MeasuredCall
from utils.errors import UserError


def test_each_value_is_put_into_places_of_both_formats() -> None:
    constructions = {(construction, label) for construction, label, _ in payloads("canary")}
    places = {place for place, _ in placed(b"N")}
    assert len(constructions) >= 70
    assert len(places) >= 12
    assert {place.split()[0] for place in places} == {"own", "foreign"}


@pytest.mark.slow
def test_there_are_many_distinct_files_of_many_constructions() -> None:
    digests, constructions = set(), set()
    for file in forged_files("canary"):
        digests.add(hash(file.content))
        constructions.add((file.construction, file.label.partition(",")[0]))
    assert len(digests) >= 300
    assert len(constructions) >= 40
    assert any(b"touch canary" in code for _, _, code in payloads("canary"))


@pytest.mark.slow
def test_rows_of_unknown_classes_are_read_until_too_many_were_tried(tmp_path: Path) -> None:
    label, content = next(rows_of_unknown_classes())
    (tmp_path / "forged.pt").write_bytes(content)
    with pytest.raises(UserError, match="too many modules that no name tells"):
        use_forged(tmp_path / "forged.pt")
    assert label == "attention"


def test_honest_files_are_read_and_each_damage_changes_them(tmp_path: Path) -> None:
    for name, content in honest_files().items():
        path = tmp_path / name
        path.write_bytes(content)
        assert fingerprint(path) == fingerprint(path)
        assert use_forged(path) == ("for a run" if name == "last.pt" else "as weights")
        for damage in DAMAGES:
            data = bytearray(content)
            damage(data, random.Random(1))
            assert data != content, damage


def test_an_honest_small_checkpoint_is_what_torch_reads() -> None:
    checkpoint = small_checkpoint()
    content = torch.load(io.BytesIO(written(checkpoint)), weights_only=True)
    assert content["names"] == checkpoint.names == {0: "a", 1: "b"}


@pytest.mark.parametrize(
    ("call", "expected", "columns"),
    [
        (MeasuredCall("refused", "a line", 1, 1), "", ["refused"]),
        (MeasuredCall("refused", "two\nlines", 1, 1), "", ["refused", "more than a line"]),
        (MeasuredCall("read", "x", 6, 1), "x", ["loaded equal", "over 5 s"]),
        (MeasuredCall("read", "y", 1, 301), "x", ["loaded changed", "over 300 MB"]),
        (MeasuredCall("traceback", "…", 1, 1), "", ["tracebacks"]),
        (MeasuredCall("killed", "", 1, 1), "", ["tracebacks"]),
    ],
)
def test_each_end_of_a_call_counts_where_it_belongs(
    call: MeasuredCall, expected: str, columns: list[str]
) -> None:
    assert judge_call(call, expected) == columns


def test_damaged_copies_are_refused_or_equal(tmp_path: Path) -> None:
    content = honest_files()["best.pt"]
    found = try_damaged("best.pt", content, len(DAMAGES), tmp_path)
    assert found["files"] == found["refused"] + found["loaded equal"] == len(DAMAGES)


@pytest.mark.slow
def test_the_campaign_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "60", "--damaged", "28"]) == 0
    assert "canary touched" in capsys.readouterr().out
