"""The report of made-up studies: correct for any result, reproducible, and without anything that
could run.
"""

from __future__ import annotations

import dataclasses
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablation.report import charts, columns, html, tables
from ablation.report.summary import make_lines
from ablation.report.write import FILES, write_report
from ablation.results import StudyResult
from ablation.statistics.verdicts import ArmVerdict
from ablation.study import PLAIN
from tests.ablation.fake import make_study

NASTY = "<script>alert(1)</script>@neck"
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Reader(HTMLParser):
    """The elements of a page as (tag, attributes, text). Asserts that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[list[Any]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append([tag, dict(attrs), ""])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.found:
            self.found[-1][2] += data

    def texts(self, tag: str) -> list[str]:
        return [text for name, _, text in self.found if name == tag]


def render(study: StudyResult) -> str:
    return html.render(study, make_lines(study))


@pytest.fixture(scope="module")
def mixed() -> StudyResult:
    effects = {"SimAM@neck": 0.0, "CBAM@neck": 0.012, "GAM:rate=8@backbone.P5": -0.02}
    return make_study(effects, failed={"CBAM@neck seed 4": "out of memory <3 GiB>"})


@pytest.fixture(scope="module")
def mixed_page(mixed: StudyResult) -> str:
    return render(mixed)


@pytest.fixture(scope="module")
def nasty() -> StudyResult:
    study = make_study(
        {NASTY: 0.02, 'x $y^2$ & _{a}%@"neck"': 0.0},
        causes={NASTY: ["<img src=x onerror=alert(2)>"]},
    )
    cells = [
        dataclasses.replace(
            cell,
            metrics={
                **cell.metrics,
                "classes": [
                    {"class_id": 0, "name": "<b>red</b>", "ap": 0.4},
                    {"class_id": 1, "name": "白", "ap": 0.3},
                ],
            },
        )
        for cell in study.cells
    ]
    config = dataclasses.replace(study.config, data="<i>data</i>.yaml", cfg='a"b.yaml')
    return dataclasses.replace(
        study, cells=cells, config=config, provenance={"command": "x </pre><script>"}
    )


def test_verdicts_come_first_and_say_what_happened(mixed_page: str) -> None:
    page = mixed_page
    assert "Of 3 arms 1 helps, 1 hurts, 1 shows no evidence either way. 1 run failed." in page
    items = re.findall(r'<li class="(\w+)"><b>([^<]+)</b> (\w+)', page)
    assert items == [
        ("helps", "CBAM@neck", "helps"),
        ("none", "SimAM@neck", "shows"),
        ("hurts", "GAM:rate=8@backbone.P5", "hurts"),
        ("none", "A/A", "shows"),
    ]
    assert page.index("<h2>Verdicts") < page.index("<svg") < page.index("<h2>All figures")
    assert "as it should be" in page
    assert "out of memory &lt;3 GiB&gt;" in page
    assert "python ablate.py --seeds 5" in page


def test_many_arms_without_evidence_are_folded_below_the_others() -> None:
    names = [f"SimAM@index.{number}" for number in range(14)]
    page = render(make_study({"CBAM@neck": 0.012, **dict.fromkeys(names, 0.0)}))
    shown, folded = page.split("<details><summary>15 arms without evidence", 1)
    folded = folded.split("</details>", 1)[0]
    assert re.findall(r'<li class="(\w+)"><b>([^<]+)', shown) == [("helps", "CBAM@neck")]
    assert set(re.findall(r'<li class="none"><b>([^<]+)', folded)) == {*names, "A/A"}


def test_a_corrected_difference_is_not_called_a_mean(mixed_page: str) -> None:
    assert "Mean paired difference" not in mixed_page
    assert "corrected for a part of that" in mixed_page
    assert (
        "1\N{NO-BREAK SPACE}CBAM@neck" in mixed_page
    )  # an arm's number stays with it in the legend


def test_a_study_without_finished_runs() -> None:
    study = make_study({"SimAM@neck": 0.0})
    failed = {f"SimAM@neck seed {seed}": "no" for seed in range(5)}
    bare = dataclasses.replace(
        study, cells=[], verdicts=[], noise=None, costs={}, causes={}, failed=failed
    )
    page = render(bare)
    assert "The arm has no result. 5 runs failed." in page
    assert "<svg" not in page
    assert tables.cells_csv(bare).count("failed") == 5


def test_an_arm_without_any_figures(mixed: StudyResult) -> None:
    nothing = ArmVerdict(
        "SimAM@neck", 0, math.nan, math.nan, math.nan, math.nan, math.nan, "no evidence", 3, ""
    )
    verdicts = [nothing if verdict.arm == "SimAM@neck" else verdict for verdict in mixed.verdicts]
    study = dataclasses.replace(mixed, verdicts=verdicts, cells=[], costs={})
    assert "SimAM@neck</b> has no verdict: no run could be compared." in render(study)
    assert make_lines(study)[-1].name == "SimAM@neck"
    assert not re.search(r"\bnan\b", render(study) + tables.markdown_table(make_lines(study)))


def test_the_page_is_complete_and_requests_nothing(mixed_page: str) -> None:
    page, reader = mixed_page, Reader(mixed_page)
    assert reader.open == []
    for tag, attributes, _ in reader.found:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert str(attributes.get(name, "#")).startswith(("#", "data:,")), f"{tag} {name}"
    assert "@import" not in page
    assert set(re.findall(r"url\(([^)]*)", page)) <= set(re.findall(r"url\((#[^)]*)", page))
    assert set(re.findall(r"https?://[\w./]+", page)) <= {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }
    identifiers = [attributes["id"] for _, attributes, _ in reader.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    referred = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert referred
    assert referred <= set(identifiers)


def test_names_are_shown_and_never_run(nasty: StudyResult) -> None:
    page = render(nasty)
    reader = Reader(page)
    assert len(reader.texts("script")) == 1
    assert not reader.texts("img")
    assert not reader.texts("i")
    assert [text for text in reader.texts("b") if "red" in text] == []
    assert NASTY in reader.texts("th")
    assert "<b>red</b>" in reader.texts("th")
    assert [text.strip() for text in reader.texts("pre")] == ["x </pre><script>"]
    assert 'x $y^2$ & _{a}%@"neck"' in reader.texts("th")
    assert any(text.startswith("1  <script>alert(1)") for text in reader.texts("text"))


def test_files_are_the_same_bytes_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        write_report(make_study({"CBAM@neck": 0.012}), tmp_path / folder)
    assert {path.name for path in (tmp_path / "a").iterdir()} == set(FILES)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    shown = capsys.readouterr().out
    assert "CBAM@neck helps: +" in shown
    assert f"Report in {tmp_path / 'a' / 'report.html'}" in shown


def test_forest_shows_intervals_where_they_are(mixed: StudyResult) -> None:
    """The scale of the ticks turns positions back into points."""
    svg = charts.forest(make_lines(mixed), 0.005, is_narrow=False)
    ticks = [
        (float(x), float(text.replace("−", "-")))
        for x, text in re.findall(
            r'text-anchor: middle[^>]* x="([\d.]+)"[^>]*>(−?[\d.]+)</text>', svg
        )
    ]
    (x0, v0), (x1, v1) = ticks[0], ticks[-1]
    drawn = {
        round(v0 + (float(x) - x0) * (v1 - v0) / (x1 - x0), 2)
        for x in re.findall(r"[ML] ([\d.]+) ", svg)
    }
    for verdict in mixed.verdicts:
        for end in (verdict.low, verdict.high):
            assert min(abs(100 * end - value) for value in drawn) < 0.011
    for side in (-0.5, 0.0, 0.5):
        assert min(abs(side - value) for value in drawn) < 0.011
    assert svg.count("var(--band)") == 1
    assert "var(--helps)" in svg
    assert "#0" not in re.sub(r'(?:href="|url\()#[^")]*', "", svg)


def test_epochs_are_whole_numbers() -> None:
    lines = make_lines(make_study({f"SimAM@p{number}": 0.0 for number in range(6)}))
    svg = charts.learning(
        {line.name: np.full((1, 12), 0.4) for line in lines}, lines, is_narrow=False
    )
    epochs = re.findall(r"text-anchor: middle[^>]*>([\d.]+)</text>", svg)
    assert len(epochs) >= 4
    assert all(text.isdecimal() for text in epochs)


def test_charts_of_25_arms() -> None:
    study = make_study({f"Module{number}@neck": 0.0 for number in range(25)})
    lines = make_lines(study)
    svg = charts.forest(lines, 0.005, is_narrow=True)
    assert all(f">{line.number}  {line.name}</text>" in svg for line in lines if line.name != PLAIN)
    faded = [line.number for line in lines if line.is_dominated]
    assert faded
    points = charts.cost_benefit(lines, is_narrow=False)
    assert all(
        f">{line.number}</text>" in points for line in lines if line.name not in (PLAIN, "A/A")
    )


def test_empty_columns_are_not_shown(mixed: StudyResult) -> None:
    bare = make_lines(dataclasses.replace(mixed, costs={}))
    names = [column.name for column in columns.filled(bare)]
    assert "difference" in names
    assert "ms" not in names
    assert charts.cost_benefit(bare, is_narrow=False) == ""
