"""Forms and overlaps of boxes against YOLOv5's own numbers and against hand-made cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from utils import boxes as geometry

GOLDEN = Path(__file__).parents[1] / "golden/yolov5"
FORMS = np.load(GOLDEN / "boxes.npz")
OVERLAPS = np.load(GOLDEN / "iou.npz")


@pytest.fixture(params=[np.asarray, torch.as_tensor], ids=["array", "tensor"])
def make(request: pytest.FixtureRequest) -> Callable:
    return request.param


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(OVERLAPS["a"]), torch.tensor(OVERLAPS["b"])


def close(value: object, name: str) -> None:
    np.testing.assert_allclose(np.asarray(value), FORMS[name], atol=1e-4, rtol=0)


def test_forms_equal_golden(make: Callable) -> None:
    corners = make(FORMS["xyxy"])
    close(geometry.xyxy_to_xywh(corners), "xyxy2xywh")
    close(geometry.xywh_to_xyxy(corners), "xywh2xyxy")
    close(geometry.normalise_boxes(corners, (480, 640)), "xyxy2xywhn")
    close(geometry.denormalise_boxes(corners / 700, (480, 640), (3, 5)), "xywhn2xyxy")
    close(
        geometry.normalise_boxes(
            geometry.clip_boxes(corners, (480 - 1e-3, 640 - 1e-3)), (480, 640)
        ),
        "xyxy2xywhn_clip",
    )


def test_way_back_to_the_original_equals_golden(make: Callable) -> None:
    corners = make(FORMS["xyxy"])
    close(geometry.clip_boxes(corners, (480, 640)), "clip")
    close(geometry.scale_boxes(corners, (384, 640), (375, 1242)), "scale_auto")
    close(geometry.to_original(corners, (1.28, 1.28), (0, 12.8), (480, 500)), "scale_rp")


def test_the_input_stays_as_it_was_and_further_columns_stay(make: Callable) -> None:
    rows = make(np.array([[-5.0, -5, 900, 900, 0.5, 2]], dtype=np.float32))
    before = np.asarray(rows).copy()
    cut = geometry.to_original(rows, (2, 4), (10, 20), (50, 60))
    assert np.array_equal(np.asarray(rows), before)
    assert np.asarray(cut).tolist() == [[0, 0, 60, 50, 0.5, 2]]


def test_forms_are_inverse_and_take_no_boxes(make: Callable) -> None:
    corners = make(FORMS["xyxy"])
    back = geometry.denormalise_boxes(geometry.normalise_boxes(corners, (100, 300)), (100, 300))
    np.testing.assert_allclose(np.asarray(back), FORMS["xyxy"], atol=1e-3)
    nothing = make(np.zeros((0, 4), dtype=np.float32))
    assert geometry.clip_boxes(geometry.xyxy_to_xywh(nothing), (5, 5)).shape == (0, 4)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_aligned_overlaps_equal_golden(pair: tuple[torch.Tensor, torch.Tensor], kind: str) -> None:
    np.testing.assert_allclose(geometry.bbox_ciou(*pair, kind), OVERLAPS[kind], atol=1e-6, rtol=0)
    corners = [geometry.xywh_to_xyxy(boxes) for boxes in pair]
    value = geometry.bbox_ciou(*corners, kind, xyxy=True)
    np.testing.assert_allclose(value, OVERLAPS[f"{kind}_xyxy"], atol=1e-6, rtol=0)


def test_gradient_of_ciou_equals_golden(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    pred = pair[0].requires_grad_()
    (1 - geometry.bbox_ciou(pred, pair[1])).mean().backward()
    np.testing.assert_allclose(pred.grad, OVERLAPS["grad_mean_1_minus_ciou"], atol=1e-6, rtol=0)


def test_unknown_kind_is_refused(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="kind='siou'"):
        geometry.bbox_ciou(*pair, "siou")


def test_overlap_tables_equal_golden(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    first, second = geometry.xywh_to_xyxy(pair[0][:10]), geometry.xywh_to_xyxy(pair[1][:12])
    np.testing.assert_allclose(
        geometry.box_iou(first, second), OVERLAPS["box_iou"], atol=1e-6, rtol=0
    )
    np.testing.assert_allclose(
        geometry.box_ioa(first, second), OVERLAPS["bbox_ioa"], atol=1e-6, rtol=0
    )


def test_overlap_by_hand() -> None:
    square = torch.tensor([[0.0, 0, 2, 2]])
    others = torch.tensor([[1.0, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6], [1, 1, 1, 1]])
    assert geometry.box_iou(square, others)[0].tolist() == pytest.approx([1 / 7, 1, 0, 0])
    assert geometry.box_ioa(square, others)[0].tolist() == pytest.approx([1 / 4, 1, 0, 0])
    assert geometry.box_iou(square, others[:0]).shape == (1, 0)


@pytest.mark.parametrize(("first", "second"), [(7, 300), (0, 5), (5, 0), (1, 1)])
def test_overlaps_of_arrays_are_those_of_tensors_to_the_last_bit(first: int, second: int) -> None:
    rng = np.random.default_rng(first)
    low = rng.uniform(0, 500, (first + second, 2))
    sides = rng.uniform(0, 300, (first + second, 2))  # some are as good as empty
    boxes = np.concatenate((low, low + sides * (rng.random((len(low), 1)) < 0.9)), 1)
    one, other = np.split(boxes.astype(np.float32), [first])
    found = geometry.box_iou_array(one, other)
    assert found.dtype == np.float32
    wanted = geometry.box_iou(torch.from_numpy(one), torch.from_numpy(other))
    assert np.array_equal(found, wanted.numpy())
