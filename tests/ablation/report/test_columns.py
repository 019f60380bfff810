"""How the values of the report's columns are written."""

from __future__ import annotations

import dataclasses
import math

import pytest

from ablation.report.columns import REPORT_COLUMNS, show, signed
from ablation.report.summary import make_lines
from tests.ablation.fake import make_study


@pytest.mark.parametrize(("value", "form", "text"), [
    (-0.004, "+.2f", "0.00"), (0.0, "+.1f", "0.0"), (-1.25, "+.2f", "−1.25"), (12345, ",d", "12,345"), (0, "d", "0")
])  # fmt: skip
def test_numbers(value: float, form: str, text: str) -> None:
    assert signed(value, form) == text


@pytest.mark.parametrize(
    ("p", "text"), [(0.5, "0.500"), (0.001, "0.001"), (0.0009, "< 0.001"), (math.nan, "")]
)
def test_p_values(p: float, text: str) -> None:
    line = next(line for line in make_lines(make_study({"SE@neck": 0.0})) if line.name == "SE@neck")
    assert line.verdict is not None
    line = dataclasses.replace(line, verdict=dataclasses.replace(line.verdict, p=p))
    (column,) = [column for column in REPORT_COLUMNS if column.name == "p"]
    assert show(column, line) == text
