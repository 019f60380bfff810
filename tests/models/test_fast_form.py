"""The choice between the two forms that does not depend on a module."""

from __future__ import annotations

import torch

from models.fast_form import traced, use_fast


def test_a_map_on_a_processor_takes_the_fast_form() -> None:
    x = torch.zeros(1, 2, 3, 4)
    assert use_fast(x)
    assert use_fast(x, positions=12)
    assert not use_fast(x, positions=13)
    assert not use_fast(x[:0])


def test_a_map_elsewhere_takes_the_plain_form_unless_the_fast_one_is_for_all() -> None:
    x = torch.zeros(1, 2, 3, 4, device="meta")
    assert not use_fast(x)
    assert use_fast(x, accelerators=True)


def test_a_stand_in_for_a_tensor_is_traced() -> None:
    class StandIn(torch.Tensor):
        pass

    x = torch.zeros(1)
    assert not traced(x)
    assert traced(x.as_subclass(StandIn))
