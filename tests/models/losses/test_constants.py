"""Fixed numbers are copied to a device once, and serve training after an evaluation."""

from __future__ import annotations

import torch

from models.losses.constants import constant

CPU = torch.device("cpu")


def test_the_same_numbers_are_copied_once():
    first = constant(((1.0, 2.0), (3.0, 4.0)), torch.float32, CPU)
    assert constant(((1.0, 2.0), (3.0, 4.0)), torch.float32, CPU) is first
    assert first.tolist() == [[1, 2], [3, 4]]
    assert constant(((1.0, 2.0), (3.0, 4.0)), torch.int64, CPU).dtype == torch.int64


def test_numbers_made_in_an_evaluation_serve_training():
    with torch.inference_mode():
        weights = constant((0.25, 0.75), torch.float32, CPU)
    x = torch.ones(2, requires_grad=True)
    (x * weights).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.25, 0.75]
