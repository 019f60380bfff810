"""Charts are drawn whatever the data: none, one class, eighty, NaN, one epoch, torn files."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.drawing import plots

COLUMNS = (
    "epoch",
    "train/box_loss",
    "train/obj_loss",
    "train/cls_loss",
    "metrics/precision",
    "metrics/recall",
    "metrics/mAP_0.5",
    "metrics/mAP_0.5:0.95",
    "val/box_loss",
    "val/obj_loss",
    "val/cls_loss",
    "x/lr0",
    "x/lr1",
    "x/lr2",
)
NAMES = {
    1: ["猫"],
    3: ["red", "$x$", "_кот\n"],
    80: [f"class number {number}" for number in range(80)],
}


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


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


def picture(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    assert image.std() > 5, "a image of nothing"
    return image


@pytest.mark.parametrize(
    ("epochs", "cell"), [(0, ""), (1, ""), (3, "nan"), (3, "inf"), (40, "broken")]
)
def test_results(tmp_path: Path, epochs: int, cell: str) -> None:
    path = plots.plot_results(write_results(tmp_path / "results.csv", epochs, cell))
    assert path == tmp_path / "results.png"
    assert picture(path).shape == (980, 1890, 3)


@pytest.mark.parametrize(
    ("column", "title"), [("obj", "Objectness loss"), ("dfl", "Distribution focal loss")]
)
def test_results_show_the_loss_that_the_run_has(
    tmp_path: Path, column: str, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_results(tmp_path / "results.csv", 3)
    path.write_text(path.read_text().replace("obj_loss", f"{column}_loss"))
    titles: list[str] = []
    monkeypatch.setattr(plots, "style_axes", lambda axes, name, *rest: titles.append(name))
    plots.plot_results(path)
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
        axes = plots.new_figure(3, 3).subplots()
        plots._mark_best(axes, columns, share)
        assert words in axes.get_xlabel()


def test_read_columns_strips_names_and_drops_a_torn_line(tmp_path: Path) -> None:
    path = write_results(tmp_path / "results.csv", 3, "nan")
    path.write_text(path.read_text() + "     3,   0.1")
    columns = plots.read_columns(path)
    assert list(columns) == list(COLUMNS)
    assert columns["epoch"].tolist() == [0, 1, 2]
    assert math.isnan(columns["train/cls_loss"][1])
    (tmp_path / "empty.csv").write_text("")
    assert plots.read_columns(tmp_path / "empty.csv") == {}


def test_smooth_leaves_constants_and_gaps_alone() -> None:
    values = np.full(30, 2.0)
    values[[3, 17]] = math.nan, math.inf
    assert np.allclose(plots.smooth(values), 2.0)
    assert np.isnan(plots.smooth(np.full(4, math.nan))).all()


@pytest.mark.parametrize("count", [0, 1, 3, 80])
def test_curves(tmp_path: Path, count: int) -> None:
    x = np.linspace(0, 1, 1000)
    curves = np.stack([x**2 * 0.9] * count) if count else np.zeros((0, 1000))
    path = plots.plot_curve(
        tmp_path / "F1_curve.png", x, curves, NAMES.get(count, []), ("Confidence", "F1")
    )
    assert picture(path).shape == (770, 1260, 3)


@pytest.mark.parametrize("count", [1, 3, 80])
def test_confusion_matrix(tmp_path: Path, count: int) -> None:
    matrix = np.diag(
        np.arange(count + 1, dtype=float)
    )  # class 0 has no labels: its column stays blank
    path = plots.plot_confusion_matrix(tmp_path / "confusion_matrix.png", matrix, NAMES[count])
    image = picture(path)
    assert (image.max(2) < 130).mean() > 1e-3  # the diagonal and the names are dark
    assert image.shape[0] == pytest.approx(140 * min(max(4.2 + 0.36 * (count + 1), 5), 17), abs=2)


def test_confusion_matrix_shades_are_shares_of_the_column(tmp_path: Path) -> None:
    matrix = np.array([[90.0, 0], [10, 0]])
    image = picture(plots.plot_confusion_matrix(tmp_path / "m.png", matrix, ["a"]))
    turned = picture(plots.plot_confusion_matrix(tmp_path / "n.png", matrix * 7, ["a"]))
    inside = (
        slice(image.shape[0] // 4, image.shape[0] // 3),
        slice(image.shape[1] // 4, image.shape[1] // 3),
    )
    assert abs(image[inside].mean() - turned[inside].mean()) < 12  # counts differ, shares do not


def test_labels_of_nothing_one_and_many(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 3000):
        corners = rng.uniform(0, 400, (count, 2, 2))
        boxes = np.concatenate((corners.min(1), corners.max(1)), 1)
        shares = plots.share_boxes(boxes, np.tile((400, 400), (count, 1)))
        classes = rng.integers(0, 3, count)
        assert picture(
            plots.plot_labels(tmp_path, shares, classes, dict(enumerate(NAMES[3])))
        ).shape == (1190, 1890, 3)
        assert picture(plots.plot_correlogram(tmp_path, shares)).shape == (1080, 1080, 3)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "labels.jpg",
        "labels_correlogram.jpg",
    ]


def test_labels_of_eighty_classes(tmp_path: Path) -> None:
    plots.plot_labels(tmp_path, np.full((80, 4), 0.5), np.arange(80), dict(enumerate(NAMES[80])))
    picture(tmp_path / "labels.jpg")


def test_share_boxes() -> None:
    shares = plots.share_boxes(np.array([[10, 20, 30, 80]]), np.array([[100, 200]]))
    assert np.allclose(shares, [[0.1, 0.5, 0.1, 0.6]])


def test_study(tmp_path: Path) -> None:
    rows = [(256.0, 3.0, 0.3, 0.5), (384.0, 5.0, 0.35, 0.55)]
    picture(plots.plot_study(tmp_path / "study.png", {"yolov5n": rows, "yolov5s_SimAM": rows[:1]}))
    picture(plots.plot_study(tmp_path / "study.png", {}))
