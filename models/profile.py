"""What a graph costs, row by row: multiply-adds, bytes moved, milliseconds, memory; and the tables that print it.

models/yolo.py hands its DetectionModel class over when it is run as a script. Costs that depend on shapes only are
counted on the meta device, where nothing is computed; times and memory are measured on a real one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from models.graph import load_graph, read_graph, unread_rows
from models.scales import title
from models.shapes import LightMode, ShapeMode
from models.sites import insert
from utils.cli import flag
from utils.errors import UserError
from utils.files import ROOT

USUAL_GRAPH = "models/yolov5s.yaml"
SECONDS = 10  # that --profile may spend on repeated forward passes


@dataclass(frozen=True)
class BuildConfig:
    """All flags of models/yolo.py. Raises UserError for an impossible value, with the flag's name."""

    cfg: str = flag("", f"graph to build; '' is {USUAL_GRAPH}")
    scale: str = flag("", "size of a graph that has several, such as n, s, m, l, x; '' goes by the name of --cfg")
    attention: tuple[str, ...] = flag((), "modules to put in, such as SimAM@neck CBAM@backbone.P5", kind=str, nargs="+")
    out: str = flag("", "file to write the graph to, as YAML, attention put in")
    sites: bool = flag(False, "list the places where --attention may put modules, row by row")
    lint: tuple[str, ...] = flag((), "graphs to look through for what builds but is wrong", kind=str, nargs="+")
    fix: bool = flag(False, "with --lint: write corrected copies, NAME_fixed.yaml beside each file, or --out")
    imgsz: int = flag(640, "side of the picture that costs refer to, pixels", aliases=("--img", "--img-size"))
    batch_size: int = flag(1, "pictures at once")
    device: str = flag("", "where --profile runs: 0, cpu, mps; '' chooses")
    profile: bool = flag(False, "add milliseconds and memory of each row", aliases=("--line-profile",))
    all: bool = flag(False, "build every graph below models/, one line each", aliases=("--test",))

    def __post_init__(self) -> None:
        for name, largest in (("imgsz", 8192), ("batch_size", 1024)):
            if not 1 <= getattr(self, name) <= largest:
                raise UserError(f"--{name.replace('_', '-')}={getattr(self, name)}: must be 1 to {largest}")
        for name in ("cfg", "attention", "out", "sites", "profile"):
            if self.all and getattr(self, name):
                raise UserError(f"--{name}: is of one graph, but --all means each; leave one of the two out")
        if self.sites and self.profile:
            raise UserError("--profile: measures rows, but --sites only lists places; leave one of the two out")
        if self.fix and not self.lint:
            raise UserError("--fix: mends what --lint finds; add --lint FILE")
        for name in ("cfg", "attention", "sites", "all", "profile"):
            if self.lint and getattr(self, name):
                raise UserError(f"--{name}: is no flag of --lint, which takes files alone; leave one of the two out")

    def content(self) -> dict[str, Any]:
        """The graph of --cfg with --attention put in."""
        return insert(load_graph(self.cfg or USUAL_GRAPH, self.scale), self.attention)


@dataclass(frozen=True, slots=True)
class RowCost:
    """What one row costs for one batch.

    shape: of its output. flops: 2 x multiply-adds of convolutions and matrix products, by the formulas of
    torch.utils.flop_counter. normalised: values that batch norms write. moved: bytes that operations read and write.
    elementwise: the part of moved that flops do not see: norms, activations, attention, pooling, concatenation.
    """

    shape: str
    flops: int
    normalised: int
    moved: int
    elementwise: int


class Counter(LightMode):
    """Adds up multiply-adds and bytes, operation by operation; views and empty memory cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.normalised = self.moved = self.elementwise = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        operation = func._overloadpacket
        if func.is_view or operation is torch.ops.aten.empty:
            return out
        size = sum(x.numel() * x.element_size() for x in tree_iter((args, kwargs, out)) if isinstance(x, Tensor))
        self.moved += size
        if operation in flop_registry:
            self.flops += flop_registry[operation](*args, **kwargs, out_val=out)
        else:
            self.elementwise += size
        if "batch_norm" in operation.__name__:
            self.normalised += out[0].numel()
        return out


def count_costs(model: Any, size: int, batch: int = 1) -> list[RowCost]:
    """Costs of each row of a model on the meta device, in eval mode and float32, for pictures of size x size px."""
    costs: list[RowCost] = []

    def call(row: Any, maps: Any) -> Any:
        with ShapeMode(), Counter() as counter:
            out = row(maps)
        shown = "x".join(map(str, (out[0] if isinstance(out, tuple) else out).shape))
        costs.append(RowCost(shown, counter.flops, counter.normalised, counter.moved, counter.elementwise))
        return out

    model.eval()
    with torch.no_grad():
        model.walk(torch.empty(batch, model.graph["ch"], size, size, device="meta"), call)
    return costs


def time_rows(model: Any, x: Tensor) -> list[float]:
    """Milliseconds that each row takes in eval mode on x's device: the least of several passes."""
    best = [float("inf")] * len(model.model)
    end = time.perf_counter() + SECONDS

    def call(row: Any, maps: Any) -> Any:
        _wait(x.device)
        start = time.perf_counter()
        out = row(maps)
        _wait(x.device)
        best[row.i] = min(best[row.i], 1000 * (time.perf_counter() - start))
        return out

    model.eval()
    with torch.no_grad():
        for passes in range(20):
            model.walk(x, call)
            if passes and time.perf_counter() > end:
                break
    return best


def _wait(device: torch.device) -> None:
    """Let the device finish, so that a clock means something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def kept_bytes(model: Any, x: Tensor) -> list[int]:
    """Bytes of activations that each row keeps for the backward pass, each counted where it first appears."""
    kept = [0] * len(model.model)
    seen = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def call(row: Any, maps: Any) -> Any:
        def pack(saved: Tensor) -> Tensor:
            storage = saved.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                kept[row.i] += storage.nbytes()
            return saved

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
            return row(maps)

    model.train()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()  # the same memory, but statistics stay, and a map of one position is no error
    model.walk(x, call)
    return kept


def summary(model: nn.Module, name: str, costs: list[RowCost]) -> str:
    """YOLO's summary line: leaf modules, parameters, gradients, GFLOPs both ways."""
    leaves = sum(1 for module in model.modules() if not any(True for _ in module.children()))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    gradients = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    ours, theirs = gigaflops(costs)
    counter = "YOLOv5" if getattr(model, "objectness", True) else "YOLOv8"
    return (
        f"{name} summary: {leaves} layers, {parameters:,} parameters, {gradients:,} gradients, {ours:.1f} GFLOPs "
        f"({theirs:.1f} as {counter} counts)"
    )


def gigaflops(costs: list[RowCost]) -> tuple[float, float]:
    """GFLOPs by torch.utils.flop_counter, and as YOLOv5 and YOLOv8 print them.

    Their counter (thop) sees the same convolutions and matrix products, and adds 8 for each value that a batch norm
    writes: 2 for the norm, doubled for scale and shift, as multiply-adds, doubled again. Once fused both agree.
    """
    flops = sum(cost.flops for cost in costs)
    return flops / 1e9, (flops + 8 * sum(cost.normalised for cost in costs)) / 1e9


def report(kind: Callable[..., Any], config: BuildConfig) -> None:
    """Print one graph: a row per layer, totals, verdict. Raises UserError if it is not sound.

    kind: the DetectionModel class.
    """
    content = config.content()
    with torch.device("meta"):
        model = kind(content)
    size = whole_size(config.imgsz, model)
    costs = count_costs(model, size, config.batch_size)
    lines = [HEADER, *table(model, costs)]
    if config.profile:
        lines = [f"{line}  {extra}" for line, extra in zip(lines, measured(kind(content), size, config), strict=True)]
    print(*lines, sep="\n")
    print(f"\n{summary(model, _name(model), costs)} at {size}x{size} px, batch {config.batch_size}")
    moved, elementwise = sum(cost.moved for cost in costs), sum(cost.elementwise for cost in costs)
    print(f"moved: {moved / 1e6:,.0f} MB in float32, {elementwise / 1e6:,.0f} MB of it elementwise, unseen by GFLOPs")
    try:
        print(verdict(model))
    except UserError:
        print(*(f"warning: {warning}" for warning in model.warnings), sep="\n")
        raise


def report_all(kind: Callable[..., Any], config: BuildConfig) -> None:
    """Print a line for every graph below models/, at --scale or its first scale where it has several.

    Raises UserError at the end if any is not sound.
    """
    files = sorted((ROOT / "models").rglob("*.yaml"))
    bad = 0
    for file in files:
        try:
            content = load_graph(file)
            if "scales" in content:
                content["scale"] = config.scale or content.get("scale") or next(iter(content["scales"] or ()), "")
            with torch.device("meta"):
                model = kind(content)
            costs = count_costs(model, whole_size(config.imgsz, model), config.batch_size)
            shown = f"{content['yaml_file']} {content.get('scale', '')}"
            print(f"{shown:42}{summary(model, _name(model), costs).partition(': ')[2]}; {verdict(model)}")
        except UserError as error:
            bad += 1
            print(f"{file.relative_to(ROOT)!s:42}not sound: {error}")
    print(f"{len(files) - bad} of {len(files)} graphs are sound")
    if bad:
        raise UserError(f"{bad} graphs are not sound; see the lines above")


def verdict(model: Any) -> str:
    """`sound`, with its warnings if there are any. Raises UserError for rows that nobody reads."""
    graph = read_graph(model.graph)
    for row in unread_rows(graph):
        raise graph.error(
            row.index, row.module, "nobody reads this row; read it, or remove it and adjust the rows behind"
        )
    return "\n".join(["verdict: the graph is sound", *(f"warning: {warning}" for warning in model.warnings)])


def whole_size(imgsz: int, model: Any) -> int:
    """imgsz, raised to a multiple of the largest stride."""
    stride = int(max(model.head.strides))
    return -(-imgsz // stride) * stride


HEADER = (
    f"{'row':>3} {'from':>18} {'n':>3} {'params':>11}  {'module':<38} {'arguments':<30} {'output':>18} "
    f"{'GFLOPs':>8} {'MB elementwise':>15}"
)


def table(model: Any, costs: list[RowCost]) -> Iterator[str]:
    """The model's rows as aligned lines under HEADER."""
    for row, cost in zip(model.model, costs, strict=True):
        yield (
            f"{row.i:>3} {row.f!s:>18} {row.repeats:>3} {row.np:>11,}  {row.type:<38} {row.shown:<30} {cost.shape:>18} "
            f"{cost.flops / 1e9:>8.3f} {cost.elementwise / 1e6:>15.1f}"
        )


def measured(model: Any, size: int, config: BuildConfig) -> list[str]:
    """Milliseconds (eval) and MB kept for training's backward pass of each row, under a header, on a real device."""
    from utils.device import select_device

    device = select_device(config.device)
    model = model.to(device)
    x = torch.zeros(config.batch_size, model.graph["ch"], size, size, device=device)
    rows = zip(time_rows(model, x), kept_bytes(model, x), strict=True)
    return [f"{'ms on ' + device.type:>12} {'MB kept':>9}", *(f"{ms:>12.2f} {kept / 1e6:>9.1f}" for ms, kept in rows)]


def _name(model: Any) -> str:
    return title(model.graph["yaml_file"].rsplit("/", 1)[-1].removesuffix(".yaml"), model.graph.get("scale", ""))
