"""The choice between the two forms of a module, and that both compute the same.

Every file of models/attention/fast is covered: its module runs with the choice as it is and with
the plain form forced, in both precisions and layouts, on maps of odd sizes.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention import build_attention
from models.attention._registry import ATTENTION
from models.attention.fast import use_fast
from tests.models.attention.golden import draws
from tests.models.attention.plain import force_plain
from utils.files import ROOT

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("SE", {}),
    ("ECA", {}),
    ("SK", {}),
    ("SimAM", {}),
    ("SimAM", {"e_lambda": 0.1}),
    ("NAM", {}),
    ("NAM", {"detach": True}),
    ("NAM", {"spatial_shape": (7, 13)}),
    ("CBAM", {}),
    ("CBAM", {"no_spatial": True}),
    ("BAM", {"combine": "mul"}),
    ("BAM", {"combine": "add"}),
    ("CoordAttention", {}),
    ("EMA", {}),
    ("EMA", {"factor": 4}),
    ("ShuffleAttention", {}),
    ("ShuffleAttention", {"groups": 1}),
    ("GlobalContext", {}),
    ("GlobalContext", {"pooling": "avg", "fusion": "channel_mul"}),
    ("GlobalContext", {"fusion": ["channel_add", "channel_mul"]}),
    ("TripletAttention", {}),
    ("TripletAttention", {"no_spatial": True}),
    ("scSE", {}),
    ("scSE", {"fuse": "add"}),
    ("MCA", {}),
    ("MCA", {"no_spatial": True}),
    ("ACmix", {}),
    ("ACmix", {"stride": 2, "kernel_att": 5, "out_channels": 24}),
]
FILES = sorted((ROOT / "models" / "attention" / "fast").glob("[!_]*.py"))
every_variant = pytest.mark.parametrize(
    ("name", "options"), VARIANTS, ids=[f"{name}-{options}" for name, options in VARIANTS]
)
NCHW, NHWC = torch.contiguous_format, torch.channels_last
# Largest error relative to the largest value. Both forms sum in another order; in float32 a batch
# norm of few values magnifies that.
TOLERANCES = {torch.float64: 1e-9, torch.float32: 2e-4}
PRECISIONS_AND_LAYOUTS = pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        pytest.param(torch.float64, NCHW, id="fp64-nchw"),
        pytest.param(torch.float64, NHWC, id="fp64-nhwc", marks=pytest.mark.slow),
        pytest.param(torch.float32, NCHW, id="fp32-nchw"),
        pytest.param(torch.float32, NHWC, id="fp32-nhwc"),
    ],
)


def shaken(name: str, options: dict[str, Any]) -> nn.Module:
    """The module, every number of its state moved a little away from where it starts."""
    torch.manual_seed(0)
    module = build_attention(name, 16, **options)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return module


def run(module: nn.Module, x: Tensor) -> dict[str, Tensor | None]:
    """The output, the gradients of input and parameters, and the buffers after the pass."""
    x = x.detach().requires_grad_()
    out = module(x)
    (out * draws(2, *out.shape)).sum().backward()
    found = {key: value.grad for key, value in module.named_parameters()}
    buffers = {key: value.clone() for key, value in module.named_buffers()}
    return {"output": out, "gradient of x": x.grad, **found, **buffers}


def assert_same(
    found: dict[str, Tensor | None], expected: dict[str, Tensor | None], tolerance: float
) -> None:
    """Each value within tolerance of its largest, but parameters' gradients of the largest of all:
    biases before a norm have no gradient but rounding.
    """
    assert found.keys() == expected.keys()
    values = [value for value in expected.values() if value is not None and value.numel()]
    largest = max(float(value.detach().abs().max()) for value in values)
    for key, value in expected.items():
        other = found[key]
        if value is None or other is None:
            assert value is None, key
            assert other is None, key
            continue
        own = key in ("output", "gradient of x")
        scale = float(value.detach().abs().max()) if own else largest
        error = float((other.detach().double() - value.detach().double()).abs().max())
        assert error <= tolerance * scale, f"{key}: off by {error:.3g} of {scale:.3g}"


@every_variant
@PRECISIONS_AND_LAYOUTS
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_fast_equals_plain(
    name: str,
    options: dict[str, Any],
    layout: torch.memory_format,
    dtype: torch.dtype,
    training: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = shaken(name, options).to(dtype).train(training)
    twin = copy.deepcopy(module)
    x = draws(1, 3, 16, 7, 13).to(dtype).contiguous(memory_format=layout)
    fast = run(module, x)
    with torch.no_grad():
        inferred = module(x)
    force_plain(monkeypatch)
    assert_same(fast, run(twin, x), TOLERANCES[dtype])
    with torch.no_grad():
        assert_same({"output": inferred}, {"output": twin(x)}, TOLERANCES[dtype])


@every_variant
def test_fast_is_what_runs_on_a_cpu(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no memory traffic to compare, the graph tells: the plain form has other nodes."""

    def nodes(module: nn.Module) -> set[str]:
        out = module(draws(1, 3, 16, 7, 13).requires_grad_())  # its nodes live as long as it does
        waiting, seen = [out.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is not None and node not in seen:
                seen.add(node)
                waiting += [one for one, _ in node.next_functions]
        return {type(node).__name__ for node in seen}

    module = shaken(name, options)
    fast = nodes(module)
    force_plain(monkeypatch)
    assert fast != nodes(module)


def test_every_file_is_covered() -> None:
    modules = {ATTENTION[name].__module__.rpartition(".")[2] for name, _ in VARIANTS}
    assert {path.stem for path in FILES} - {"gates"} <= modules


def test_where_the_fast_form_runs() -> None:
    x = torch.zeros(2, 3, 4, 5)
    assert use_fast(x)
    assert use_fast(nn.Parameter(x))
    assert use_fast(x, positions=20)
    assert not use_fast(x, positions=21)
    assert not use_fast(x[:0])
    assert not use_fast(x.to("meta"))
    assert use_fast(x.to("meta"), accelerators=True)


class Asking(nn.Module):
    """Adds 1 where the fast form would run."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if use_fast(x, accelerators=True) else x


@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated:FutureWarning")
def test_tracers_compilers_and_exporters_take_the_plain_form() -> None:
    x = draws(1, 2, 3, 4, 5)
    assert torch.equal(Asking()(x), x + 1)
    assert torch.equal(torch.jit.trace(Asking(), x, check_trace=False)(x), x)
    assert torch.equal(torch.export.export(Asking(), (x,)).module()(x), x)
    assert torch.equal(torch.compile(Asking(), backend="aot_eager", fullgraph=True)(x), x)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_fast_files_say_what_they_buy(path: Path) -> None:
    head = " ".join(path.read_text(encoding="utf-8").split('"""')[1].split())
    assert "times as fast" in head
    assert "float32)" in head
