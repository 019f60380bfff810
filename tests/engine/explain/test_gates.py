"""Gates are those that the modules multiply by, whatever the module is called."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.explain.gates import gates_of, read_gate
from engine.explain.heat import record
from models.attention import ATTENTION, build_attention
from tests.tiny import lively, write_free_graph

X = torch.rand(1, 16, 6, 8, generator=torch.Generator().manual_seed(0)) - 0.3
# These multiply by nothing that a sigmoid, tanh or softmax made, and not their own input.
WITHOUT_GATES = {"DeformableLKA", "FocalModulation", "MLLAttention"}


def run(name: str, **options: object) -> tuple[nn.Module, list]:
    torch.manual_seed(0)
    module = build_attention(name, 16, **options).eval()
    return module, gates_of(module, X)


def test_channel_gate_of_se_is_what_it_multiplies_by() -> None:
    module, (found,) = run("SE", reduction=4)
    (gate,) = found.gates
    assert gate.kind == "sigmoid"
    assert gate.map is None
    assert torch.allclose(X * gate.bars.view(1, 16, 1, 1), module(X), atol=1e-6)
    assert torch.allclose(found.before, X[0].square().mean(0).sqrt())
    assert torch.allclose(found.after, module(X)[0].square().mean(0).sqrt(), atol=1e-6)


def test_cbam_has_a_gate_of_channels_and_one_of_positions() -> None:
    module, (found,) = run("CBAM")
    channel, position = found.gates
    assert channel.bars.shape == (16,)
    assert position.map.shape == (6, 8)
    made = X * channel.bars.view(1, 16, 1, 1) * position.map
    assert torch.allclose(made, module(X), atol=1e-5)


def test_simam_gates_every_value_and_lka_multiplies_its_input() -> None:
    module, (found,) = run("SimAM")
    assert torch.allclose(found.gates[0].map, (module(X) / X)[0].mean(0), atol=1e-4)
    assert run("LKA", wrapped=False)[1][0].gates[0].kind == "factor"


def test_fused_attention_is_computed_once_more() -> None:
    _, (found,) = run("MHSA")
    (gate,) = found.gates
    assert gate.kind == "attention"
    assert gate.map.shape == (6, 8)
    assert float(gate.map.sum()) == pytest.approx(1, abs=1e-5)


def test_a_network_names_its_modules_and_computes_the_same(tmp_path: Path) -> None:
    model = lively(write_free_graph(tmp_path), {0: "a", 1: "b"}).eval()
    x = torch.rand(1, 3, 64, 64)
    (found,) = gates_of(model, x)
    assert (found.row, found.name, found.kind) == (4, "model.3_SimAM", "SimAM")
    assert found.before.shape == (8, 8)
    assert not model.model[4]._forward_hooks
    assert not model.model[4]._forward_pre_hooks
    assert torch.allclose(found.after, _energy_of_row(model, x), atol=1e-5)


def _energy_of_row(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Root mean square of row 4's output, without gates."""
    with torch.no_grad():
        return record(model, x, [4]).maps[4][0].square().mean(0).sqrt()


class _Weights(nn.Module):
    """A part called attention that gets means, not maps."""

    def forward(self, means: torch.Tensor) -> torch.Tensor:
        return means.sigmoid()


def test_gates_of_a_part_without_maps_are_those_of_the_whole() -> None:
    class PartAttention(_Weights):
        pass

    class WholeAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = PartAttention()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.part(x.mean((2, 3)))[..., None, None]

    (found,) = gates_of(nn.Sequential(WholeAttention()), X)
    (gate,) = found.gates
    assert torch.allclose(gate.bars, X.mean((2, 3)).sigmoid()[0])


@pytest.mark.parametrize(
    ("shape", "bars", "is_map"),
    [
        ((1, 16), 16, False),
        ((1, 16, 1, 1), 16, False),
        ((1, 1, 16), 16, False),
        ((1, 16, 6), 16, False),
        ((1, 1, 6, 8), None, True),
        ((1, 4, 6, 8), 4, True),
        ((1, 1, 6, 1), None, True),
        ((1, 2, 48, 48), None, True),
    ],
)
def test_the_shape_says_how_a_gate_is_shown(shape, bars: int | None, is_map: bool) -> None:
    gate = read_gate("sigmoid", torch.rand(shape), (6, 8))
    assert gate is not None
    assert (None if gate.bars is None else len(gate.bars)) == bars
    assert (gate.map is not None) == is_map
    if is_map:
        assert gate.map.shape == (6, 8)


@pytest.mark.slow
def test_nearly_the_whole_library_shows_its_gates() -> None:
    without = set()
    for kind in set(ATTENTION.library.values()):
        torch.manual_seed(0)
        module = build_attention(kind.__name__, 64).eval()
        x = torch.rand(1, 64, 16, 16)
        found = gates_of(module, x)[-1]
        with torch.no_grad():
            wanted = module(x)[0].square().mean(0).sqrt()
        assert torch.allclose(found.after, wanted, atol=1e-3), kind
        if not any(one.gates for one in gates_of(module, x)):
            without.add(kind.__name__)
    assert without == WITHOUT_GATES
