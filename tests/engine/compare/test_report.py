"""The files of a comparison, and the page that shows them together."""

from __future__ import annotations

from pathlib import Path

from engine.compare.costs import MeasuredCosts
from engine.compare.groups import group_runs
from engine.compare.paper import PaperStyle
from engine.compare.report import write_comparison
from engine.compare.runs import read_run
from engine.compare.tables import make_tables
from tests.engine.compare.material import write_run


def test_every_table_and_figure_is_written_and_shown(tmp_path: Path) -> None:
    groups = group_runs([read_run(write_run(tmp_path / "a_b", 0.3))])
    tables = make_tables(groups, MeasuredCosts({}, ""))
    (tmp_path / "out").mkdir()
    style = PaperStyle(formats=("svg",))
    paths = write_comparison(tmp_path / "out", groups, tables, ["less <than>"], style)
    names = {path.name for path in paths}
    assert names == {path.name for path in (tmp_path / "out").iterdir()}
    stems = ("scores", "classes", "classes_ap50", "sizes", "errors")
    assert names == {
        *(f"{stem}.{suffix}" for stem in stems for suffix in ("csv", "md", "tex")),
        "pr_curves.svg",
        "learning_curves.svg",
        "error_kinds.svg",
        "compare.md",
    }
    page = (tmp_path / "out" / "compare.md").read_text(encoding="utf-8")
    for words in (r"- a\_b: a\_b, seed 0", "](pr_curves.svg)", "less &lt;than&gt;", "| 30.0 |"):
        assert words in page


def test_without_a_style_no_figure_is_drawn(tmp_path: Path) -> None:
    assert [path.name for path in write_comparison(tmp_path, [], [], [], None)] == ["compare.md"]
