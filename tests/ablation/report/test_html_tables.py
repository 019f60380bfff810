"""Tables of the page: what is shown, and what the script sorts by."""

from __future__ import annotations

import math

import pytest

from ablation.report.html_tables import listed, main_table, part_entry, part_table, sort_key
from ablation.report.summary import Difference, by_size, make_lines
from tests.ablation.fake import make_study


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (None, ""),
        (math.nan, ""),
        ("SimAM", "SimAM"),
        (math.inf, "1e999"),
        (-math.inf, "-1e999"),
        (1 / 3, "0.3333333333"),
        (12, "12"),
    ],
)
def test_sort_key(value: float | str | None, key: str) -> None:
    assert sort_key(value) == key


def test_names_are_escaped_and_every_arm_has_a_row() -> None:
    study = make_study({"<b>@neck": 0.02, "SimAM@neck": 0.0})
    page = main_table(make_lines(study))
    assert "<b>@neck" not in page
    assert "&lt;b&gt;@neck" in page
    assert page.count("<tr") == 1 + len(make_lines(study))


def test_a_difference_is_shown_in_points_with_its_error() -> None:
    entry = part_entry(Difference(0.0123, 0.004, 5))
    assert entry.text == "+1.2 ± 0.4"
    assert float(entry.value) == pytest.approx(1.23)
    assert part_entry(None).text == ""


def test_a_table_by_size_has_a_column_for_each_size_or_is_left_out() -> None:
    study = make_study({"SimAM@neck": 0.01})
    page = part_table(study, make_lines(study), by_size)
    assert "SimAM@neck" in page
    assert ">small<" in page
    assert page.count("<tr") == 3  # heading, SimAM, A/A
    assert part_table(study, [], by_size) == ""


def test_empty_values_are_not_listed() -> None:
    assert listed({"commit": ""}) == ""
    assert listed({"commit": "abc", "device": ""}).count("<tr") == 2
