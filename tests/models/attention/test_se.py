"""SE: golden values, the gate by hand, hidden channels, memory, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention._arguments import read_list
from models.attention.se import SE
from tests.models.attention.golden import Golden, draws


@pytest.mark.parametrize(
    ("variant", "size"),
    [("official", "20x20"), ("official", "7x13"), ("official", "1x1"), ("bias", "7x13")],
)
def test_golden(variant: str, size: str) -> None:
    Golden("se").check(SE(32, reduction=16, bias=variant == "bias"), variant, size)


def test_one_image_by_hand() -> None:
    module = SE(2, reduction=2)
    state = {
        "fc.0.weight": torch.tensor([[1.0, 2.0]]),
        "fc.2.weight": torch.tensor([[3.0], [-1.0]]),
    }
    module.load_state_dict(state)
    x = torch.tensor(
        [[[[0.0, 1.0]], [[0.5, -0.25]]]]
    )  # means 0.5 and 0.125, hidden 0.75, scores 2.25 and -0.75
    expected = x * torch.tensor([2.25, -0.75]).sigmoid()[None, :, None, None]
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize(
    ("channels", "reduction", "hidden"), [(8, 16, 1), (40, 16, 2), (256, 4, 64), (1, 1, 1)]
)
def test_there_is_always_a_hidden_channel(channels: int, reduction: int, hidden: int) -> None:
    module = SE(channels, reduction=reduction)
    assert module.state_dict()["fc.0.weight"].shape == (hidden, channels)
    assert set(module.state_dict()) == {"fc.0.weight", "fc.2.weight"}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_by_differences(layout: torch.memory_format) -> None:
    module = SE(4, reduction=2, bias=True).double()
    x = draws(1, 2, 4, 3, 2).double().contiguous(memory_format=layout).requires_grad_()
    names, values = zip(*module.named_parameters(), strict=True)

    def run(x: torch.Tensor, *values: torch.Tensor) -> Any:
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *values))


def test_only_the_input_is_kept_for_backward() -> None:
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = draws(8, 2, 16, 40, 40).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        SE(16)(x)
    assert sum(kept.values()) <= 1.02 * x.nbytes


def test_lists_of_tutorials() -> None:
    assert read_list(SE, [256], 256, int) == ({}, "")
    assert read_list(SE, [256, 8], 256, int) == ({"reduction": 8}, "")
    assert read_list(SE, [4], 256, int) == ({"reduction": 4}, "")


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "16", None])
def test_impossible_reductions(value: Any) -> None:
    with pytest.raises(ValueError, match="reduction="):
        SE(8, reduction=value)


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_impossible_biases(value: Any) -> None:
    with pytest.raises(ValueError, match="bias="):
        SE(8, bias=value)
