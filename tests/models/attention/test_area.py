"""Area attention: golden values, a plain calculation of the bands, and maps that do not divide."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention.area import AAttn, ABlock
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("area")


def plain(module: AAttn, x: Tensor) -> Tensor:
    """The formula band by band and head by head, without scaled_dot_product_attention."""
    _, channels, height, width = x.shape
    runs = module.area if height * width % module.area == 0 else 1
    depth = channels // module.num_heads
    found, values = [], []
    for head in module.qkv(x).flatten(2).split(3 * depth, 1):
        q, k, v = head.split(depth, 1)
        bands = []
        for one in range(runs):
            start = one * height * width // runs
            run = slice(start, start + height * width // runs)
            logits = q[..., run].transpose(1, 2) @ k[..., run] / depth**0.5
            bands.append(v[..., run] @ logits.softmax(2).transpose(1, 2))
        found.append(torch.cat(bands, 2))
        values.append(v)
    out, value = (torch.cat(parts, 1).view(x.shape) for parts in (found, values))
    return module.proj(out + module.pe(value))


def test_golden_of_aattn() -> None:
    GOLDEN.check(AAttn(64, num_heads=4, area=4), "aattn", "8x10")


@pytest.mark.parametrize("size", ["7x9", "1x1"])
def test_golden_of_ablock(size: str) -> None:
    GOLDEN.check(ABlock(64, num_heads=2), "ablock", size)


@pytest.mark.parametrize("area", [1, 2, 3, 4, 60])
@pytest.mark.parametrize("size", [(6, 10), (5, 7)], ids=str)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_bands(area: int, size: tuple[int, int], memory_format: torch.memory_format) -> None:
    """5 x 7 pixels are one band for all of these numbers but 1."""
    module = AAttn(12, num_heads=3, area=area).eval()
    x = draws(3, 2, 12, *size).contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), plain(module, x))
    assert_same_gradients(module, plain, x, memory_format)


def test_a_band_does_not_see_the_others() -> None:
    module = AAttn(32, area=4).eval()
    torch.nn.init.zeros_(module.pe.conv.weight)  # the position code reaches across bands
    x = draws(3, 1, 32, 6, 10).requires_grad_()
    module(x)[0, :, 1, 4].sum().backward()  # pixel 14, the last of the first band
    assert x.grad is not None
    seen = x.grad.abs().sum(1).flatten().nonzero().flatten().tolist()
    assert seen == list(range(15))


def test_heads_have_32_channels_unless_told_otherwise() -> None:
    assert [AAttn(count).num_heads for count in (8, 32, 100, 384)] == [1, 1, 2, 12]


@pytest.mark.parametrize(("kind", "ratio"), [(AAttn, 0.0), (ABlock, 1.2)])
def test_parameters_at_256(kind: Any, ratio: float) -> None:
    with torch.device("meta"):
        module = kind(256, num_heads=8)
    count = sum(parameter.numel() for parameter in module.parameters())
    assert count == {AAttn: 277_248, ABlock: 435_558}[kind]


def test_weights_of_a_block_start_small() -> None:
    torch.manual_seed(0)
    block = ABlock(256)
    for weight in (block.attn.qkv.conv.weight, block.mlp[0].conv.weight):
        assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [True, False])
def test_onnx_takes_any_size_that_area_divides(dynamo: bool, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    module, axes = AAttn(32, area=4).eval(), {2: "height", 3: "width"}
    options: dict[str, Any] = {"dynamic_shapes" if dynamo else "dynamic_axes": {"x": axes}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file, x = str(tmp_path / "area.onnx"), draws(3, 1, 32, 8, 6)
        torch.onnx.export(module, (x,), file, input_names=["x"], dynamo=dynamo, **options)
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for size in ((8, 6), (4, 10)):
        x = draws(3, 1, 32, *size)
        found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
        torch.testing.assert_close(found, module(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(Exception, match=r"(?i)reshape"):
        session.run(None, {"x": draws(3, 1, 32, 5, 7).numpy()})


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (AAttn, {"num_heads": 5}),
        (AAttn, {"area": 0}),
        (AAttn, {"area": -1}),
        (ABlock, {"mlp_ratio": 0}),
        (ABlock, {"mlp_ratio": "2"}),
    ],
)
def test_impossible_options(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        kind(64, **options)
