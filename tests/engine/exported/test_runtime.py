"""What a file's input may be."""

from __future__ import annotations

import pytest
import torch

from engine.exported.runtime import Runtime, as_shape
from utils.errors import UserError


def test_names_and_unknown_sides_take_any_number():
    assert as_shape(["batch", 3, None, 640, -1]) == (None, 3, None, 640, None)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 3, 64), "not \\[B, C, H, W\\]"),
        ((1, 3, 64, 10**9), "width 1000000000"),
        ((10**6, 3, 64, 64), "batch 1000000"),
        ((1, 4, 64, 64), "channels of its input: 4"),
    ],
)
def test_an_impossible_input_is_one_line(shape, words):
    with pytest.raises(UserError, match=words):
        Runtime("a.onnx", {}, shape, torch.float32, lambda images: images)
