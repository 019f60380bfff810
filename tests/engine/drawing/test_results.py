"""Charts over epochs and sizes: no epoch, one, many, NaN, torn files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from engine.drawing import results as module
from engine.drawing.figures import make_figure
from engine.drawing.results import columns_of, plot_results, plot_study, smooth_over_epochs
from engine.training.logbook import columns
from tests.engine.drawing.charts import read_image
from utils.files import read_results

COLUMNS = columns(("box", "obj", "cls"))


def write_results(path: Path, epochs: int, cell: str = "") -> Path:
    lines = [",".join(f"{name:>20}" for name in COLUMNS)]
    for epoch in range(epochs):
        values = [float(epoch), *(0.1 / (epoch + 1) for _ in COLUMNS[1:])]
        cells = [f"{value:20.5g}" for value in values]
        if cell and epoch == 1:
            cells[3] = cells[6] = cell
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("epochs", "cell"), [(0, ""), (1, ""), (3, "nan"), (3, "inf"), (40, "broken")]
)
def test_results(tmp_path: Path, epochs: int, cell: str) -> None:
    rows = read_results(write_results(tmp_path / "results.csv", epochs, cell))
    path = plot_results(tmp_path / "results.png", rows)
    assert path == tmp_path / "results.png"
    assert read_image(path).shape == (980, 1890, 3)


@pytest.mark.parametrize(
    ("column", "title"), [("obj", "Objectness loss"), ("dfl", "Distribution focal loss")]
)
def test_results_show_the_loss_that_the_run_has(
    tmp_path: Path, column: str, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_results(tmp_path / "results.csv", 3)
    path.write_text(path.read_text().replace("obj_loss", f"{column}_loss"))
    titles: list[str] = []
    monkeypatch.setattr(module, "style_axes", lambda axes, name, *rest: titles.append(name))
    plot_results(tmp_path / "results.png", read_results(path))
    assert titles == [
        "Box loss",
        title,
        "Class loss",
        "Precision and recall",
        "Mean average precision",
        "Learning rate",
    ]


def test_the_best_epoch_is_the_protocols() -> None:
    """0.1 mAP50 + 0.9 mAP50-95 is higher in the first epoch, mAP50-95 alone in the second."""
    columns = {"epoch": np.arange(2), "metrics/mAP_0.5": np.array([0.9, 0.5]),
               "metrics/mAP_0.5:0.95": np.array([0.40, 0.41])}  # fmt: skip
    for share, words in ((0.1, "best: 0"), (0.0, "best: 1")):
        axes = make_figure(3, 3).subplots()
        module._mark_best(axes, columns, share)
        assert words in axes.get_xlabel()


def test_columns_have_stripped_names_and_no_torn_line(tmp_path: Path) -> None:
    path = write_results(tmp_path / "results.csv", 3, "nan")
    path.write_text(path.read_text() + "     3,   0.1")
    columns = columns_of(read_results(path))
    assert list(columns) == list(COLUMNS)
    assert columns["epoch"].tolist() == [0, 1, 2]
    assert math.isnan(columns["train/cls_loss"][1])
    (tmp_path / "empty.csv").write_text("")
    assert columns_of(read_results(tmp_path / "empty.csv")) == {}


def test_smooth_leaves_constants_and_gaps_alone() -> None:
    values = np.full(30, 2.0)
    values[[3, 17]] = math.nan, math.inf
    assert np.allclose(smooth_over_epochs(values), 2.0)
    assert np.isnan(smooth_over_epochs(np.full(4, math.nan))).all()


def test_study(tmp_path: Path) -> None:
    rows = [(256.0, 3.0, 0.3, 0.5), (384.0, 5.0, 0.35, 0.55)]
    read_image(plot_study(tmp_path / "study.png", {"yolov5n": rows, "yolov5s_SimAM": rows[:1]}))
    read_image(plot_study(tmp_path / "study.png", {}))
