"""init: identity: nothing changes at first, and everything can learn from there."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from models.attention import build_attention
from models.attention._identity import start_as_identity
from models.attention._registry import ATTENTION
from models.graph.load import load_graph
from models.yolo import DetectionModel
from tests.tiny import GRAPH
from utils.errors import UserError
from utils.files import ROOT

CLASSES = sorted({kind.__name__ for kind in ATTENTION.values()})


class Halving(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bit_equal_in_both_modes_and_learning_from_there(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 64, 9, 7).to(dtype)
    module = build_attention(name, 64, init="identity").to(dtype)
    assert torch.equal(module.eval()(x), x)
    weights = torch.randn(x.shape).to(dtype)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3 if dtype == torch.float32 else 1e-1)
    before = copy.deepcopy(module.state_dict())
    for step in range(3):
        out = module.train()(x)
        assert torch.equal(out, x) == (step == 0)
        optimizer.zero_grad()
        (out * weights).sum().backward()
        optimizer.step()
    moved = {
        key
        for key, parameter in module.named_parameters()
        if not torch.equal(parameter, before[key])
    }
    learned = {key for key, _ in module.named_parameters()}
    still = {key for key in learned if key.endswith("weight") or "alpha" in key} - moved
    assert (
        dtype == torch.bfloat16 or not still
    )  # biases before a norm have no gradient, and small steps round away


def test_the_modules_own_names_stay() -> None:
    module = start_as_identity(Halving())
    assert list(module.state_dict()) == ["factor", "alpha"]
    x = torch.randn(1, 2, 3, 3)
    module.alpha.data.fill_(1.0)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(module(x), x / 2)
    module.alpha.data.fill_(0.5)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(module(x), x * 0.75)


def test_a_copy_has_its_own_alpha() -> None:
    module = start_as_identity(Halving())
    twin = copy.deepcopy(module)
    twin.alpha.data.fill_(1.0)  # type: ignore[union-attr, operator]
    x = torch.ones(1, 1, 2, 2)
    assert torch.equal(module(x), x)
    assert torch.equal(twin(x), x / 2)


@pytest.mark.parametrize("values", [{"init": "zero"}, {"init": None}])
def test_other_starts_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"init: .* must be paper or identity"):
        build_attention("SimAM", 8, **values)


def test_impossible_where_channels_change() -> None:
    with pytest.raises(
        UserError, match="init: identity: impossible where the number of channels changes"
    ):
        build_attention("ACmix", 16, out_channels=32, init="identity")


def outputs(graph: dict[str, Any]) -> list[Tensor]:
    """Decoded boxes and maps of a graph in eval mode, and its maps in train mode."""
    model = DetectionModel(graph)
    x = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    decoded, maps = model.eval()(x)  # with gradients, as the modules compute in training
    return [one.detach() for one in (decoded, *maps, *model.train()(x))]


@functools.cache
def plain_outputs() -> list[Tensor]:
    """Those of the tiny graph without its row of attention."""
    plain: dict[str, Any] = copy.deepcopy(GRAPH)
    del plain["backbone"][4]
    return outputs({**plain, "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]]})


@pytest.mark.parametrize("name", CLASSES)
def test_a_whole_graph_computes_what_the_plain_one_does(name: str) -> None:
    """The same weights by (seed, key), the same outputs bit by bit, in eval and in train mode."""
    graph: dict[str, Any] = {**copy.deepcopy(GRAPH), "attention_init": "identity"}
    graph["backbone"][4] = [-1, 1, name, {}]
    pairs = zip(outputs(graph), plain_outputs(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_graph_says_it_and_a_row_may_say_otherwise() -> None:
    graph = {**copy.deepcopy(GRAPH), "attention_init": "identity"}
    assert hasattr(DetectionModel(graph).model[4], "alpha")
    assert "alpha" in str(list(DetectionModel(DetectionModel(graph).graph).state_dict()))
    graph["backbone"][4] = [-1, 1, "SimAM", {"init": "paper"}]
    assert not hasattr(DetectionModel(graph).model[4], "alpha")
    with pytest.raises(UserError, match="attention_init: none: must be paper or identity"):
        DetectionModel({**graph, "attention_init": "none"})


def test_shipped_graphs_start_as_the_papers_do() -> None:
    for path in sorted((ROOT / "models").glob("yolov5s_*.yaml")):
        assert "attention_init" not in yaml.safe_load(path.read_text())
    assert "attention_init" not in load_graph("yolov5s_SimAM.yaml")
