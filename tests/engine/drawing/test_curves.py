"""Charts of an evaluation: no class, one, three, eighty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.drawing.curves import plot_confusion_matrix, plot_curve
from tests.engine.drawing.charts import NAMES, read_image


@pytest.mark.parametrize("count", [0, 1, 3, 80])
def test_curves(tmp_path: Path, count: int) -> None:
    x = np.linspace(0, 1, 1000)
    curves = np.stack([x**2 * 0.9] * count) if count else np.zeros((0, 1000))
    path = plot_curve(
        tmp_path / "F1_curve.png", x, curves, NAMES.get(count, []), ("Confidence", "F1")
    )
    assert read_image(path).shape == (770, 1260, 3)


@pytest.mark.parametrize("count", [1, 3, 80])
def test_confusion_matrix(tmp_path: Path, count: int) -> None:
    matrix = np.diag(
        np.arange(count + 1, dtype=float)
    )  # class 0 has no labels: its column stays blank
    path = plot_confusion_matrix(tmp_path / "confusion_matrix.png", matrix, NAMES[count])
    image = read_image(path)
    assert (image.max(2) < 130).mean() > 1e-3  # the diagonal and the names are dark
    assert image.shape[0] == pytest.approx(140 * min(max(4.2 + 0.36 * (count + 1), 5), 17), abs=2)


def test_confusion_matrix_shades_are_shares_of_the_column(tmp_path: Path) -> None:
    matrix = np.array([[90.0, 0], [10, 0]])
    image = read_image(plot_confusion_matrix(tmp_path / "m.png", matrix, ["a"]))
    turned = read_image(plot_confusion_matrix(tmp_path / "n.png", matrix * 7, ["a"]))
    inside = (
        slice(image.shape[0] // 4, image.shape[0] // 3),
        slice(image.shape[1] // 4, image.shape[1] // 3),
    )
    assert abs(image[inside].mean() - turned[inside].mean()) < 12  # counts differ, shares do not
