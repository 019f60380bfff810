"""LAYERS, the one table of the names that rows may use besides those of attention modules.

To add a block, write its class in models/blocks/ and give it one entry here:

    "RepBlock": Layer(rare.RepBlock, "stack", repeats=True)

Everything else follows from the entry and the class. models/graph/build.py builds the rows by their
rule. Whether a block shrinks the map and whether it has bottlenecks, on which the names of places
depend, is measured from the block itself (models/graph/trial.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import nn

from models import common
from models.activations import ACTIVATIONS
from models.attention import ATTENTION, options
from models.blocks import (
    asf,
    bifpn,
    cga,
    csp,
    downsample,
    fuse,
    gated,
    ghost,
    kernels,
    linear_deform,
    mobile,
    omni,
    pyramid,
    rare,
    receptive,
    reparam,
    residual,
    scales,
    slim,
    swin,
    transformer,
    upsample,
    v8,
    v10,
    v12,
)
from models.graph.factors import Factor, area, grows, keeps, pools, repeated, shrinks, side_of
from models.graph.values import Arguments, is_whole
from models.heads.anchor_based import Detect
from models.heads.anchor_free import DetectV10
from models.heads.asff import ASFFDetect
from models.heads.implicit import IDetect
from models.own.adapter import own_kind
from models.own.convention import convention_of
from models.own.registry import own_named

BuildRule = Literal["stack", "concat", "fuse", "fuse to", "keep", "same", "norm", "head", "own"]
JOIN_RULES = ("concat", "fuse", "fuse to")  # of rows that read a list of maps and give one
ASFF_NAMES = ("ASFF_Detect", "Detect_ASFF", "ASFFDetect", "DetectASFF", "ASFFHead", "Detect_asff")
SMALLEST_WIDTH = 16  # smaller numbers are kernels, factors or dimensions, not channel counts
Gain = Callable[[int, Sequence[object]], int]


@dataclass(frozen=True, slots=True)
class Layer:
    """The meaning of a module's name in a YAML.

    Attributes:
        kind: class of the module.
        rule: how the module is built from the row, and what its output channels are. "stack" takes
            (c1, c2, …) and gives c2 channels; "concat" gives the sum of its inputs' channels;
            "fuse" takes (list of its inputs' channels, *arguments) and "fuse to" takes (that list,
            c2, …), and both give the module's `out_channels`; "keep" takes the arguments as they
            are and keeps the channels; "same" takes (c1, *arguments) and gives the module's
            `out_channels`, or c1 if it has none; "norm" takes the number of channels and keeps it;
            "head" is the last row; "own" is a class of a person's file (models/graph/own.py). A
            row that joins maps reads maps of one size, unless its class has `joins_sizes = True`.
        repeats: whether a stack's third argument is the number of repeats. Other modules are built
            as many times as the row says, one after the other.
        gain: output channels of a "keep" row, from its input channels and its arguments.
        factor: how many times fewer cells per side the output has than the input, computed from
            the row's arguments as they are written; nan if they do not determine it. It is
            optional, because a trial run measures it too, only more slowly.
        place: the name, among the places of a graph, of the backbone's last row of this kind.
        follows: position in `from` of the map whose size the output has; see joins_sizes above.
        counted: the entry for rows whose first argument is a channel count, SMALLEST_WIDTH or more,
            where one name stands for two modules in the files of different authors.
    """

    kind: type[nn.Module]
    rule: BuildRule
    repeats: bool = False
    gain: Gain = lambda channels, arguments: channels
    factor: Factor | None = None
    place: str = ""
    follows: int = 0
    counted: Layer | None = None


def _stacks(factor: Factor, *kinds: type[nn.Module], repeats: bool = False) -> dict[str, Layer]:
    return {kind.__name__: Layer(kind, "stack", repeats, factor=factor) for kind in kinds}


def _keepers(factor: Factor, *kinds: type[nn.Module]) -> dict[str, Layer]:
    return {f"nn.{kind.__name__}": Layer(kind, "keep", factor=factor) for kind in kinds}


def _halves(arguments: Sequence[object]) -> float:
    return 2.0


def _optional(kind: type[nn.Module]) -> dict[str, Layer]:
    """Rows that may state the channels, which the block keeps, or leave them out."""
    counted = Layer(kind, "stack", factor=keeps)
    return {kind.__name__: Layer(kind, "same", factor=keeps, counted=counted)}


def _sames(factor: Factor, kind: type[nn.Module], *names: str) -> dict[str, Layer]:
    return {name: Layer(kind, "same", factor=factor) for name in names}


def _fuses(
    kind: type[nn.Module], *names: str, counted: type[nn.Module] | None = None
) -> dict[str, Layer]:
    """Rows that join maps to one of the size of the first, under all the names in use."""
    other = Layer(counted, "fuse", factor=keeps) if counted else None
    return {name: Layer(kind, "fuse", factor=keeps, counted=other) for name in names}


_DYSAMPLE = Layer(
    upsample.DySample,
    "same",
    factor=grows(0, 2),
    counted=Layer(upsample.CountedDySample, "same", factor=grows(1, 2)),
)
LAYERS: Mapping[str, Layer] = MappingProxyType(
    {
        **_stacks(shrinks(2, 1), common.Conv, common.DWConv, ghost.GhostConv, rare.MixConv2d),
        **_stacks(shrinks(2, 1), rare.CrossConv),
        **_stacks(shrinks(1, 1), residual.ResBlock),
        **_stacks(shrinks(2, 1, times=2), rare.Focus),
        # The block itself halves the map at stride 2 and ignores any other stride.
        **_stacks(lambda args: 2.0 if shrinks(2, 1)(args) == 2 else 1.0, ghost.GhostBottleneck),
        **_stacks(keeps, common.Bottleneck, rare.C3SPP),
        **_stacks(grows(2, 1), rare.DWConvTranspose2d),
        **_stacks(keeps, common.C3, rare.C3TR, ghost.C3Ghost, rare.C3x, repeats=True),
        **_stacks(keeps, rare.BottleneckCSP, v8.C2, v8.C2f, v8.C3k, v8.C3k2, repeats=True),
        **_stacks(keeps, v8.C2PSA, v10.C2fCIB, v12.A2C2f, repeats=True),
        **_stacks(keeps, transformer.BoT3, transformer.CoT3, repeats=True),
        **_stacks(keeps, v10.PSA),
        **_stacks(shrinks(2, math.nan), v10.SCDown),
        "SPPF": Layer(common.SPPF, "stack", factor=keeps, place="sppf"),
        "SPP": Layer(rare.SPP, "stack", factor=keeps, place="sppf"),
        "nn.Conv2d": Layer(nn.Conv2d, "stack", factor=shrinks(2, 1)),
        "nn.ConvTranspose2d": Layer(nn.ConvTranspose2d, "stack", factor=grows(2, 1)),
        **_keepers(keeps, nn.ZeroPad2d, nn.ReflectionPad2d, nn.Dropout, nn.Dropout2d),
        **_keepers(pools, nn.MaxPool2d, nn.AvgPool2d),
        **_keepers(grows(1, math.nan), nn.Upsample),
        **{f"nn.{name}": Layer(kind, "keep", factor=keeps) for name, kind in ACTIVATIONS.items()},
        "nn.BatchNorm2d": Layer(nn.BatchNorm2d, "norm", factor=keeps),
        "Contract": Layer(
            rare.Contract,
            "keep",
            gain=lambda channels, arguments: channels * area(arguments),
            factor=shrinks(0, 2),
        ),
        "Expand": Layer(
            rare.Expand,
            "keep",
            gain=lambda channels, arguments: channels // area(arguments),
            factor=grows(0, 2),
        ),
        **_sames(_halves, downsample.SpaceToDepth, "space_to_depth", "SPD", "ReOrg"),
        "MP": Layer(downsample.MP, "keep", factor=shrinks(0, 2)),
        **_stacks(_halves, downsample.SPDConv, downsample.V7DownSampling, downsample.ADown),
        **_stacks(shrinks(2, 1), slim.GSConv, reparam.RepConv, reparam.RepVGGBlock),
        **_stacks(keeps, slim.VoVGSCSP, slim.VoVGSCSPC, reparam.RCSOSA, repeats=True),
        **_stacks(keeps, reparam.RepNCSPELAN4),
        **_stacks(keeps, swin.C3STR, gated.C3HB, gated.CNeB, repeats=True),
        **_stacks(shrinks(2, 1), kernels.SimConv, kernels.DSConv, kernels.CoordConv),
        **_stacks(shrinks(2, 1), kernels.Involution, mobile.DepthSepConv),
        **_stacks(shrinks(2, 1), receptive.RFAConv, receptive.RFCBAMConv, linear_deform.LDConv),
        **_stacks(shrinks(2, 1), omni.ODConv, omni.ODConv2d),
        "AKConv": Layer(linear_deform.LDConv, "stack", factor=shrinks(2, 1)),
        "conv_bn_hswish": Layer(mobile.HardswishConv, "stack", factor=shrinks(1, 1)),
        "MobileNet_Block": Layer(mobile.MobileNetBlock, "stack", factor=shrinks(3, 1)),
        "gnconv": Layer(gated.GnConv, "same", factor=keeps),
        **_optional(gated.HorBlock),
        **_optional(gated.ConvNextBlock),
        **_stacks(keeps, csp.CSPStage, csp.BottleneckCSP2, repeats=True),
        **_stacks(keeps, pyramid.SPPCSPC, pyramid.SPPFCSPC, pyramid.SPPCSP),
        "SPPCSPC_group": Layer(pyramid.GroupedSPPCSPC, "stack", factor=keeps),
        **_stacks(keeps, pyramid.SPPELAN, pyramid.ASPP),
        **_stacks(shrinks(1, 1), pyramid.BasicRFB),
        "CARAFE": Layer(
            upsample.CARAFE,
            "same",
            factor=grows(3, 2),
            counted=Layer(upsample.ProjectedCARAFE, "stack", factor=grows(2, 2)),
        ),
        **dict.fromkeys(("DySample", "Dy_Sample"), _DYSAMPLE),
        **_sames(lambda args: shrinks(1, 1)(args) / 2, upsample.EUCB, "EUCB"),
        "Concat": Layer(common.Concat, "concat", factor=keeps),
        **_fuses(fuse.Add, "Add", "ADD"),
        **_fuses(fuse.Multiply, "Multiply", "multiply"),
        **_fuses(bifpn.BiFPNConcat, "BiFPN_Concat2", "BiFPN_Concat3"),
        **_fuses(bifpn.BiFPNConcat, "Concat_BiFPN", "Concat_bifpn", counted=bifpn.WeightedSum),
        **_fuses(bifpn.BiFPNAdd, "BiFPN_Add2", "BiFPN_Add3"),
        **_fuses(bifpn.BiFPNSum, "Bi_FPN"),
        "ScalSeq": Layer(asf.ScalSeq, "fuse to", factor=keeps),
        "Zoom_cat": Layer(asf.ZoomCat, "fuse", factor=keeps, follows=1),
        **_fuses(asf.ChannelPlaceSum, "attention_model"),
        **_fuses(cga.CGAFusion, "CGAFusion"),
        **_fuses(scales.SDI, "SDI"),
        **_fuses(scales.Fusion, "Fusion"),
        "Detect": Layer(Detect, "head"),
        "v10Detect": Layer(DetectV10, "head"),
        "IDetect": Layer(IDetect, "head"),
        **{name: Layer(ASFFDetect, "head") for name in ASFF_NAMES},
    }
)


def layer_named(module: str, arguments: Arguments | None = None) -> Layer | None:
    """The entry of a module's name as rows write it, `torch.nn.X` for nn.X too, or None.

    A class of a person's own file comes before an entry of LAYERS. The arguments of the row decide
    where the entry has another one for channel counts.
    """
    own = own_named(module)
    if own is not None:
        is_attention = convention_of(own).is_attention
        return None if is_attention else Layer(own_kind(own), "own", convention_of(own).repeats)
    layer = LAYERS.get(module.removeprefix("torch."))
    if layer and layer.counted and arguments and isinstance(arguments, list):
        first = arguments[0]
        return layer.counted if is_whole(first) and first >= SMALLEST_WIDTH else layer
    return layer


def is_join(module: str, *, of_one_size: bool = False) -> bool:
    """Whether rows of this name read a list of maps and give one.

    With of_one_size, only names whose maps must agree in height and width count.
    """
    layer = layer_named(module)
    if layer is None or layer.rule not in JOIN_RULES:
        return False
    return not (of_one_size and getattr(layer.kind, "joins_sizes", False))


def is_sum(module: str) -> bool:
    """Whether rows of this name join maps that must have equal channels."""
    layer = layer_named(module)
    return is_join(module) and getattr(layer.kind if layer else None, "equal_channels", False)


def factor_of(module: str, arguments: Arguments, repeats: int = 1) -> float:
    """How many times fewer cells per side a row's output has than its input, from its text alone.

    Args:
        module: name of the row's module.
        arguments: of the row, as they are written.
        repeats: of the row.

    Returns:
        The factor; nan where it cannot be told, as for a layer that does not declare one.
    """
    if module in ATTENTION:  # keeps the size, unless it has a stride
        if isinstance(arguments, dict):
            return side_of(arguments.get("stride", 1))
        return math.nan if "stride" in options(ATTENTION[module]) else 1.0
    layer = layer_named(module, arguments)
    if layer is None or layer.factor is None or isinstance(arguments, dict):
        return math.nan
    factor = layer.factor(arguments)
    return repeated(factor, 1 if layer.repeats else repeats)
