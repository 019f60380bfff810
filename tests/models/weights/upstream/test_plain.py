"""The plain block beside a foreign row: its names, widths, keys and arguments."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from models.blocks.v8 import C2f
from models.common import C3, SPPF, Bottleneck, Conv
from models.weights.upstream.plain import ForeignRow, bases_of, try_block


def row(block: nn.Module, *classes: str, written: list[Any] | None = None) -> ForeignRow:
    return ForeignRow("row 4", classes, written or [32], block.state_dict())


@pytest.mark.parametrize(
    ("block", "classes", "bases"),
    [
        (C3(24, 32), ("C3SE",), ["C3", "C2f", "SPPF"]),
        (C3(24, 32), ("Own",), ["C3", "C2f", "SPPF"]),
        (C2f(24, 32), ("C3_CBAM", "C2f"), ["C3", "C2f", "SPPF"]),
        (SPPF(24, 32), ("Own",), ["SPPF"]),
        (Conv(24, 32), ("Own",), ["Conv"]),
        (nn.Upsample(scale_factor=2), ("nn.Upsample",), []),
    ],
)
def test_names_of_blocks_by_the_class_and_then_by_the_keys(
    block: nn.Module, classes: tuple[str, ...], bases: list[str]
) -> None:
    assert bases_of(row(block, *classes)) == bases


def test_a_block_is_built_as_wide_as_the_tensors_are() -> None:
    block = C3(24, 32, 2)
    block.m[0], block.m[1] = (Bottleneck(16, 16, expansion=0.25) for _ in range(2))
    trial = try_block(row(block, "C3SE", written=[64, False]), "C3")
    assert trial is not None
    assert trial.own == [64, False]
    assert trial.settings == {"inside": "SE", "place": "branch", "bottleneck": 0.25}
    shapes = {key: value.shape for key, value in block.state_dict().items()}
    assert {key: value.shape for key, value in trial.block.state_dict().items()} == shapes
    assert trial.plain_keys() == shapes.keys()
    assert trial.bottlenecks() == ["m.0.", "m.1."]
    assert [spot.width for spot in trial.spots("branch")] == [16, 16]
    assert try_block(row(Conv(24, 32), "Own"), "C3") is None
    assert try_block(row(block, "C3", written=[64, "text", "text"]), "C3") is None


def test_keys_of_fused_convolutions_are_plain() -> None:
    block = C2f(24, 32)
    for module in list(block.modules()):
        if isinstance(module, Conv):
            module.fuse()
    trial = try_block(row(block, "C2f"), "C2f")
    assert trial is not None
    assert trial.plain_keys() == block.state_dict().keys()


def test_an_argument_is_set_among_defaults() -> None:
    trial = try_block(row(C2f(24, 32), "C2f"), "C2f")
    conv = try_block(row(Conv(24, 32, 3), "Conv", written=[32, 3, 2]), "Conv")
    assert trial is not None
    assert conv is not None
    assert trial.with_argument("groups", 2) == [32, False, 2]
    assert conv.with_argument("act", "nn.ReLU()") == [32, 3, 2, None, 1, 1, "nn.ReLU()"]
    assert conv.with_argument("stride", 1) == [32, 3, 1]


def test_copies_and_the_place_that_the_yaml_states() -> None:
    state = Conv(32, 32).state_dict()
    both = {f"{copy}.{key}": value for copy in (1, 0) for key, value in state.items()}
    found = ForeignRow("row 4", ("Conv",), [32, {"inside": "SE", "place": "input"}], both)
    assert found.copies == ["0.", "1."]
    assert found.of_copy("1.").keys() == state.keys()
    assert found.place == "input"
    assert row(Conv(32, 32), "Conv").place is None
    assert row(Conv(32, 32), "Conv").copies == [""]
