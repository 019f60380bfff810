"""The report's tables: their words and numbers, and how each format wants them."""

from __future__ import annotations

import csv
import dataclasses
import re

import pytest

from ablation.report.summary import make_lines
from ablation.report.tables import cells_csv, latex, markdown, overview, sentence, signed
from ablation.study import StudyResult
from tests.ablation.fake import make_study


@pytest.fixture(scope="module")
def mixed() -> StudyResult:
    effects = {"SimAM@neck": 0.0, "CBAM@neck": 0.012, "GAM:rate=8@backbone.P5": -0.02}
    return make_study(effects, failed={"CBAM@neck seed 4": "out of memory <3 GiB>"})


@pytest.mark.parametrize(("effects", "seeds", "said"), [
    ({f"M{number}@neck": 0.0 for number in range(3)}, 5, "Of 3 arms 3 show no evidence either way."),
    ({"SimAM@neck": 0.02}, 2, "The arm has too few seeds for a verdict."),
    ({"SimAM@neck": 0.02}, 5, "The arm helps."),
    ({"SimAM@neck": -0.02, "SE@neck": -0.02}, 5, "Of 2 arms 2 hurt."),
    ({}, 5, "Only the plain graph was tried, under other seeds: none of 1 such controls stands out."),
])  # fmt: skip
def test_overview(effects: dict[str, float], seeds: int, said: str) -> None:
    assert overview(make_lines(make_study(effects, seeds)), 0) == said


def test_a_control_that_helps_is_a_warning(mixed: StudyResult) -> None:
    lines = make_lines(mixed)
    (line,) = [line for line in lines if line.name == "A/A"]
    assert line.verdict is not None
    wrong = dataclasses.replace(line, verdict=dataclasses.replace(line.verdict, verdict="helps"))
    assert (
        "chance in one study of twenty, else the other verdicts deserve as little trust"
        in sentence(wrong, 0.005)
    )


def test_failed_cells_are_told_with_their_arm(mixed: StudyResult) -> None:
    said = {line.name: sentence(line, 0.005) for line in make_lines(mixed)}
    assert [name for name, text in said.items() if "(1 cell failed)" in text] == ["CBAM@neck"]
    lost = make_study(
        {"SE@neck": 0.0},
        failed={f"SE@neck seed {seed}": "no memory" for seed in range(5)},
        verdicts=(),
    )
    line = next(line for line in make_lines(lost) if line.name == "SE@neck")
    assert sentence(line, 0.005) == "has no verdict: no cell could be compared (5 cells failed)"


def test_one_seed_promises_a_verdict_and_no_power() -> None:
    line = make_lines(make_study({"SimAM@neck": 0.02}, seeds=1))[1]
    said = sentence(line, 0.005)
    assert "points over 1 seed, at" in said
    assert said.endswith("2 more seeds are the least for a verdict")


def test_more_seeds_than_were_looked_for_are_no_promise(mixed: StudyResult) -> None:
    line = next(
        line for line in make_lines(mixed) if line.verdict and line.verdict.verdict == "no evidence"
    )
    assert line.verdict is not None
    noisy = dataclasses.replace(line.verdict, further_seeds=200 - line.verdict.seeds)
    said = sentence(dataclasses.replace(line, name="SE@neck", verdict=noisy), 0.005)
    assert said.endswith("to show a difference of 0.5 takes more than 200 seeds")


def test_markdown_and_latex_are_escaped() -> None:
    lines = make_lines(
        make_study({"<script>alert(1)</script>@neck": 0.02, 'x $y^2$ & _{a}%@"neck"': 0.0})
    )
    assert r"&lt;script&gt;alert\(1\)&lt;/script&gt;@neck" in markdown(lines)
    assert all(row.count(" | ") == markdown(lines).splitlines()[0].count(" | ")
               for row in markdown(lines).splitlines()[2:])  # fmt: skip
    text = latex(lines)
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


@pytest.mark.parametrize(("value", "form", "text"), [
    (-0.004, "+.2f", "0.00"), (0.0, "+.1f", "0.0"), (-1.25, "+.2f", "−1.25"), (12345, ",d", "12,345"), (0, "d", "0")
])  # fmt: skip
def test_numbers(value: float, form: str, text: str) -> None:
    assert signed(value, form) == text
