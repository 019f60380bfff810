"""Every attention module under torch.compile and torch.jit.trace, and as ONNX in onnxruntime."""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention import build_attention
from models.attention._registry import ATTENTION
from tests.models.attention.contract import FAST

NAMES = sorted({kind.__name__ for kind in ATTENTION.values()})
QUICK = {"CBAM", "CoordAttention"}  # exported in every run, the others under -m slow
LONG = {"ACmix"}  # takes 10 s to compile
SIZES = [
    (2, 9, 7),
    (1, 5, 12),
]  # batch, height, width: exported with the first, also run with the second
CHANNELS = 16
every_module = pytest.mark.parametrize("name", NAMES)
COMPILER = next((word for word in ("g++", "clang++") if shutil.which(word)), None)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def shaken(name: str) -> nn.Module:
    """The module with its defaults, every number of its state moved a little from its start."""
    torch.manual_seed(0)
    module = build_attention(name, CHANNELS)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return module


def draws(batch: int, height: int, width: int) -> Tensor:
    return torch.randn(batch, CHANNELS, height, width, generator=torch.Generator().manual_seed(1))


def run(module: Any, x: Tensor, owner: nn.Module) -> list[Tensor]:
    """Output, gradient of the input, gradients of the parameters."""
    x = x.clone().requires_grad_()
    out = module(x)
    (out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum().backward()
    assert x.grad is not None
    zero = torch.zeros(())
    return [
        out.detach(),
        x.grad,
        *(zero if value.grad is None else value.grad for value in owner.parameters()),
    ]


def assert_near(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    """tolerance: of the largest expected value of the output, and ten times it of the largest
    gradient.

    Gradients of x, and of all parameters together: sums over a whole batch, which PyTorch's own
    kernels round differently from one to the next.
    """
    largest = [float(value.detach().abs().max()) for value in expected]
    largest[2:] = [max(largest[2:], default=0.0)] * len(largest[2:])
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.shape == other.shape
        error = float((one - other).detach().abs().max()) / max(largest[place], 1e-3)
        assert error <= (10 * tolerance if place else tolerance), (
            f"value {place}: off by {error:.3g}"
        )


def slow_but(quick: set[str]) -> list[Any]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


def compare_compiled(name: str, backend: str) -> None:
    for training in (True, False) if backend == "inductor" else (True,):
        module = shaken(name).train(training)
        torch._dynamo.reset()
        twin = copy.deepcopy(module)
        compiled = torch.compile(twin, backend=backend, fullgraph=True)
        assert_near(
            run(compiled, draws(*SIZES[0]), twin), run(module, draws(*SIZES[0]), module), 1e-5
        )
        for (key, one), other in zip(
            twin.state_dict().items(), module.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(one, other, msg=f"{key} after a compiled step")


FAST_NAMES = {name for name in NAMES if ATTENTION[name].__module__.rpartition(".")[2] in FAST}


@pytest.mark.parametrize("name", slow_but(FAST_NAMES - LONG))
def test_compiled_without_a_compiler(name: str) -> None:
    """One graph, forward and backward, of the same operations: the formulas must be the same."""
    compare_compiled(name, "aot_eager")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inductor")


@pytest.mark.slow
@every_module
@pytest.mark.skipif(
    COMPILER is None, reason="torch.compile needs a C++ compiler on a CPU: neither g++ nor clang++"
)
def test_compiled_by_inductor(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is a folder of its own: a killed run may have left a broken file in the user's."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache))
    compare_compiled(name, "inductor")


@every_module
def test_traced(name: str) -> None:
    """torch.jit.trace, which TorchScript and the older ONNX exporter use."""
    module = shaken(name).eval()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # trace is deprecated, and warns of sizes that became constants
        traced = torch.jit.trace(module, draws(*SIZES[0]), check_trace=False)
    assert_near([traced(draws(*SIZES[0]))], [module(draws(*SIZES[0]))], 1e-6)


def check_in_onnxruntime(module: nn.Module, file: Path, sizes: list[tuple[int, int, int]]) -> None:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    for size in sizes:
        with torch.no_grad():
            expected = module(draws(*size))
        found = torch.from_numpy(
            session.run(None, {session.get_inputs()[0].name: draws(*size).numpy()})[0]
        )
        assert_near([found], [expected], 1e-4)


def export(module: nn.Module, file: Path, dynamic: bool, **options: Any) -> None:
    shapes = {0: "batch", 2: "height", 3: "width"}
    if dynamic:
        key = "dynamic_shapes" if options["dynamo"] else "dynamic_axes"
        options[key] = {"x": shapes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (draws(*SIZES[0]),), str(file), input_names=["x"], verbose=False, **options
        )


def check_onnx(name: str, folder: Path, dynamic: bool) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    module = shaken(name).eval()
    export(module, folder / "module.onnx", dynamic, dynamo=True)
    check_in_onnxruntime(module, folder / "module.onnx", SIZES if dynamic else SIZES[:1])


@pytest.mark.parametrize("name", slow_but(QUICK))
def test_onnx_for_any_size(name: str, tmp_path: Path) -> None:
    check_onnx(name, tmp_path, dynamic=True)


@pytest.mark.slow
@every_module
def test_onnx_for_one_size(name: str, tmp_path: Path) -> None:
    check_onnx(name, tmp_path, dynamic=False)


@pytest.mark.slow
@every_module
@pytest.mark.parametrize("dynamic", [False, True], ids=["one size", "any size"])
def test_onnx_by_the_older_exporter(name: str, dynamic: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    module = shaken(name).eval()
    export(module, tmp_path / "module.onnx", dynamic, dynamo=False, opset_version=17)
    check_in_onnxruntime(module, tmp_path / "module.onnx", SIZES if dynamic else SIZES[:1])
