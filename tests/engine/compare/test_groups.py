"""Runs that differ in seed only are one group, and no others are."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

from engine.compare.groups import comparability, group_runs, spread
from engine.compare.runs import read_run
from tests.engine.compare.material import write_run, write_ultralytics
from utils.errors import UserError


def test_mean_and_deviation_are_those_of_a_sample() -> None:
    found = spread([0.1, math.nan, 0.3, 0.2])
    assert (found.mean, found.count) == (pytest.approx(0.2), 3)
    assert found.deviation == pytest.approx(statistics.stdev([0.1, 0.2, 0.3]))
    assert math.isnan(spread([0.1]).deviation)
    assert math.isnan(spread([]).mean)


def test_seeds_are_put_together_and_settings_are_not(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / "simam_0", 0.30, seed=0, device="0"),
        write_run(tmp_path / "cbam", 0.4, cfg="b.yaml"),
        write_run(tmp_path / "simam_10", 0.34, seed=10, device="cpu"),
        write_run(tmp_path / "other", 0.4, hyp="x.yaml", lr="y"),
        write_run(tmp_path / "again", 0.3, seed=0),
    ]
    runs = [read_run(folder) for folder in folders]
    groups = group_runs(runs)
    names = [[run.name for run in group.runs] for group in groups]
    assert names == [["simam_0", "simam_10"], ["cbam"], ["other"], ["again"]]
    assert [group.label for group in groups] == ["simam", "cbam", "other", "again"]
    assert groups[0].score("map").mean == pytest.approx(0.32)
    assert "all their settings are the same but seeds 0, 10" in groups[0].sentence()
    assert len(group_runs(runs, each=True)) == 5


def test_hyperparameters_count(tmp_path: Path) -> None:
    one, other = (write_run(tmp_path / str(seed), 0.3, seed=seed) for seed in range(2))
    assert len(group_runs([read_run(one), read_run(other)])) == 1
    (other / "hyp.yaml").write_text("lr0: 0.02\n")
    assert len(group_runs([read_run(one), read_run(other)])) == 2


def test_labels_are_one_for_each_group(tmp_path: Path) -> None:
    runs = [read_run(write_run(tmp_path / name, 0.3, cfg=name)) for name in "ab"]
    assert [group.label for group in group_runs(runs, ["A", "B"])] == ["A", "B"]
    with pytest.raises(UserError, match="--labels: 1 names for 2 groups; give one for each: a; b"):
        group_runs(runs, ["A"])
    with pytest.raises(UserError, match="two are equal"):
        group_runs(runs, ["A", "A"])


def test_equal_folder_names_get_the_folder_above(tmp_path: Path) -> None:
    runs = [read_run(write_run(tmp_path / top / "exp", 0.3, cfg=top)) for top in "ab"]
    assert [group.label for group in group_runs(runs)] == ["a/exp", "b/exp"]


def test_what_is_no_fair_comparison_is_said(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / "a", 0.3),
        write_run(tmp_path / "b", 0.3, protocol="yolov8"),
        write_ultralytics(tmp_path / "u"),
    ]
    (folders[0] / "curves.npz").unlink()
    said = "\n".join(comparability(group_runs([read_run(folder) for folder in folders])))
    for words in ("different rules", "a: has no curves.npz", "u: is of Ultralytics; only its",
                  "one seed only: a, b"):  # fmt: skip
        assert words in said
