"""The report's tables: their words and numbers, and how each format wants them."""

from __future__ import annotations

import csv
import re

import pytest

from ablation.report.summary import make_lines
from ablation.report.tables import cells_csv, latex_table, markdown_table
from ablation.results import StudyResult
from tests.ablation.fake import make_study


@pytest.fixture(scope="module")
def mixed() -> StudyResult:
    effects = {"SimAM@neck": 0.0, "CBAM@neck": 0.012, "GAM:rate=8@backbone.P5": -0.02}
    return make_study(effects, failed={"CBAM@neck seed 4": "out of memory <3 GiB>"})


def test_markdown_and_latex_are_escaped() -> None:
    lines = make_lines(
        make_study({"<script>alert(1)</script>@neck": 0.02, 'x $y^2$ & _{a}%@"neck"': 0.0})
    )
    assert r"&lt;script&gt;alert\(1\)&lt;/script&gt;@neck" in markdown_table(lines)
    assert all(row.count(" | ") == markdown_table(lines).splitlines()[0].count(" | ")
               for row in markdown_table(lines).splitlines()[2:])  # fmt: skip
    text = latex_table(lines)
    assert r"x \$y\textasciicircum{}2\$ \& \_\{a\}\%@''neck''" in text
    counts = {len(re.findall(r"(?<!\\)&", row)) for row in text.splitlines() if row.endswith(r"\\")}
    assert len(counts) == 1
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")


def test_cells_csv(mixed: StudyResult) -> None:
    rows = list(csv.DictReader(cells_csv(mixed).splitlines()))
    assert len(rows) == 5 * 5 + 1
    first = next(row for row in rows if row["arm"] == "CBAM@neck")
    assert float(first["map"]) == pytest.approx(mixed.cells[15].score)
    assert float(first["train_seconds"]) == pytest.approx(0.032 * 100 * 20)
    assert first["ap_large"] == ""
    assert rows[-1]["state"] == "failed"
    assert (rows[-1]["arm"], rows[-1]["seed"], rows[-1]["reason"]) == (
        "CBAM@neck",
        "4",
        "out of memory <3 GiB>",
    )
    control = next(row for row in rows if row["arm"] == "A/A")
    assert (control["block"], control["seed"]) == ("0", "1000")
