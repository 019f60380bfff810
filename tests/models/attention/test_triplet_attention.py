"""TripletAttention: golden values, the hand-written passes against plain ones, ties, single values,
refused options.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention.fast._blocks import image_runs
from models.attention.fast.triplet_attention import _Apply, _Pool
from models.attention.triplet_attention import TripletAttention, z_pool
from tests.models.attention.golden import Golden, draws

GOLDEN = Golden("triplet")


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(TripletAttention(32), "official", size)


def test_golden_without_the_spatial_plane() -> None:
    GOLDEN.check(TripletAttention(32, no_spatial=True), "no_spatial", "7x13")


def through(y: torch.Tensor, axes: tuple[int, ...], *gates: torch.Tensor) -> torch.Tensor:
    """All outputs of the hand-written functions, where the pooled planes depend on the map as in
    the module.
    """
    y, *planes = _Pool.apply(y, axes)
    pooled = [
        gate + plane[:, :1].squeeze(1).unsqueeze(axis).tanh()
        for gate, plane, axis in zip(gates, planes, axes, strict=True)
    ]
    out = _Apply.apply(y, axes, *pooled)
    return torch.cat((out.flatten(), *(plane.flatten() for plane in planes)))


@pytest.mark.parametrize("axes", [(1, 2, 3), (1, 3)])
def test_gradients_by_differences(axes: tuple[int, ...]) -> None:
    y = draws(3, 3, 2, 3, 4).double().requires_grad_()
    gates = [
        draws(axis, 3, 2, 3, 4).double().mean(axis, keepdim=True).requires_grad_() for axis in axes
    ]
    assert torch.autograd.gradcheck(lambda *given: through(given[0], axes, *given[1:]), (y, *gates))


@pytest.mark.parametrize("shape", [(3, 256, 24, 25), (12, 16, 40, 41)])
def test_blocks_of_images_give_what_the_whole_batch_gives(shape: tuple[int, ...]) -> None:
    x = draws(5, *shape).requires_grad_()
    assert len(image_runs(x)) > 1
    axes = (1, 2, 3)
    gates = [draws(axis, *shape).mean(axis, keepdim=True).sigmoid() for axis in axes]
    weight = draws(6, *shape)
    grads = []
    for pool, apply in (
        (
            lambda y, axes: (y, *(z_pool(y, axis) for axis in axes)),
            lambda y, axes, *gates: y * sum(gates),
        ),
        (_Pool.apply, _Apply.apply),
    ):
        y, *planes = pool(x, axes)
        loss = (apply(y, axes, *gates) * weight).sum() + sum((plane**3).sum() for plane in planes)
        grads.append(torch.autograd.grad(loss, x)[0])
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-5, atol=1e-5)


def test_equal_maxima_share_one_gradient() -> None:
    y = torch.zeros(1, 2, 3, 5, requires_grad=True)
    _, plane = _Pool.apply(y, (2,))
    plane[:, 0].sum().backward()
    assert y.grad is not None
    torch.testing.assert_close(y.grad, torch.full_like(y, 1 / 3))


def test_only_the_map_and_small_planes_are_kept_for_backward() -> None:
    x = draws(5, 2, 64, 20, 20).requires_grad_()
    kept: dict[int, int] = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (
            kept.setdefault(t.untyped_storage().data_ptr(), t.untyped_storage().nbytes()) and t
        ),
        lambda t: t,
    ):
        TripletAttention(64)(x)
    assert sum(kept.values()) < 1.6 * x.nbytes


def test_a_single_value_in_training_is_normalised_by_the_running_statistics() -> None:
    module, x = TripletAttention(1), draws(1, 1, 1, 1, 1)
    before = module.state_dict()["hw.conv.bn.running_mean"].clone()
    torch.testing.assert_close(module.train()(x), module.eval()(x))
    torch.testing.assert_close(module.state_dict()["hw.conv.bn.running_mean"], before)


def test_any_strides_give_the_same() -> None:
    module, x = TripletAttention(6).eval(), draws(2, 2, 6, 5, 7)
    for other in (
        x.transpose(2, 3).contiguous().transpose(2, 3),
        x.to(memory_format=torch.channels_last),
    ):
        torch.testing.assert_close(module(other), module(x))
    wider = draws(2, 2, 6, 5, 14)
    torch.testing.assert_close(module(wider[..., ::2]), module(wider[..., ::2].clone()))


@pytest.mark.parametrize(
    "option",
    [
        {"no_spatial": 1},
        {"no_spatial": "yes"},
        {"kernel_size": 4},
        {"kernel_size": 0},
        {"kernel_size": 7.0},
        {"kernel_size": True},
    ],
)
def test_impossible_values(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))}="):
        TripletAttention(8, **option)
