"""Attention in a graph: inside bottlenecks, with weights and places of its own."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from models.blocks.ghost import GhostBottleneck
from models.blocks.rare import CrossConv
from models.blocks.v8 import WideBottleneck
from models.common import Bottleneck, Residual
from models.graph.attend import bottlenecks_of
from models.graph.load import load_graph
from models.graph.sites import insert
from models.yolo import DetectionModel
from tests.models.graph.test_sites import narrow, plain_run, rows_of, run_with
from utils.errors import UserError


def test_bottlenecks_have_the_names_that_state_dicts_give_them() -> None:
    block = torch.nn.Sequential(torch.nn.Identity(), Bottleneck(8, 8))
    assert [name for name, _ in bottlenecks_of(block)] == ["1"]
    assert [name for name, _ in bottlenecks_of(block[1])] == [""]
    assert bottlenecks_of(block[0]) == []


def test_attention_inside_draws_from_its_own_stream() -> None:
    """Base rows draw the weights that they have without it, and no two bottlenecks the same."""
    content = narrow("models/yolov5n.yaml")
    plain = DetectionModel(content).state_dict()
    state = DetectionModel(insert(content, "SE@inside C3")).state_dict()
    assert all(torch.equal(state[key], value) for key, value in plain.items())
    added = [key for key in state if key not in plain]
    assert added[0] == "model.2.m.0.attention.fc.0.weight"
    first, second = (state[f"model.4.m.{number}.attention.fc.0.weight"] for number in (0, 1))
    assert first.shape == second.shape
    assert not torch.equal(first, second)
    one = copy.deepcopy(content)
    one["backbone"][4][3].append({"inside": "SE"})
    assert torch.equal(
        DetectionModel(one).state_dict()["model.4.m.1.attention.fc.0.weight"], second
    )


@pytest.mark.parametrize("row", [4, 23])
def test_a_branch_passes_its_attention(row: int) -> None:
    """A new SE halves the branch, so the output changes.

    The input is added to the branch in row 4, and not in row 23.
    """
    content = narrow("models/yolov5n.yaml")
    part, index = ("backbone", row) if row < 10 else ("head", row - 10)
    content[part][index][3].append({"inside": "SE"})
    weights, image, output = plain_run("models/yolov5n.yaml")
    assert not torch.equal(run_with(content, weights, image), output)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([64, {"inside": "SinAM"}], "must name the attention"),
        ([64, {"inside": 3}], "must name the attention"),
        ([64, {"inside": ["SE"]}], "must name the attention"),
        ([64, {"inside": "SE", 3: 4}], "must name the attention"),
        ([64, {"inside": "SE", "reduction": math.inf}], "is not a sensible argument"),
        ([64, {"inside": "SE", "rate": 4}], "rate: SE has no such argument"),
        ([64, {"inside": "SE", "reduction": 0}], "reduction"),
        ([64, {"inside": "ACmix", "out_channels": 32}], "must keep the number of channels"),
        ([64, {"SE": "inside"}], "is not an argument"),
    ],
)
def test_inside_mistakes_are_one_line(arguments: list[Any], said: str) -> None:
    content = load_graph("models/yolov5n.yaml")
    rows = rows_of(content)
    rows[2] = [-1, 3, "C3", arguments]
    with pytest.raises(UserError) as error, torch.device("meta"):
        DetectionModel({**content, "backbone": rows[:10], "head": rows[10:]})
    assert said in str(error.value)
    assert str(error.value).startswith("models/yolov5n.yaml: row 2: ")


def test_rows_without_bottlenecks_say_so() -> None:
    content = load_graph("models/yolov5n.yaml")
    content["backbone"][9] = [-1, 1, "SPPF", [1024, 5, {"inside": "SE"}]]
    with pytest.raises(UserError, match="inside: SPPF has no bottlenecks"), torch.device("meta"):
        DetectionModel(content)


@pytest.mark.parametrize(
    "block",
    [Bottleneck(8, 8), Bottleneck(8, 8, shortcut=False), WideBottleneck(8, 8),
     GhostBottleneck(8, 8), CrossConv(8, 8, shortcut=True)],
)  # fmt: skip
def test_every_bottleneck_applies_it_before_the_addition(block: Residual) -> None:
    """With f(branch) = -branch, x + f(branch) and the plain output have their mean at x.

    Without a shortcut the mean is 0.
    """

    class Negative(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -x

    x = torch.rand(1, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = block.eval()(x)
        block.attention = Negative()
        turned = block(x)
    adds = getattr(block, "residual", True)
    torch.testing.assert_close(
        (plain + turned) / 2, x if adds else torch.zeros_like(x), rtol=1e-5, atol=1e-6
    )
    assert not torch.equal(plain, turned)


def test_the_graphs_own_init_holds_inside_too() -> None:
    content = insert(
        {**narrow("models/yolov5n.yaml"), "attention_init": "identity"}, "SE@inside.C3"
    )
    assert float(DetectionModel(content).state_dict()["model.2.m.0.attention.alpha"]) == 0
