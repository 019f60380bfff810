"""The names that a saved model may use."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from utils.pickles.allowlist import Allowlist
from utils.pickles.checks import Refused
from utils.pickles.objects import Budget, PickledArray, PickledDtype, PickledName, PickledObject


def storage(key: str, kind: torch.dtype, count: int) -> Tensor:
    return torch.full((count,), int(key), dtype=kind)


@pytest.fixture
def allowed() -> Allowlist:
    return Allowlist(storage, Budget())


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("models.common", "Conv"),
        ("ultralytics.nn.tasks", "DetectionModel"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("collections", "OrderedDict"),
        ("torch", "FloatStorage"),
        ("argparse", "Namespace"),
        ("cbam", "CBAM"),
        ("nets.attention.se", "SE"),
        ("__main__", "Mine"),
        ("einops.layers.torch", "Rearrange"),
        ("timm.layers.drop", "DropPath"),
        ("torchvision.ops.misc", "ConvNormActivation"),
        ("mmcv.cnn.bricks", "ConvModule"),
    ],
)
def test_known_names_and_families(allowed: Allowlist, module: str, name: str) -> None:
    assert allowed.find(module, name) == PickledName(f"{module}.{name}")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("numpy.f2py", "run_main"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch._dynamo", "reset"),
        ("torch.nnx", "Conv2d"),
        ("pip", "main"),
        ("", "Conv"),
        ("models.common", "Conv.forward.__globals__"),
        ("models..common", "Conv"),
        ("models.common", "Cönv"),
        ("models.common", "C" * 200),
        ("models.common", ""),
    ],
)
def test_other_names_are_refused(allowed: Allowlist, module: str, name: str) -> None:
    with pytest.raises(Refused, match="names "):
        allowed.find(module, name)


def test_objects_take_one_state(allowed: Allowlist) -> None:
    conv = allowed.new(PickledName("models.common.Conv"), ())
    allowed.build(conv, {"a": 1})
    assert conv.get("a") == 1
    for state in ({"a": 2}, {1: 2}, None):
        with pytest.raises(Refused, match=r"gives a models\.common\.Conv a state"):
            allowed.build(conv, state)
    assert conv.get("a") == 1
    with pytest.raises(Refused, match="with arguments"):
        allowed.new(PickledName("models.common.Conv"), (1,))


def test_options_are_made_by_a_call(allowed: Allowlist) -> None:
    made = allowed.call(PickledName("argparse.Namespace"), ())
    assert isinstance(made, PickledObject)
    assert made.kind == "argparse.Namespace"
    for name in ("torch.float16", "numpy.ndarray", "torch.FloatStorage"):
        with pytest.raises(Refused, match="not a class of a model"):
            allowed.call(PickledName(name), ())


def test_byte_order_and_values_of_arrays(allowed: Allowlist) -> None:
    kind, array = PickledDtype("i2"), PickledArray()
    allowed.build(kind, (3, ">", None, None, None, -1, -1, 0))
    allowed.build(array, (1, (2,), kind, False, b"\x00\x01\x00\x02"))
    assert array.values is not None
    assert array.values.tolist() == [1, 2]
    with pytest.raises(Refused, match="declares 3 numbers i2 in 4 bytes"):
        allowed.build(PickledArray(), (1, (3,), kind, False, b"\x00\x01\x00\x02"))


def test_storages(allowed: Allowlist) -> None:
    identity = ("storage", PickledName("torch.LongStorage"), "7", "cuda:0", 2)
    assert allowed.fetch(identity).tolist() == [7, 7]
    for other in (("module", *identity[1:]), (*identity[:4], -1), "storage"):
        with pytest.raises(Refused, match="not a tensor's storage"):
            allowed.fetch(other)


def test_a_partial_is_an_inert_object_with_keywords(allowed: Allowlist) -> None:
    function = PickledName("torch.nn.modules.normalization.LayerNorm")
    made = allowed.call(PickledName("functools.partial"), (function,))
    assert isinstance(made, PickledObject)
    allowed.build(made, (function, (), {"eps": 1e-6}, None))
    assert made.get("func") == function.text
    assert made.get("keyword_eps") == 1e-6
    for state in ((function, (), {}, None), {"a": 1}, (print, (), {}, None)):
        with pytest.raises(Refused, match=r"functools\.partial a state"):
            allowed.build(made, state)
    for arguments in ((), (print,), (function, 1)):
        with pytest.raises(Refused, match=r"functools\.partial with arguments"):
            allowed.call(PickledName("functools.partial"), arguments)


def test_calls_of_other_packages_are_refused(allowed: Allowlist) -> None:
    for name in ("cloudpickle.loads", "cbam.CBAM"):
        with pytest.raises(Refused, match="with arguments"):
            allowed.call(allowed.find(*name.split(".")), ("x",))
