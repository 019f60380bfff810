"""Test-time augmentation: sizes, padding, coordinates that come back, rows that are dropped."""

from __future__ import annotations

import torch

from models.tta import GRAY, drop_weak_levels, predict_augmented, rescale


def test_rescale_pads_to_the_stride_with_gray() -> None:
    x = torch.ones(1, 3, 64, 96)
    small = rescale(x, 0.67, 32)
    assert small.shape == (1, 3, 64, 96)
    assert torch.all(small[..., :42, :64] == 1)
    assert torch.all(small[..., 42:, :] == GRAY)
    assert torch.all(small[..., 64:] == GRAY)
    assert rescale(x, 1.0, 32) is x


def test_boxes_return_to_the_image() -> None:
    """A predictor that finds one bright pixel: all three views must agree on where it is."""
    x = torch.zeros(1, 3, 96, 96)
    x[..., 20:40, 60:80] = 1.0

    def predict(view: torch.Tensor) -> torch.Tensor:
        y, x = torch.nonzero(view[0, 0] > 0.9, as_tuple=True)
        width, height = x.max() - x.min() + 1, y.max() - y.min() + 1
        box = torch.stack(
            (
                x.float().mean() + 0.5,
                y.float().mean() + 0.5,
                width.float(),
                height.float(),
                torch.tensor(0.9),
            )
        )
        return box.expand(1, 21, 5)

    rows = predict_augmented(predict, x, 32, 3)
    assert rows.shape == (1, 20 + 21 + 5, 5)
    assert torch.allclose(rows[..., :4], torch.tensor([70.0, 30.0, 20.0, 20.0]), atol=2.5)
    assert torch.all(rows[..., 4] == 0.9)


def test_the_coarsest_and_the_finest_level_are_dropped() -> None:
    views = [torch.arange(42.0).view(1, 42, 1)] * 3
    first, middle, last = drop_weak_levels(views, 3)
    assert first[0, -1] == 39  # 2 of 42 rows are the coarsest level's
    assert middle.shape[1] == 42
    assert last[0, 0] == 32  # 32 are the finest's
