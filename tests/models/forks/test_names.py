"""Which object a name means depends on the module that a file names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models import common
from models.blocks import rare, v8
from models.forks import blocks, functions, layers, toolkits
from models.forks.names import STAND_INS, PublicNames, positional
from models.graph.layers import LAYERS

NAMES = PublicNames({name: layer.kind for name, layer in LAYERS.items()})


@pytest.mark.parametrize(
    ("module", "name", "meant"),
    [
        ("models.common", "Conv", common.Conv),
        ("models.common", "Bottleneck", common.Bottleneck),
        ("models.experimental", "MixConv2d", rare.MixConv2d),
        ("yolov5.models.common", "Bottleneck", common.Bottleneck),
        (".common", "CBAM", blocks.PaperCBAM),
        ("ultralytics.nn.modules.block", "Bottleneck", blocks.WideForkBottleneck),
        ("..modules.conv", "CBAM", blocks.ForkCBAM),
        (".block", "C2f", v8.C2f),
        ("ultralytics.nn.modules", "SPPF", common.SPPF),
        ("utils.general", "make_divisible", functions.make_divisible),
        ("utils.torch_utils", "nothing_of_this_name", None),
        ("ultralytics", "nn", None),
        ("timm.layers", "DropPath", layers.DropPath),
        ("mmcv.cnn", "ConvModule", toolkits.ConvModule),
    ],
)
def test_meanings(module: str, name: str, meant: object) -> None:
    assert NAMES.find(module, name) is meant


def test_a_module_of_this_project_comes_first() -> None:
    assert NAMES.find("models.blocks", "v8") is v8
    assert NAMES.is_module("models.blocks.v8")
    assert not NAMES.is_module("models.no_such_module")
    assert NAMES.is_module("einops.layers.torch")
    assert not NAMES.is_module("no_such_package")


def test_a_star_import_gives_blocks_attention_and_torch() -> None:
    given = NAMES.all_of("models.common")
    assert {"Conv", "C3", "SPPF", "SE", "nn", "torch", "autopad"} <= set(given)
    assert all(NAMES.find("models.common", name) is not None for name in given)
    assert "rearrange" in NAMES.all_of("einops")


def test_attention_takes_its_options_by_position() -> None:
    x = torch.rand(1, 32, 4, 4)
    for name, values in (("SE", (8,)), ("SE", (32, 8)), ("CoordAtt", (32, 8)), ("SE", ())):
        assert positional(name)(32, *values).eval()(x).shape == x.shape
    assert positional("SE")(32, 8).state_dict().keys() == positional("SE")(32).state_dict().keys()
    few, many = (positional("SE")(64, reduction) for reduction in (16, 4))
    assert count(few) < count(many)
    assert positional("SE") is positional("SE")
    assert issubclass(positional("SE"), nn.Module)


def count(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


def test_stand_ins_hold_what_files_ask_for_most() -> None:
    assert {"rearrange", "repeat", "reduce", "Rearrange", "Reduce"} <= STAND_INS["einops"].keys()
    asked = {"DropPath", "drop_path", "trunc_normal_", "to_2tuple", "register_model"}
    assert asked <= STAND_INS["timm"].keys()
    asked = {"ConvModule", "build_norm_layer", "BaseModule", "BACKBONES"}
    assert asked <= STAND_INS["mmengine"].keys()
