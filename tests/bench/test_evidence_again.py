"""Studies judged again, the change at the start, and what may be quoted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.evidence.__main__ import quotations
from bench.evidence.again import judge_again, judged, read_cells_csv
from bench.evidence.change import (
    change_table,
    draw_change,
    measured,
    pairs_of,
    read_changes,
    starts_table,
)
from bench.evidence.languages import ENGLISH
from bench.evidence.literature import between, rank_correlation
from bench.evidence.studies import FOLDER, Study, read_studies, table_rows
from utils.errors import UserError
from utils.files import ROOT
from utils.yaml_file import load_yaml

LISTED = list(load_yaml(FOLDER / "studies.yaml"))


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return read_studies()


@pytest.mark.parametrize("name", LISTED)
def test_the_tables_are_those_of_the_present_statistics(name: str, tmp_path: Path) -> None:
    """Run python -m bench.evidence.again, and then bench.evidence, after a change of statistics."""
    folder = shutil.copytree(FOLDER / name, tmp_path / name)
    assert not judge_again(folder)
    before, after = (
        (place / "report.html").read_text(encoding="utf-8") for place in (FOLDER / name, folder)
    )
    assert [line for line in before.splitlines() if line.startswith("<h2>")] == [
        line for line in after.splitlines() if line.startswith("<h2>")
    ]


def test_other_scores_lead_to_other_verdicts(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER / "bccd30", tmp_path / "bccd30")
    cells = (folder / "cells.csv").read_text(encoding="utf-8").splitlines()
    raised = []
    for line in cells:
        parts = line.split(",")
        if parts[0] == "NAM@neck":
            parts[4] = str(float(parts[4]) + 0.3)
        raised.append(",".join(parts))
    (folder / "cells.csv").write_text("\n".join(raised) + "\n", encoding="utf-8")
    assert judge_again(folder)
    row = table_rows((folder / "table.md").read_text(encoding="utf-8"))[1]
    assert (row["arm"], row["verdict"]) == ("NAM@neck", "helps")
    assert row["epochs to plain"] == "30"  # what the runs do not tell is kept
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<li class="helps"><b>NAM@neck</b> helps: +29' in page
    assert "Learning curves" in page
    assert page.count("<h2>Verdicts</h2>") == page.count("<script>") == 1


def test_a_study_with_looks_is_not_judged_again(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER / "bccd30", tmp_path / "bccd30")
    page = folder / "report.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<h2>Settings</h2>", "<h2>Settings</h2><td>--looks</td>"))
    with pytest.raises(UserError, match="was judged at looks"):
        judge_again(folder)


def test_controls_are_judged_by_themselves() -> None:
    rows = table_rows((FOLDER / "bccd30" / "table.md").read_text(encoding="utf-8"))
    study = judged(read_cells_csv(FOLDER / "bccd30" / "cells.csv"), rows)
    found = {verdict.arm: verdict for verdict in study.verdicts}
    assert "a control" in found["A/A"].note
    assert study.costs["GAM@neck"].parameters == 3_920_616


def test_changes_are_known_for_the_main_studies(studies: list[Study]) -> None:
    changes = read_changes()
    shown = measured(studies, changes)
    assert shown
    for study in shown:
        assert len(pairs_of(study, changes)) == len(study.modules)
        assert changes[study.data, "SE"] == pytest.approx(0.5, abs=0.15)  # a gate near one half
        assert changes[study.data, "DoubleAttention"] == 0  # its last layer begins at zero


def test_the_table_of_changes_has_means_of_groups(studies: list[Study], tmp_path: Path) -> None:
    (study,) = [one for one in studies if one.name == "bccd30"]
    main = Study(**{**vars(study), "is_main": True})
    names = ("NAM", "SimAM", "DoubleAttention", "GAM", "CBAM", "CoordAttention")
    values = zip(names, (0, 0, 0.2, 0.4, 1, 2), strict=True)
    changes = {("bccd", name): value for name, value in values}
    row = change_table([main], changes, ENGLISH).splitlines()[-1]
    assert row.endswith("| 6 | +0.99 | −0.66 (2) | −0.97 (2) | −2.05 (2) |  |")
    larger = {key: value + 1 for key, value in changes.items()}
    row = change_table([main], larger, ENGLISH).splitlines()[-1]
    assert row.endswith("| +0.99 |  |  | −1.23 (6) | +0.99 |")
    path = draw_change([main], changes, tmp_path / "change.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert read_changes(tmp_path) == {}


def test_the_two_starts_are_compared_over_common_modules(studies: list[Study]) -> None:
    first = studies[0]
    rows = {
        arm: replace(row, difference=-1.0, verdict="no evidence")
        for arm, row in list(first.rows.items())[:5]
    }
    other = replace(first, rows=rows, start="identity")
    modules = [first.modules[name] for name in other.modules]
    row = starts_table([first, other]).splitlines()[-1]
    assert row.startswith(f"| bccd | {len(modules)} |")
    assert row.endswith("| 0 | −1.00 | −1.00 | 0 |")
    assert starts_table([first]) == ""


def test_many_values_are_compared_with_random_orders() -> None:
    values = [float(value) for value in range(20)]
    assert rank_correlation(values, values) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-3))
    rho, p = rank_correlation(values, values[10:] + values[:10])
    assert rho == pytest.approx(-0.504, abs=0.01)
    assert p > 0.97


def test_the_readmes_have_the_counts_of_the_studies(studies: list[Study]) -> None:
    english, chinese = (
        (ROOT / f"README{suffix}.md").read_text(encoding="utf-8") for suffix in ("", ".zh-CN")
    )
    for study in studies:
        if study.is_main:
            modules = study.modules.values()
            hurt = sum(row.verdict == "hurts" for row in modules)
            assert f"{hurt} of {len(modules)}" in english
            assert f"{hurt} 个有害（共 {len(modules)} 个）" in chinese
    most = max(-row.difference for study in studies for row in study.modules.values())
    assert f"by up to {most:.0f} points" in english
    assert f"最多掉 {most:.0f} 个点" in chinese
    assert not any(row.verdict == "helps" for one in studies for row in one.modules.values())


def test_the_order_of_two_studies_is_compared(studies: list[Study]) -> None:
    first = studies[0]
    rows = {arm: replace(row, difference=-row.difference) for arm, row in first.rows.items()}
    turned = replace(first, rows=rows)
    few = replace(first, rows=dict(list(rows.items())[:3]))
    lines = between([first, turned, few], ENGLISH).splitlines()
    assert len(lines) == 3
    assert lines[-1].endswith(f"| {len(first.modules)} | −1.00 | 1.000 |")


def test_what_is_quoted_of_a_module_is_of_all_studies(studies: list[Study]) -> None:
    said = quotations(["CA"], studies)
    assert len(said) == sum("CoordAttention" in study.modules for study in studies)
    assert all(text.startswith("CoordAttention in the neck of yolov5n") for text in said)
    with pytest.raises(UserError, match="--quote Nothing: no such module"):
        quotations(["Nothing"], studies)
