"""Frames in the size of the network's input."""

from __future__ import annotations

import numpy as np
import pytest

from engine.inference.prepared import InputFormat, prepare
from utils.structures import Frame


def frame_of(size: tuple[int, int]) -> Frame:
    return Frame(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8), "x", "x")


@pytest.mark.parametrize(
    ("size", "shape"), [((100, 200), (96, 192)), ((33, 64), (128, 192)), ((10, 500), (32, 192))]
)
def test_size_gain_and_pad_belong_together(size, shape):
    one = prepare(frame_of(size), InputFormat((192, 192), 32, 3))
    assert one.size == shape
    assert one.pixels.shape == (*shape, 3)
    for side, axis in ((size[0], 1), (size[1], 0)):
        inner = side * one.gain[axis]
        assert inner + 2 * one.pad[axis] == pytest.approx(shape[1 - axis], abs=1)
    assert one.seconds >= 0


def test_colours_are_rgb_and_the_image_of_the_caller_stays():
    frame = frame_of((64, 64))
    one = prepare(frame, InputFormat((64, 64), 32, 3))
    assert (one.pixels == frame.image[..., ::-1]).all()
    frame.image[:] = 0  # by the caller, while the pixels wait for their turn
    assert one.pixels.any()


def test_a_grey_model_gets_one_channel():
    frame = frame_of((64, 64))
    one = prepare(frame, InputFormat((64, 64), 32, 1))
    weights = np.array([0.114, 0.587, 0.299])
    assert one.pixels.shape == (64, 64, 1)
    assert np.abs(one.pixels[..., 0] - frame.image @ weights).max() < 1


def test_a_fixed_size_is_filled():
    one = prepare(frame_of((10, 500)), InputFormat((64, 96), 32, 3, is_fixed=True))
    assert one.size == (64, 96)
    assert one.pad == pytest.approx((0, 31))
