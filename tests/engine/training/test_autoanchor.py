"""AutoAnchor: YOLOv5's measures, a search that is as good as its own, and when anchors are
replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine.training.autoanchor import (
    AnchorFit,
    check_anchors,
    cluster,
    find_anchors,
    fitness,
    measure_fit,
    order_anchors,
)
from utils.seeds import stream

GOLDEN = np.load(Path(__file__).parents[2] / "golden/yolov5/autoanchor.npz")
P5 = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
FLAT = np.array(P5, dtype=np.float32).reshape(-1, 2)


@dataclass
class FewLabels:
    sizes: np.ndarray
    boxes: np.ndarray
    offsets: np.ndarray


def golden_sides(scale: np.ndarray | float = 1.0) -> np.ndarray:
    """(width, height) in pixels of the golden labels at 640 px."""
    longest = GOLDEN["shapes"].max(1, keepdims=True)
    image = GOLDEN["shapes"] / longest * 640 * scale
    return (GOLDEN["labels"][:, :, 3:] * image[:, None]).reshape(-1, 2).astype(np.float32)


def labels_of(sides: np.ndarray, size: tuple[int, int] = (640, 480)) -> FewLabels:
    """An index with one box of these sides in each image, of size (h, w)."""
    corner = np.full_like(sides, 3)
    count = len(sides)
    return FewLabels(
        np.tile(size, (count, 1)), np.concatenate((corner, corner + sides), 1), np.arange(count + 1)
    )


def close(fit: AnchorFit, name: str) -> None:
    assert [fit.best, fit.above] == pytest.approx(GOLDEN[name].tolist(), abs=1e-5)


def test_measures_equal_golden() -> None:
    close(measure_fit(golden_sides(), FLAT, 4), "bpr_aat_default")
    scale = np.random.RandomState(0).uniform(0.9, 1.1, (60, 1))
    close(measure_fit(golden_sides(scale), FLAT, 4), "bpr_aat_default_scaled_npseed0")


@pytest.mark.parametrize("name", ["kmeans_gen0", "kmeans_gen300"])
def test_fitness_equals_golden(name: str) -> None:
    close(measure_fit(golden_sides(), GOLDEN[name], 4), f"{name}_bpr_aat")
    assert fitness(golden_sides(), GOLDEN[name], 4) == pytest.approx(
        float(GOLDEN[f"{name}_fitness"]), abs=1e-5
    )


@pytest.mark.parametrize("generations", [0, 300])
def test_search_is_as_good_as_golden(generations: int) -> None:
    found = find_anchors(golden_sides(), 9, 640, 4, stream(0, "anchors"), generations)
    assert (
        fitness(golden_sides(), found, 4)
        >= float(GOLDEN[f"kmeans_gen{generations}_fitness"]) - 0.02
    )
    assert (np.diff(found.prod(1)) >= 0).all()
    assert found.min() >= 2


def test_search_is_a_function_of_its_stream() -> None:
    first, again, other = (
        find_anchors(golden_sides(), 9, 640, 4, stream(seed), 50) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_clusters_are_found() -> None:
    centres = np.array([[0.0, 0], [10, 0], [0, 10]])
    points = np.concatenate(
        [centre + np.random.default_rng(0).normal(0, 0.1, (50, 2)) for centre in centres]
    )
    found = cluster(points, 3, stream(0))
    assert np.abs(found[:, None] - centres).sum(2).min(0).max() < 0.1


@pytest.mark.parametrize(
    "sides", [np.full((30, 2), 40.0), np.array([[5.0, 9], [7, 7]]), np.full((3, 2), 0.5)]
)
def test_too_few_boxes_to_cluster(sides: np.ndarray) -> None:
    found = find_anchors(sides.astype(np.float32), 9, 640, 4, stream(0), 20)
    assert found.shape == (9, 2)
    assert np.isfinite(found).all()


def test_order_equals_golden() -> None:
    assert np.array_equal(order_anchors(GOLDEN["order_in"], (8.0, 16.0, 32.0)), GOLDEN["order_out"])
    assert np.array_equal(
        order_anchors(GOLDEN["order_out"], (8.0, 16.0, 32.0)), GOLDEN["order_out"]
    )


def test_fitting_anchors_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_anchors(labels_of(FLAT), P5, 640, 4.0, stream(0)) is None
    assert "best possible recall 1.0000; anchors fit, kept" in capsys.readouterr().out


def test_no_boxes_keep_anchors(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_anchors(labels_of(np.zeros((0, 2))), P5, 640, 4.0, stream(0)) is None
    assert "no labelled boxes" in capsys.readouterr().out


@pytest.mark.parametrize("levels", [P5, P5[::-1]], ids=["fine first", "coarse first"])
def test_misfits_are_replaced_in_the_order_of_levels(
    levels: tuple, capsys: pytest.CaptureFixture[str]
) -> None:
    thin = np.exp(np.random.default_rng(0).normal((1.2, 4.5), 0.3, (300, 2)))
    new = check_anchors(labels_of(thin), levels, 640, 4.0, stream(0))
    assert new is not None
    assert measure_fit(thin, np.array(new).reshape(-1, 2), 4).best > 0.98
    areas = np.array(new).prod(2).mean(1)
    assert (np.diff(areas) > 0).all() == (levels is P5)
    assert "replaced, now" in capsys.readouterr().out


def test_boxes_are_measured_at_training_size() -> None:
    """Images of 64 px trained at 640: anchors that fit the enlarged boxes are kept."""
    labels = labels_of(FLAT / 10, (64, 48))
    assert check_anchors(labels, P5, 640, 4.0, stream(0)) is None
    assert check_anchors(labels, P5, 64, 4.0, stream(0)) is not None


def test_placeholder_anchors_are_replaced() -> None:
    open_graph = tuple(((0.0, 1.0), (2.0, 3.0), (4.0, 5.0)) for _ in range(3))
    new = check_anchors(labels_of(golden_sides()), open_graph, 640, 4.0, stream(0))
    assert measure_fit(golden_sides(), np.array(new).reshape(-1, 2), 4).best > 0.98
