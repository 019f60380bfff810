"""The lines of the figures are means over the seeds, in the epochs that all runs have."""

from __future__ import annotations

import numpy as np
import pytest

from engine.compare.figures import aligned, error_figure, learning_figure, pr_figure
from engine.compare.groups import RunGroup, group_runs
from engine.compare.paper import PaperStyle
from engine.compare.runs import read_run
from tests.engine.compare.material import write_run, write_ultralytics


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> list[RunGroup]:
    folder = tmp_path_factory.mktemp("runs")
    folders = [write_run(folder / f"a{seed}", 0.3 + 0.06 * seed, seed) for seed in range(2)]
    shorter = (folders[1] / "results.csv").read_text().splitlines()[:-1]
    (folders[1] / "results.csv").write_text("\n".join(shorter) + "\n")
    folders.append(write_ultralytics(folder / "u"))
    return group_runs([read_run(one) for one in folders])


def test_pr_curves_are_means_of_classes_and_seeds(groups: list[RunGroup]) -> None:
    figure = pr_figure(groups, PaperStyle())
    assert figure is not None
    (line,) = figure.axes[0].lines  # Ultralytics' run has no curves here
    assert line.get_label() == "a (mAP50 53.0 ± 4.2 %)"
    assert np.asarray(line.get_ydata())[[0, -1]] == pytest.approx([0.33, 0])
    assert figure.get_figwidth() == 3.3
    assert pr_figure(groups[1:], PaperStyle()) is None


def test_learning_curves_end_where_the_first_run_ends(groups: list[RunGroup]) -> None:
    epochs, scores = aligned(groups[0], "map")
    assert epochs.tolist() == [1, 2]
    assert scores == pytest.approx(np.array([[0.1, 0.2], [0.12, 0.24]]))
    figure = learning_figure(groups, PaperStyle())
    assert figure is not None
    lines = figure.axes[1].lines
    assert [line.get_label() for line in lines] == ["a (n = 2)", "u"]
    assert list(lines[0].get_ydata()) == pytest.approx([11, 22])
    assert list(lines[1].get_ydata()) == pytest.approx([10, 20])
    assert learning_figure([], PaperStyle()) is None


def test_bars_are_points_of_each_kind_of_error(groups: list[RunGroup]) -> None:
    figure = error_figure(groups, PaperStyle())
    assert figure is not None
    axes = figure.axes[0]
    (bars,) = [part for part in axes.containers if part.get_label() == "a (n = 2)"]
    widths = [bar.get_width() for bar in bars]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert widths[names.index("both")] == pytest.approx(3.3)
    assert np.isnan(widths[names.index("missed")])  # was not measured
    assert error_figure(groups[1:], PaperStyle()) is None
