"""The YOLO12 authors' area attention, converted: golden values, checkpoints, other tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention.area import AAttn
from models.graph.load import load_graph
from models.weights.load import from_checkpoint, read_weights
from models.weights.upstream.adopt import with_graph
from models.weights.upstream.area import join_qkv
from models.yolo import DetectionModel
from tests.models.attention.golden import Golden, draws, fill
from tests.pickles import Name, Thing, saved
from tests.upstream_files import content_of

GOLDEN = Golden("area")
GRAPH = {
    **load_graph("yolo12n.yaml"),
    "nc": 2,
    "scales": {"n": [0.5, 0.0625, 1024]},
    "scale": "n",
}


def authors(channels: int) -> nn.Module:
    """A module with the fork's tensors, which computes nothing."""
    module = nn.Module()
    sizes = {"qk": (2, 1, 1), "v": (1, 1, 1), "proj": (1, 1, 1), "pe": (1, 5, channels)}
    for name, (factor, side, groups) in sizes.items():
        part = nn.Module()
        part.conv = nn.Conv2d(channels, factor * channels, side, groups=groups, bias=False)
        part.bn = nn.BatchNorm2d(factor * channels)
        module.add_module(name, part)
    return module


def test_golden_of_the_authors_form() -> None:
    """Their outputs, by their tensors in our module."""
    fork = authors(64).double()
    with torch.no_grad():
        fill(fork, GOLDEN.entries("aattn_authors", "8x10"))
    joined = join_qkv({f"a.{key}": value for key, value in fork.state_dict().items()}, {"a.": 4})
    module = AAttn(64, num_heads=4, area=4).double()
    module.load_state_dict({key.removeprefix("a."): value for key, value in joined.items()})
    x = draws(7, 2, 64, 8, 10).double()
    GOLDEN.compare(module.eval()(x), "aattn_authors/8x10/eval")
    GOLDEN.compare(module.train()(x), "aattn_authors/8x10/train")


def separated(state: dict[str, Tensor], heads: int) -> dict[str, Tensor]:
    """The fork's tensors of an attention of ours, whose outer ring of the 7x7 kernel is dropped."""
    found = {}
    for key, value in state.items():
        if not key.startswith("qkv."):
            found[key] = value[..., 1:-1, 1:-1] if key == "pe.conv.weight" else value
        elif value.dim():
            q, k, v = value.unflatten(0, (heads, 3, -1)).unbind(1)
            found[key.replace("qkv", "qk")] = torch.cat((q, k)).flatten(0, 1)
            found[key.replace("qkv", "v")] = v.flatten(0, 1)
        else:
            found |= {key.replace("qkv", part): value for part in ("qk", "v")}
    return found


def model_with_small_kernels() -> DetectionModel:
    model = DetectionModel(GRAPH, seed=2)
    for module in model.modules():
        if isinstance(module, AAttn):
            with torch.no_grad():
                kernel = module.pe.conv.weight
                kernel.copy_(nn.functional.pad(kernel[..., 1:-1, 1:-1], [1] * 4))
    return model


def forked(model: DetectionModel) -> dict[str, Tensor]:
    """The state dict that the fork would save."""
    state = model.state_dict()
    for path, module in model.named_modules():
        if isinstance(module, AAttn):
            mine = {key: state.pop(f"{path}.{key}") for key in module.state_dict()}
            theirs = separated(mine, module.num_heads)
            state |= {f"{path}.{key}": value for key, value in theirs.items()}
    return state


def assert_same(found: dict[str, Tensor], model: DetectionModel) -> None:
    for key, value in model.state_dict().items():
        torch.testing.assert_close(found[key].to(value.dtype), value, rtol=1e-3, atol=1e-3)


def test_a_state_dict_of_the_fork_loads(tmp_path: Path) -> None:
    model = model_with_small_kernels()
    assert "model.6.m.0.0.attn.qk.conv.weight" in forked(model)
    torch.save(forked(model), tmp_path / "fork.pt")
    checkpoint = with_graph(read_weights(tmp_path / "fork.pt"), GRAPH, "fork.pt")
    assert_same(from_checkpoint(checkpoint).state_dict(), model)


def split_things(thing: Thing) -> None:
    """Give every area attention of a network, as the original program saves it, the fork's form."""
    children: dict[str, Any] = thing.state.get("_modules", {})
    for child in children.values():
        if isinstance(child, Thing):
            split_things(child)
    if "qkv" not in children:
        return
    state = {
        f"{name}.{inner}.{key}": value
        for name, child in children.items()
        for inner, part in child.state["_modules"].items()
        for kind in ("_parameters", "_buffers")
        for key, value in part.state.get(kind, {}).items()
        if value is not None
    }
    found = separated(state, thing.state["num_heads"])
    joined = children.pop("qkv")
    for name in ("qk", "v"):
        children[name] = rebuilt(joined, found, f"{name}.")
    children["pe"].state["_modules"]["conv"].state |= {"padding": (2, 2), "kernel_size": (5, 5)}
    children["pe"] = rebuilt(children["pe"], found, "pe.")


def rebuilt(thing: Thing, state: dict[str, Tensor], start: str) -> Thing:
    """A copy of a Conv with the tensors that begin so."""
    parts = {}
    for inner, part in thing.state["_modules"].items():
        kinds = {
            kind: {key: state.get(f"{start}{inner}.{key}") for key in part.state.get(kind, {})}
            for kind in ("_parameters", "_buffers")
        }
        parts[inner] = Thing(part.kind, {**part.state, **kinds})
    return Thing(thing.kind, {**thing.state, "_modules": parts})


@pytest.mark.parametrize("heads", [1, 2])
def test_a_checkpoint_of_the_fork_loads(heads: int, tmp_path: Path) -> None:
    """The number of heads is that of the module, not what its width suggests."""
    model = model_with_small_kernels()
    for module in model.modules():
        if isinstance(module, AAttn):
            module.num_heads = heads
    content = content_of(model)
    rows = content["model"].state["_modules"]["model"]
    add_heads(rows, heads)
    split_things(rows)
    (tmp_path / "fork.pt").write_bytes(saved(content))
    assert_same(read_weights(tmp_path / "fork.pt").state, model)


def add_heads(thing: Thing, heads: int) -> None:
    for child in thing.state.get("_modules", {}).values():
        if isinstance(child, Thing):
            add_heads(child, heads)
    if "qkv" in thing.state.get("_modules", {}):
        thing.state["num_heads"] = heads
        thing.kind = Name("ultralytics.nn.modules.block", "AAttn")


def test_other_tensors_are_left_alone() -> None:
    state = AAttn(32).state_dict()
    assert join_qkv(state, {}) == dict(state)
    other = {
        "x.qk.conv.weight": torch.zeros(8, 4, 3, 3),
        "x.v.conv.weight": torch.zeros(4, 4, 1, 1),
    }
    assert join_qkv(other, {}) == other
    lonely = {"qk.conv.weight": torch.zeros(8, 4, 1, 1)}
    assert join_qkv(lonely, {}) == lonely
