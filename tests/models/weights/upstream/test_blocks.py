"""Attention inside blocks of forks: recognised by keys, with the original program's outputs.

tests/golden/yolov5/fork_blocks.npz holds outputs of YOLOv5 with such blocks in its graph.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.attention import build_attention
from models.blocks.v8 import C2f, C3k2
from models.common import C3, SPPF, Bottleneck, Conv
from models.graph.inside import PLACES
from models.graph.read import read_graph
from models.weights.load import from_checkpoint
from models.weights.upstream.adopt import with_graph
from models.weights.upstream.blocks import BlockFound, recognise_block
from models.weights.upstream.plain import ForeignRow
from models.yolo import DetectionModel
from tests.models.weights.upstream.forks import check_outputs, written
from tests.tiny import GRAPH
from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.files import ROOT
from utils.pickles.objects import PickledObject

FILE = np.load(ROOT / "tests" / "golden" / "yolov5" / "fork_blocks.npz")
CASES: dict[str, Any] = json.loads(str(FILE["meta"]))
STATED = {"c2f_ema_sum": {"place": "sum"}}  # what keys do not tell and a file of tensors lacks


@pytest.mark.parametrize("name", CASES)
def test_a_state_dict_of_the_original_program_gives_its_outputs(name: str) -> None:
    graph, state = written(CASES[name])
    if name in STATED:
        graph["backbone"][4][3].append({"inside": "EMA", **STATED[name]})
    check_outputs(graph, state, FILE[name])


@pytest.mark.parametrize("name", ["c3se", "c2f_ema_between", "conv_ca", "c3eca_input"])
def test_a_fused_state_dict_gives_the_same_outputs(name: str) -> None:
    graph, state = written(CASES[name])
    for key in [key for key in state if key.endswith(".bn.running_var")]:
        stem = key.removesuffix("bn.running_var")
        if "ca." in stem or stem == "model.4.":  # as the program, which fuses only its own Conv
            continue
        weight, bias, mean, variance, _ = (
            state.pop(f"{stem}bn.{part}")
            for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        )
        scale = weight.double() / (variance.double() + 1e-3).sqrt()
        kernel = state[f"{stem}conv.weight"]
        state[f"{stem}conv.weight"] = kernel.double() * scale.view(-1, 1, 1, 1)
        state[f"{stem}conv.bias"] = bias.double() - mean.double() * scale
    check_outputs(graph, state, FILE[name], 1e-5)


def row(
    block: nn.Module,
    extra: dict[str, nn.Module],
    name: str = "Own",
    written: list[Any] | None = None,
    modules: dict[str, PickledObject] | None = None,
) -> ForeignRow:
    """A row of a block with modules beside its own, or in their place, by their paths."""
    state: dict[str, Tensor] = dict(block.state_dict())
    for path, module in extra.items():
        state = {key: one for key, one in state.items() if not key.startswith(f"{path}.")}
        state |= {f"{path}.{key}".lstrip("."): one for key, one in module.state_dict().items()}
    return ForeignRow("row 4: Own", (name,), written or [32], state, (modules or {}).get)


def recognised(found: BlockFound | None) -> tuple[str, list[object]]:
    assert found is not None
    return found.base, found.arguments


@pytest.mark.parametrize(
    ("path", "place", "channels"),
    [
        ("m.0", "branch", 16),
        ("m.0.att", "branch", 16),
        ("m.0.cv1.att", "between", 16),
        ("m.0.cv2.att", "branch", 16),
        ("m.0.cv3", "between", 16),
        ("att", "output", 32),
    ],
)
def test_the_keys_tell_the_place(path: str, place: str, channels: int) -> None:
    attention = build_attention("SE", channels, reduction=4)
    found = recognise_block(row(C3(24, 32), {}, "Own"))
    assert found is None
    block = C3(24, 32)
    holder = block.get_submodule("m.0") if path == "m.0" else None
    if holder is not None:
        for name, child in attention.named_children():
            holder.add_module(name, child)
    base, arguments = recognised(
        recognise_block(row(block, {} if holder is not None else {path: attention}))
    )
    assert base == "C3"
    assert arguments == [
        32,
        {"inside": "SE", "place": place, "reduction": 4, "bias": False},
    ]


def test_attention_before_the_last_convolution_or_the_block_by_its_width() -> None:
    wide = build_attention("LSKA", 64, k_size=11)  # SPPF joins 4 maps of 16 channels
    found = recognise_block(row(SPPF(32, 48), {"lska": wide}, written=[48, 5]))
    settings = {"inside": "LSKA", "place": "concat", "k_size": 11}
    assert recognised(found) == ("SPPF", [48, 5, settings])
    first = build_attention("SE", 24, reduction=4)
    _, arguments = recognised(recognise_block(row(C3(24, 32), {"se": first})))
    assert arguments[-1] == {"inside": "SE", "place": "input", "reduction": 4, "bias": False}


def test_attention_in_place_of_the_bottlenecks_and_narrow_ones() -> None:
    rest = recognise_block(row(C2f(24, 32), {"m.0": build_attention("iRMB", 16)}, "C2f_iRMB"))
    base, arguments = recognised(rest)
    assert base == "C2f"
    assert isinstance(arguments[-1], dict)
    assert arguments[-1]["place"] == "replace"
    narrow = C3(24, 32)
    narrow.m[0] = Bottleneck(16, 16, expansion=0.5)
    found = recognise_block(row(narrow, {"m.0.ca": build_attention("CoordAttention", 16)}))
    _, arguments = recognised(found)
    assert isinstance(arguments[-1], dict)
    assert arguments[-1]["bottleneck"] == 0.5


def test_links_of_c3k2_are_told_by_their_keys() -> None:
    attention = {f"m.0.m.{number}.se": build_attention("SE", 8) for number in (0, 1)}
    found = recognise_block(row(C3k2(24, 32, 1, True), attention, "C3k2_SE", [32, False, 0.5]))
    base, arguments = recognised(found)
    assert (base, arguments[:3]) == ("C3k2", [32, True, 0.5])
    assert found is not None
    assert "m.0.m.1.attention.fc.0.weight" in found.state


def test_a_row_that_is_a_bottleneck() -> None:
    extra = {"ema": build_attention("EMA", 32, factor=8)}
    found = recognise_block(row(Bottleneck(32, 32), extra, "Bottleneck_EMA"))
    settings = {"inside": "EMA", "place": "branch", "factor": 8}
    assert recognised(found) == ("Bottleneck", [32, settings])
    assert found is not None
    assert "attention.conv1x1.weight" in found.state


def test_all_copies_of_a_repeated_block_get_our_keys() -> None:
    state = row(C3(32, 32), {"m.0.se": build_attention("SE", 16)}).state
    both = {f"{copy}.{key}": one for copy in (0, 1) for key, one in state.items()}
    found = recognise_block(ForeignRow("row 4: Own", ("C3SE",), [32], both))
    _, arguments = recognised(found)
    assert isinstance(arguments[-1], dict)
    assert arguments[-1]["repeat"] == "block"
    assert found is not None
    assert "1.m.0.attention.fc.0.weight" in found.state
    assert found.paths["1.m.0.attention.fc.0"] == "1.m.0.se.fc.0"


def test_what_modules_of_the_file_show_beside_their_tensors() -> None:
    extra = {"m.0.se": build_attention("SE", 16)}
    add = {"m.0": PickledObject("x", {"add": True})}
    _, arguments = recognised(recognise_block(row(C2f(24, 32), extra, "C2f_SE", None, add)))
    assert arguments[:2] == [32, True]
    act = {"act": PickledObject("torch.nn.Hardswish", {})}
    att = {"ca": build_attention("CoordAttention", 32)}
    base, arguments = recognised(recognise_block(row(Conv(24, 32, 3), att, "X", [32, 3], act)))
    assert (base, arguments[:-1]) == ("Conv", [32, 3, 1, None, 1, 1, "nn.Hardswish()"])


def test_attention_without_tensors_is_where_its_module_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    block = PickledObject("x", {"_modules": {"sim": PickledObject("y.SimAM", {})}})
    found = recognise_block(row(C2f(24, 32), {}, "C2f_SimAM", None, {"": block}))
    assert recognised(found) == ("C2f", [32, {"inside": "SimAM", "place": "concat"}])
    assert not capsys.readouterr().out
    found = recognise_block(row(C2f(24, 32), {}, "C2f_SimAM"))
    assert recognised(found) == ("C2f", [32, {"inside": "SimAM", "place": "branch"}])
    assert "has no tensors" in capsys.readouterr().out


def test_what_is_assumed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    recognise_block(row(C3(24, 32), {"m.0.eca": build_attention("ECA", 16)}))
    assert "before the addition" in capsys.readouterr().out
    recognise_block(row(C3(24, 32), {"eca": build_attention("ECA", 24)}))
    assert "on its input" in capsys.readouterr().out
    stated = [32, {"inside": "SE", "place": "concat"}]
    found = recognise_block(row(C3(24, 32), {"se": build_attention("SE", 32)}, "C3", stated))
    _, arguments = recognised(found)
    assert isinstance(arguments[-1], dict)
    assert arguments[-1]["place"] == "concat"
    assert not capsys.readouterr().out


def test_keys_that_leave_the_place_or_the_use_open_are_refused() -> None:
    with pytest.raises(UserError, match=r"row 4: Own: .*ema.*place: output"):
        recognise_block(row(C2f(24, 32), {"ema": build_attention("EMA", 32, factor=8)}))
    fused = Conv(24, 32, 3)
    fused.fuse()
    cbam = build_attention("CBAM", 32, formula="plain")
    with pytest.raises(UserError, match="before it is fused"):
        recognise_block(row(fused, {"cbam": cbam}))


def test_what_is_not_recognised() -> None:
    other = nn.Linear(5, 7)
    assert recognise_block(row(C3(24, 32), {"m.0.att": other})) is None
    assert recognise_block(row(C3(24, 32), {"m.0.output_attention": other})) is None
    first_only = {"m.0.se": build_attention("SE", 16)}
    assert recognise_block(row(C3(24, 32, 2), first_only)) is None
    assert recognise_block(ForeignRow("row 4: Own", ("Own",), [32], {})) is None


def test_the_row_that_is_found_reads_as_a_graph() -> None:
    graph, state = written(CASES["c3se_whole"])
    prefix = "model.4."
    own = {key.removeprefix(prefix): one for key, one in state.items() if key.startswith(prefix)}
    found = recognise_block(ForeignRow("row 4: C3SE", ("C3SE",), [128], own))
    base, arguments = recognised(found)
    graph["backbone"][4][2:] = [base, arguments]
    assert read_graph(graph).rows[4].inside == arguments[-1]
    assert torch.equal(found.state["0.m.0.cv1.conv.weight"], own["0.m.0.cv1.conv.weight"])  # type: ignore[union-attr]


def test_a_state_dict_with_another_block_of_the_name_is_refused() -> None:
    graph, state = written(CASES["c3se"])
    state = {key.replace("m.1.l2", "m.1.l3"): value for key, value in state.items()}
    with pytest.raises(UserError, match=r"state.pt: row 4: C3SE: m.0.l1.weight has no"):
        with_graph(Checkpoint({}, {}, state), graph, "state.pt")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["SE", "EMA", "CBAM", "SimAM", "MHSA"])
def test_a_state_dict_of_ours_keeps_its_graph_and_keys(
    place: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    graph: dict[str, Any] = copy.deepcopy(GRAPH)
    graph["backbone"][2] = [-1, 6, "C3", [64, {"inside": kind, "place": place}]]
    model = DetectionModel(graph)
    state = dict(model.state_dict())
    found = with_graph(Checkpoint({}, {}, state), graph, "state.pt")
    assert found.state.keys() == state.keys()
    assert from_checkpoint(found).state_dict().keys() == state.keys()
    assert read_graph(found.graph).rows[2].inside["place"] == place  # type: ignore[index]
    assert "note" not in capsys.readouterr().out
