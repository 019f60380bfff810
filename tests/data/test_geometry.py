"""Letterbox, affine draws, boxes and polygons against YOLOv5's own numbers."""

import json
import random

import numpy as np
import pytest

from data.geometry import (
    Affine,
    box_candidates,
    draw_affine,
    map_boxes,
    map_points,
    plan_letterbox,
    rect_shapes,
    resized_size,
)
from data.polygons import polygon_boxes
from utils.boxes import clip_boxes
from utils.config import Hyperparameters
from utils.files import ROOT

GOLDEN = ROOT / "tests" / "golden" / "yolov5"
LETTERBOX = json.loads((GOLDEN / "letterbox.json").read_text())
AUGMENT = json.loads((GOLDEN / "augment.json").read_text())
ARRAYS = np.load(GOLDEN / "augment.npz")
DRAWS = [
    name.removesuffix("_box")
    for name in AUGMENT
    if name.startswith("rp_") and name.endswith("_box")
]


def test_letterbox_geometry():
    for row in LETTERBOX["geometry"]:
        target = row["new_shape"] if isinstance(row["new_shape"], int) else tuple(row["new_shape"])
        if "scaleFill" in row["kw"]:  # stretches the image, which nothing here does
            continue
        names = {"auto": "auto", "scaleup": "scale_up", "stride": "stride"}
        options = {"auto": True, **{names[key]: value for key, value in row["kw"].items()}}
        plan = plan_letterbox(tuple(row["hw"]), target, **options)
        assert list(plan.size) == row["out"], row
        assert plan.ratio == pytest.approx(row["ratio"], abs=1e-12)
        assert plan.pad == pytest.approx(row["pad_dw_dh"], abs=1e-12)
        assert plan.corner == (row["top"], row["left"])
        assert plan.size[0] - plan.inner[0] - plan.corner[0] == row["bottom"]
        assert plan.size[1] - plan.inner[1] - plan.corner[1] == row["right"]


def test_resized_sizes():
    for row in LETTERBOX["load_image"]:
        assert resized_size(tuple(row["hw"]), row["img_size"]) == tuple(row["out_hw"]), row


def golden_draw(name):
    """The affine of a golden case, from the same draws, with the size of its output."""
    options = dict(AUGMENT[name]["kw"])
    border = options.pop("border", (0, 0))
    affine = draw_affine(random.Random(0), Hyperparameters(**options))
    return affine, (128 + 2 * border[0], 128 + 2 * border[1])


@pytest.mark.parametrize("name", DRAWS)
def test_perspective_boxes(name):
    affine, output = golden_draw(f"{name}_box")
    before = ARRAYS["targets"][:, 1:]
    after = clip_boxes(map_boxes(before, affine.matrix((128, 128), output)), output)
    kept = after[box_candidates(before * affine.scale, after)]
    np.testing.assert_allclose(kept, ARRAYS[f"{name}_box"][:, 1:], atol=1e-4)


@pytest.mark.parametrize("name", DRAWS)
def test_perspective_polygons(name):
    affine, output = golden_draw(f"{name}_seg")
    before = ARRAYS["targets"][:, 1:]
    x1, y1, x2, y2 = before.T.astype(np.float64)
    points = np.stack([x1, y1, (x1 + x2) / 2, y1, x2, y1, x2, y2, x1, y2], 1).reshape(-1, 2)
    after = polygon_boxes(
        points, np.full(len(before), 5), affine.matrix((128, 128), output), output
    )
    kept = after[box_candidates(before * affine.scale, after, 0.01)]
    np.testing.assert_allclose(kept, ARRAYS[f"{name}_seg"][:, 1:], atol=1e-4)


def sampled_hull(polygon, matrix, size):
    """polygon_boxes the slow way, with all thousand samples."""
    closed = np.concatenate([polygon, polygon[:1]])
    at = np.linspace(0, len(closed) - 1, 1000)
    samples = np.stack(
        [np.interp(at, np.arange(len(closed)), closed[:, axis]) for axis in (0, 1)], 1
    )
    samples = map_points(samples, matrix)
    inside = samples[(samples >= 0).all(1) & (samples <= (size[1], size[0])).all(1)]
    return np.concatenate([inside.min(0), inside.max(0)]) if len(inside) else np.zeros(4)


@pytest.mark.parametrize("perspective", [0.0, 0.001])
def test_polygons_equal_samples(perspective):
    rng = np.random.default_rng(0)
    affine = Affine((perspective, -perspective), 12, 1.4, (3, -2), (0.45, 0.6))
    matrix = affine.matrix((200, 240), (160, 180))
    counts = rng.integers(1, 40, 60)
    polygons = [rng.uniform(-40, 260, 2) + rng.normal(0, 30, (count, 2)) for count in counts]
    found = polygon_boxes(np.concatenate(polygons), counts, matrix, (160, 180))
    expected = np.array([sampled_hull(polygon, matrix, (160, 180)) for polygon in polygons])
    assert (expected == 0).all(1).any()
    assert ((expected > 0).all(1)).sum() > 10
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_no_polygons():
    assert polygon_boxes(np.zeros((0, 2)), np.zeros(0, dtype=int), np.eye(3), (10, 10)).shape == (
        0,
        4,
    )


def test_box_candidates():
    np.testing.assert_array_equal(
        box_candidates(ARRAYS["bc_b1"], ARRAYS["bc_b2"]), ARRAYS["bc_out"]
    )
    np.testing.assert_array_equal(
        box_candidates(ARRAYS["bc_b1"], ARRAYS["bc_b2"], 0.01), ARRAYS["bc_out01"]
    )


def test_identity_affine():
    np.testing.assert_array_equal(Affine().matrix((30, 50), (30, 50)), np.eye(3))
    assert Affine(scale=0.5, translate=(0.1, 0.9)).upright
    assert not any(
        affine.upright for affine in (Affine(angle=1), Affine(shear=(0, 1)), Affine((1e-4, 0)))
    )


def test_rect_shapes_of_extremes():
    sizes = np.array([[100, 400], [100, 100], [400, 100]])
    order, shapes = rect_shapes(sizes, 1, (640, 32, 0.0))
    assert order.tolist() == [0, 1, 2]
    assert shapes.tolist() == [[160, 640], [640, 640], [640, 160]]
    assert rect_shapes(sizes, 3, (640, 32, 0.5))[1].tolist() == [[672, 672]]
