"""Places inside blocks: where each is, that nothing else changes, and values of public blocks."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention.cbam import CBAM
from models.blocks.ghost import GhostBottleneck
from models.blocks.rare import SPP, BottleneckCSP, C3x
from models.blocks.v8 import C2, C2PSA, C2f, C3k2
from models.common import C3, SPPF, Bottleneck, Conv
from models.graph.inside import PLACES, places_of, resize_bottlenecks, spots_of
from models.graph.read import read_graph
from models.yolo import DetectionModel, parse_model
from tests.models.attention.golden import Golden, draws
from tests.models.attention.test_cbam import CopiedSpatialGate
from utils.errors import UserError

BLOCKS: dict[str, tuple[str, list[Any]]] = {  # each kind of block, its row and the places it has
    "C3": ("branch replace concat output input between sum", [16]),
    "C3x": ("branch replace concat output input between sum", [16]),
    "C3Ghost": ("branch replace concat output input sum", [16]),
    "C3TR": ("concat output input", [16]),
    "C3SPP": ("concat output input", [16]),
    "BottleneckCSP": ("branch replace concat output input between sum", [16]),
    "C2": ("branch replace concat output input between sum", [16]),
    "C2f": ("branch replace concat output input between sum", [16]),
    "C3k": ("branch replace concat output input between sum", [16]),
    "C3k2": ("branch replace concat output input between sum", [16]),
    "C2PSA": ("replace concat output input", [16]),
    "SPPF": ("concat output input", [16]),
    "SPP": ("concat output input", [16]),
    "Bottleneck": ("branch output input between sum", [16]),
    "GhostBottleneck": ("branch output input sum", [16]),
    "ResBlock": ("branch output input between sum", [16]),
    "Conv": ("output input", [16, 3, 2]),
    "GhostConv": ("output input", [16]),
    "nn.ConvTranspose2d": ("output input", [16, 2, 2]),
}
CASES = [(name, place) for name, (places, _) in BLOCKS.items() for place in places.split()]


def graph_of(*rows: list[Any], width: int = 16) -> dict[str, Any]:
    """A graph whose row 1 is the first of the rows, and reads `width` channels."""
    return {
        "nc": 2,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "anchors": 2,
        "yaml_file": "g.yaml",
        "backbone": [[-1, 1, "Conv", [width, 3, 8]], *rows],
        "head": [[[-1], 1, "Detect", ["nc", "anchors"]]],
    }


def block_of(*row: Any, width: int = 16) -> nn.Module:
    """The module of a row, with the norms' constants of PyTorch."""
    return parse_model(read_graph(graph_of(list(row), width=width)), 0)[0][1]


def attended(name: str, place: str, **settings: Any) -> nn.Module:
    mapping = {"inside": "SE", "place": place, **settings}
    return block_of(-1, 1, name, [*BLOCKS[name][1], mapping])


@pytest.mark.parametrize("name", BLOCKS)
def test_the_places_of_a_block(name: str) -> None:
    places, arguments = BLOCKS[name]
    assert places_of(block_of(-1, 1, name, arguments)) == places.split()


@pytest.mark.parametrize(("name", "place"), CASES)
def test_attention_is_an_addition(name: str, place: str) -> None:
    """The block's own tensors have the names and values that they have without it."""
    plain = block_of(-1, 1, name, BLOCKS[name][1]).state_dict()
    block = attended(name, place)
    state = block.state_dict()
    gone = plain.keys() - state.keys()
    assert all(".attn." in key or key.startswith("m.") for key in gone)
    assert bool(gone) == (place == "replace")
    assert all(torch.equal(state[key], plain[key]) for key in plain.keys() - gone)
    added = state.keys() - plain.keys()
    assert added
    x = draws(7, 2, 16, 6, 5)
    first, second = block.eval()(x), attended(name, place).eval()(x)
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("name", "place"), [case for case in CASES if case[1] not in ("replace", "sum")]
)
def test_an_identity_changes_no_bit(name: str, place: str) -> None:
    x = draws(7, 2, 16, 6, 5)
    plain = block_of(-1, 1, name, BLOCKS[name][1]).eval()(x)
    assert torch.equal(attended(name, place, init="identity").eval()(x), plain)
    assert not torch.equal(attended(name, place).eval()(x), plain)


def halve(spot_block: nn.Module, place: str, inputs: int, outputs: int) -> list[int]:
    """Put a module that halves its input at a place. Returns the widths of the spots."""

    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    spots = spots_of(spot_block, place, inputs, outputs)
    for spot in spots:
        spot.put(Half())
    return [spot.width for spot in spots]


def formula_of(block: Any, place: str, x: Tensor) -> Tensor:
    """What a C3 of one bottleneck gives with a half at a place, by hand."""
    inner = block.m[0]
    x = x / 2 if place == "input" else x
    start = block.cv1(x)
    middle = inner.cv1(start) / (2 if place == "between" else 1)
    branch = inner.cv2(middle) / (2 if place == "branch" else 1)
    deep = (start + branch) / (2 if place == "sum" else 1)
    deep = start / 2 if place == "replace" else deep
    joined = torch.cat((deep, block.cv2(x)), 1) / (2 if place == "concat" else 1)
    return block.cv3(joined) / (2 if place == "output" else 1)


@pytest.mark.parametrize("place", PLACES)
def test_each_place_of_c3_by_hand(place: str) -> None:
    plain, x = C3(12, 16).eval(), draws(7, 2, 12, 6, 5)
    block = copy.deepcopy(plain)
    expected_width = {"concat": 16, "output": 16, "input": 12}.get(place, 8)
    assert halve(block, place, 12, 16) == [expected_width]
    torch.testing.assert_close(block(x), formula_of(plain, place, x))


@pytest.mark.parametrize(
    ("block", "width"),
    [(C2f(12, 16, 2), 32), (C2(12, 16, 2), 16), (SPPF(12, 16), 24), (SPP(12, 16), 24),
     (BottleneckCSP(12, 16), 16), (C2PSA(16, 16), 16), (C3x(12, 16), 16), (C3k2(12, 16, 2), 32)],
)  # fmt: skip
def test_the_concatenation_of_other_blocks(block: Any, width: int) -> None:
    """A last convolution of zeros and ones shows the halved sum of what it reads."""
    last = getattr(block.eval(), block.merge)
    seen: list[Tensor] = []
    last.conv.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = draws(7, 2, 16 if isinstance(block, C2PSA) else 12, 6, 5)
    block(x)
    assert halve(block, "concat", 12, 16) == [width]
    block(x)
    assert torch.equal(seen[0] / 2, seen[1])


def test_every_bottleneck_of_c3k2_is_found() -> None:
    deep = C3k2(16, 16, 2, True)
    assert halve(deep, "branch", 16, 16) == [4] * 4
    assert [spot.key for spot in spots_of(C3k2(16, 16, 2, True), "replace", 16, 16)] == [
        "m.0.m.0", "m.0.m.1", "m.1.m.0", "m.1.m.1",
    ]  # fmt: skip


def test_psa_keeps_its_residual_around_what_replaces_its_attention() -> None:
    block = C2PSA(16, 16).eval()
    plain = copy.deepcopy(block)
    assert halve(block, "replace", 16, 16) == [8]
    x = draws(7, 1, 8, 3, 4)
    torch.testing.assert_close(block.m[0](x), 1.5 * x + plain.m[0].ffn(1.5 * x))


def test_keys_say_the_place() -> None:
    found = {
        place: next(key for key in attended("C3", place).state_dict() if "fc.0" in key)
        for place in PLACES
    }
    assert found == {
        "branch": "m.0.attention.fc.0.weight",
        "replace": "m.0.fc.0.weight",
        "concat": "cv3.input_attention.fc.0.weight",
        "output": "output_attention.fc.0.weight",
        "input": "input_attention.fc.0.weight",
        "between": "m.0.cv1.output_attention.fc.0.weight",
        "sum": "m.0.output_attention.fc.0.weight",
    }


def test_repeated_blocks_have_one_each_of_their_own_width() -> None:
    block = block_of(-1, 2, "Conv", [16, {"inside": "SE", "place": "input"}])
    weights = [block[i].state_dict()["input_attention.fc.0.weight"] for i in (0, 1)]
    assert not torch.equal(*weights)
    wide = block_of(-1, 1, "Conv", [24, {"inside": "SE", "place": "input"}])
    assert wide.state_dict()["input_attention.fc.0.weight"].shape == (1, 16)


@pytest.mark.parametrize(("name", "place"), [("Conv", "output"), ("C3", "concat"), ("C2f", "sum")])
def test_fusing_keeps_the_attention(name: str, place: str) -> None:
    mapping = {"inside": "SE", "place": place}
    model, plain = (
        DetectionModel(graph_of([-1, 1, name, arguments])).eval()
        for arguments in ([16, mapping], [16])
    )
    x = draws(7, 1, 3, 64, 64)
    before, without = model(x)[0], plain(x)[0]
    torch.testing.assert_close(model.fuse()(x)[0], before)
    assert not torch.allclose(before, without)


@pytest.mark.parametrize("place", ["output", "input", "concat"])
def test_a_deep_copy_has_an_attention_of_its_own(place: str) -> None:
    """As the average of the weights has, which is a deep copy."""
    block = attended("C3", place).eval()
    twin, x = copy.deepcopy(block), draws(7, 1, 16, 6, 5)
    assert torch.equal(twin(x), block(x))
    with torch.no_grad():
        for key, value in twin.named_parameters():
            if "_attention" in key:
                value.mul_(-40)
    assert not torch.equal(twin(x), block(x))


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("C3", {"place": "inside"}, "place: inside: must be one of branch, replace, concat"),
        ("C3", {"place": ["sum"]}, "must be one of branch"),
        (
            "SPPF",
            {},
            "inside: SPPF has no bottlenecks; write one of its places, such as {place: concat}",
        ),
        ("C3TR", {"place": "sum"}, "inside: C3TR has no place sum; write one of its places"),
        ("Conv", {"place": "concat"}, "from output, input"),
        ("C3", {"bottleneck": 0}, "bottleneck: 0: must be a number above 0"),
        ("C3", {"bottleneck": "x"}, "bottleneck: x: must be a number above 0"),
        ("C3Ghost", {"bottleneck": 0.5}, "bottleneck: C3Ghost has none of a variable width"),
        ("Bottleneck", {"bottleneck": 0.5}, "this row's own fourth argument"),
    ],
)
def test_mistakes_are_one_line(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        block_of(-1, 1, name, [*BLOCKS[name][1], {"inside": "SE", **settings}])
    assert said in str(error.value)
    assert str(error.value).startswith("g.yaml: row 1: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("row", [["nn.Upsample", ["None", 2, "nearest"]], ["SE", []]])
def test_rows_that_are_no_blocks_take_none(row: list[Any]) -> None:
    name, arguments = row
    with pytest.raises(UserError, match=f"inside: {name} takes none; put"):
        block_of(-1, 1, name, [*arguments, {"inside": "SE"}])


def test_the_width_of_bottlenecks() -> None:
    plain, narrow = C3(16, 16, 2), C3(16, 16, 2)
    resize_bottlenecks(narrow, 0.5)
    shapes = [tuple(one.m[1].cv1.conv.weight.shape) for one in (plain, narrow)]
    assert shapes == [(8, 8, 1, 1), (4, 8, 1, 1)]
    wide = C2f(16, 16, 1, True, 2)
    resize_bottlenecks(wide, 2)
    inner = wide.m[0]
    assert isinstance(inner, Bottleneck)
    assert inner.residual
    assert inner.cv2.conv.groups == 2
    assert tuple(inner.cv1.conv.weight.shape) == (16, 8, 3, 3)


def test_places_that_bottlenecks_lack() -> None:
    assert [spot.key for spot in spots_of(GhostBottleneck(8, 8), "sum", 8, 8)] == [
        "output_attention"
    ]
    with pytest.raises(UserError, match="GhostBottleneck has no place between"):
        spots_of(GhostBottleneck(8, 8), "between", 8, 8)
    with pytest.raises(UserError, match="Bottleneck has no place replace"):
        spots_of(Bottleneck(8, 8), "replace", 8, 8)


# The values of public blocks, through rows of their names

CA = {f"m.0.attention.{name}": f"m.0.{name}" for name in ("conv1", "bn1", "conv_h", "conv_w")}
GOLDEN_CASES: list[tuple[str, str, str, list[Any], dict[str, str]]] = [
    ("c3", "c3se", "C3SE", [64, {"bottleneck": 0.5}],
     {"m.0.attention.fc.0": "m.0.l1", "m.0.attention.fc.2": "m.0.l2"}),
    ("c3", "c3cbam", "C3CBAM", [64, {"bottleneck": 0.5}],
     {"m.0.attention.channel_attention.fc": "m.0.channel_attention.f",
      "m.0.attention.spatial_attention": "m.0.spatial_attention"}),
    ("c3", "c3eca", "C3ECA", [64, {"bottleneck": 0.5}], {"m.0.attention.conv": "m.0.conv"}),
    ("c3", "c3ca", "C3CA", [64, {"bottleneck": 0.5}], CA),
    ("c2f", "c2f_se_inside", "C2f_SE", [64, True],
     {"m.0.attention.fc.0": "m.0.se.l1", "m.0.attention.fc.2": "m.0.se.l2"}),
    ("c2f", "c2f_cbam_after", "C2f_CBAM", [64, {"place": "output"}],
     {"output_attention.channel_attention.fc": "cbam.channel_attention.f",
      "output_attention": "cbam"}),
    ("c2f", "sppf_lska", "SPPF_LSKA", [64, 5], {"cv2.input_attention": "lska"}),
    ("c2f", "conv_cbam", "ConvCBAM", [64, 3, 1, None, 1, 1, "nn.Hardswish()"],
     {"output_attention.channel_attention.fc": "ca.f", "output_attention.spatial_attention": "sa"}),
]  # fmt: skip


class Renamed(nn.Module):
    """A block under the names of its tensors in the file."""

    def __init__(self, block: nn.Module, names: dict[str, str]) -> None:
        super().__init__()
        self.block, self.names = block, names

    def public(self, key: str) -> str:
        for ours, theirs in self.names.items():
            if key.startswith(ours):
                return theirs + key.removeprefix(ours)
        return key

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        return {self.public(key): value for key, value in self.block.state_dict().items()}

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return ((self.public(key), value) for key, value in self.block.named_parameters())

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Tensor]]:
        return ((self.public(key), value) for key, value in self.block.named_buffers())

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


@pytest.mark.parametrize(("file", "variant", "name", "arguments", "names"), GOLDEN_CASES)
def test_golden(
    file: str, variant: str, name: str, arguments: list[Any], names: dict[str, str]
) -> None:
    block = block_of(-1, 1, name, arguments, width=64)
    for module in block.modules():
        if isinstance(module, CBAM):  # the copies join [mean, max]
            module.spatial_attention = CopiedSpatialGate("conv")  # type: ignore[assignment]
    golden = Golden(f"blocks_{file}")
    for size in golden.meta["variants"][variant]["sizes"]:
        golden.check(Renamed(block, names), variant, size)


def test_the_default_bottleneck_is_that_of_the_plain_block() -> None:
    block = block_of(-1, 1, "C3SE", [64], width=64)
    assert block.state_dict()["m.0.cv1.conv.weight"].shape == (32, 32, 1, 1)


def test_a_conv_keeps_its_class() -> None:
    assert type(attended("Conv", "output")) is Conv


def test_a_row_may_repeat_its_whole_block_instead_of_the_bottlenecks() -> None:
    settings = {"inside": "SE", "repeat": "block"}
    network, _ = parse_model(read_graph(graph_of([-1, 3, "C3", [16, settings]])), 0)
    assert isinstance(network[1], nn.Sequential)
    assert [len(block.m) for block in network[1]] == [1, 1, 1]
    assert "1.2.m.0.attention.fc.0.weight" in network.state_dict()
    usual, _ = parse_model(read_graph(graph_of([-1, 3, "C3", [16, {"inside": "SE"}]])), 0)
    assert len(usual[1].m) == 3
    wrong = {"inside": "SE", "repeat": "all"}
    with pytest.raises(UserError, match="repeat: all: must be bottleneck or block"):
        read_graph(graph_of([-1, 3, "C3", [16, wrong]]))
