"""LAYERS, the one table of the names that rows may use besides those of attention modules.

To add a block, write its class in models/blocks/ and give it one entry here:

    "RepBlock": Layer(reparam.RepBlock, "stack", repeats=True)

Everything else follows from the entry and the class. models/graph/build.py builds the rows by their
rule. Whether a block shrinks the map and whether it has bottlenecks, on which the names of places
depend, is measured from the block itself (models/graph/trial.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

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
    efficient,
    fuse,
    gated,
    ghost,
    gold,
    kernels,
    linear_deform,
    mobile,
    mobileone,
    mobilevit,
    omni,
    pyramid,
    rare,
    receptive,
    reparam,
    residual,
    scales,
    shuffle,
    slim,
    swin,
    swin_stage,
    topformer,
    transformer,
    upsample,
    v8,
    v10,
    v12,
    vanilla,
)
from models.graph.entries import (
    SMALLEST_WIDTH,
    Layer,
    fuses,
    halves,
    keepers,
    optional,
    quarters,
    sames,
    stacks,
    stacks_as,
)
from models.graph.factors import area, grows, keeps, pools, repeated, shrinks, side_of
from models.graph.values import Arguments, is_whole
from models.heads.anchor_based import Detect
from models.heads.anchor_free import DetectV10
from models.heads.asff import ASFFDetect
from models.heads.decoupled import DecoupledDetect
from models.heads.implicit import IDetect
from models.own.adapter import own_kind
from models.own.convention import convention_of
from models.own.registry import own_named

JOIN_RULES = ("concat", "fuse", "fuse to")  # of rows that read a list of maps and give one
ASFF_NAMES = ("ASFF_Detect", "Detect_ASFF", "ASFFDetect", "DetectASFF", "ASFFHead", "Detect_asff")

_DYSAMPLE = Layer(
    upsample.DySample,
    "same",
    factor=grows(0, 2),
    counted=Layer(upsample.CountedDySample, "same", factor=grows(1, 2)),
)
LAYERS: Mapping[str, Layer] = MappingProxyType(
    {
        **stacks(shrinks(2, 1), common.Conv, common.DWConv, ghost.GhostConv, rare.MixConv2d),
        **stacks(shrinks(2, 1), rare.CrossConv),
        **stacks(shrinks(1, 1), residual.ResBlock),
        **stacks(shrinks(2, 1, times=2), rare.Focus),
        # The block itself halves the map at stride 2 and ignores any other stride.
        **stacks(lambda args: 2.0 if shrinks(2, 1)(args) == 2 else 1.0, ghost.GhostBottleneck),
        **stacks(keeps, common.Bottleneck, rare.C3SPP),
        **stacks(grows(2, 1), rare.DWConvTranspose2d),
        **stacks(keeps, common.C3, rare.C3TR, ghost.C3Ghost, rare.C3x, repeats=True),
        **stacks(keeps, rare.BottleneckCSP, v8.C2, v8.C2f, v8.C3k, v8.C3k2, repeats=True),
        **stacks(keeps, v8.C2PSA, v10.C2fCIB, v12.A2C2f, repeats=True),
        **stacks(keeps, transformer.BoT3, transformer.CoT3, repeats=True),
        **stacks(keeps, v10.PSA),
        **stacks(shrinks(2, math.nan), v10.SCDown),
        "SPPF": Layer(common.SPPF, "stack", factor=keeps, place="sppf"),
        "SPP": Layer(rare.SPP, "stack", factor=keeps, place="sppf"),
        "nn.Conv2d": Layer(nn.Conv2d, "stack", factor=shrinks(2, 1)),
        "nn.ConvTranspose2d": Layer(nn.ConvTranspose2d, "stack", factor=grows(2, 1)),
        **keepers(keeps, nn.ZeroPad2d, nn.ReflectionPad2d, nn.Dropout, nn.Dropout2d),
        **keepers(pools, nn.MaxPool2d, nn.AvgPool2d),
        **keepers(grows(1, math.nan), nn.Upsample),
        **{f"nn.{name}": Layer(kind, "keep", factor=keeps) for name, kind in ACTIVATIONS.items()},
        "nn.BatchNorm2d": Layer(nn.BatchNorm2d, "norm", factor=keeps),
        "LayerNorm": Layer(gated.ChannelNorm, "norm", factor=keeps),
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
        **sames(halves, downsample.SpaceToDepth, "space_to_depth", "SPD", "ReOrg"),
        "MP": Layer(downsample.MP, "keep", factor=shrinks(0, 2)),
        **stacks_as(halves, downsample.ContextGuidedDown, "ContextGuidedBlock_Down"),
        **optional(downsample.LAE, halves),
        **stacks_as(shrinks(2, 2), vanilla.VanillaBlock, "vanillanetBlock"),
        **stacks(halves, downsample.SPDConv, downsample.V7DownSampling, downsample.ADown),
        **stacks(shrinks(2, 1), slim.GSConv, reparam.RepConv, reparam.RepVGGBlock),
        **stacks(keeps, slim.VoVGSCSP, slim.VoVGSCSPC, reparam.RCSOSA, repeats=True),
        **stacks(keeps, reparam.RepNCSPELAN4),
        **stacks(keeps, reparam.RepBlock, repeats=True),
        **stacks(keeps, swin.C3STR, gated.C3HB, gated.CNeB, repeats=True),
        **stacks(shrinks(2, 1), kernels.SimConv, kernels.DSConv, kernels.CoordConv),
        **stacks(shrinks(2, 1), kernels.Involution, mobile.DepthSepConv),
        **stacks(shrinks(2, 1), receptive.RFAConv, receptive.RFCBAMConv, linear_deform.LDConv),
        **stacks(shrinks(2, 1), omni.ODConv, omni.ODConv2d),
        "AKConv": Layer(linear_deform.LDConv, "stack", factor=shrinks(2, 1)),
        "conv_bn_hswish": Layer(mobile.HardswishConv, "stack", factor=shrinks(1, 1)),
        **stacks_as(shrinks(3, 1), mobile.MobileNetBlock, "MobileNet_Block", "MobileNetV3"),
        **stacks_as(shrinks(3, 1), mobile.MobileNetBlock, "MobileNetV3_InvertedResidual"),
        **stacks_as(quarters, shuffle.ConvMaxPool, "conv_bn_relu_maxpool", "Conv_maxpool"),
        **stacks_as(shrinks(1, 1), shuffle.ShuffleBlock, "Shuffle_Block", "ShuffleNetV2"),
        **stacks(shrinks(1, 1), shuffle.InvertedResidual, mobilevit.MV2Block),
        **stacks(shrinks(2, 1), efficient.MBConv, efficient.FusedMBConv, mobileone.MobileOneBlock),
        "stem": Layer(efficient.EfficientStem, "stack", factor=shrinks(2, 1)),
        **stacks(keeps, mobilevit.MobileViTBlock, swin_stage.SwinStage),
        **stacks(shrinks(1, 4), swin_stage.PatchEmbed),
        **stacks(halves, swin_stage.PatchMerging),
        "gnconv": Layer(gated.GnConv, "same", factor=keeps),
        **optional(gated.HorBlock),
        **optional(gated.ConvNextBlock),
        **stacks(keeps, csp.CSPStage, csp.BottleneckCSP2, repeats=True),
        **stacks(keeps, csp.ResCSPB, csp.ResCSPC, csp.ResXCSPB, csp.ResXCSPC, repeats=True),
        **stacks(keeps, pyramid.SPPCSPC, pyramid.SPPFCSPC, pyramid.SPPCSP),
        "SPPCSPC_group": Layer(pyramid.GroupedSPPCSPC, "stack", factor=keeps),
        **stacks(keeps, pyramid.SPPELAN, pyramid.ASPP),
        **stacks(shrinks(1, 1), pyramid.BasicRFB),
        "CARAFE": Layer(
            upsample.CARAFE,
            "same",
            factor=grows(3, 2),
            counted=Layer(upsample.ProjectedCARAFE, "stack", factor=grows(2, 2)),
        ),
        **dict.fromkeys(("DySample", "Dy_Sample"), _DYSAMPLE),
        **sames(lambda args: shrinks(1, 1)(args) / 2, upsample.EUCB, "EUCB"),
        "Concat": Layer(common.Concat, "concat", factor=keeps),
        **fuses(fuse.Add, "Add", "ADD"),
        **fuses(fuse.Multiply, "Multiply", "multiply"),
        **fuses(bifpn.BiFPNConcat, "BiFPN_Concat2", "BiFPN_Concat3"),
        **fuses(bifpn.BiFPNConcat, "Concat_BiFPN", "Concat_bifpn", counted=bifpn.WeightedSum),
        **fuses(bifpn.BiFPNAdd, "BiFPN_Add2", "BiFPN_Add3"),
        **fuses(bifpn.BiFPNSum, "Bi_FPN"),
        "ScalSeq": Layer(asf.ScalSeq, "fuse to", factor=keeps),
        "Zoom_cat": Layer(asf.ZoomCat, "fuse", factor=keeps, follows=1),
        **fuses(asf.ChannelPlaceSum, "attention_model"),
        **fuses(cga.CGAFusion, "CGAFusion"),
        "SimFusion_4in": Layer(gold.SimFusion4, "fuse", factor=keeps, follows=2),
        "SimFusion_3in": Layer(gold.SimFusion3, "fuse to", factor=keeps, follows=1),
        **sames(keeps, gold.IFM, "IFM"),
        **fuses(gold.InjectionMultiSum, "InjectionMultiSum_Auto_pool"),
        "PyramidPoolAgg": Layer(gold.PyramidPoolAgg, "fuse", factor=shrinks(1, 2), follows=2),
        **sames(keeps, topformer.TopBasicLayer, "TopBasicLayer"),
        "AdvPoolFusion": Layer(gold.AdvPoolFusion, "fuse", factor=keeps, follows=1),
        **fuses(scales.SDI, "SDI"),
        **fuses(scales.Fusion, "Fusion"),
        "Detect": Layer(Detect, "head"),
        "v10Detect": Layer(DetectV10, "head"),
        "IDetect": Layer(IDetect, "head"),
        "Decoupled_Detect": Layer(DecoupledDetect, "head"),
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
