"""A graph becomes a network: the rows of models/*.yaml are built here, and run here.

train.py, val.py and detect.py use DetectionModel. As a script, this prints a graph row by row with
its costs and says whether it is sound (models/command.py): python models/yolo.py --cfg
models/yolov5s_SimAM.yaml
"""

from __future__ import annotations

import copy
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started as a script: import from the project's root, not from models/
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import torch
from torch import Tensor, nn

from models.attention import ATTENTION, build_attention
from models.common import Conv, SiLU, make_activation, share_activation
from models.graph import layers
from models.graph.read import KEYS, Graph, Row, read_graph, unread_rows
from models.graph.values import shorten
from models.graph.walk import Call, measure, saved_rows, walk
from models.graph.wiring import passed_by
from models.heads.anchor_based import Detect, Levels
from models.heads.anchor_free import DetectV8
from models.tta import predict_augmented
from utils.errors import UserError
from utils.families import Family, family_of
from utils.seeds import torch_stream
from utils.structures import HeadSpec

MOST_PARAMETERS = 10**9


def parse_model(graph: Graph, seed: int) -> tuple[nn.Sequential, list[str]]:
    """Build all rows, children named by their keys, and list what a user should know though it
    runs.

    Each row draws its initial weights from (seed, its key), so an inserted row leaves the others'
    weights alone. Raises UserError naming file, row, value and remedy.
    """
    network, warnings = nn.Sequential(), list(graph.warnings)
    widths: list[int] = []
    for row in graph.rows:
        incoming = [widths[source] if source >= 0 else graph.channels for source in row.inputs]
        with torch_stream(seed, f"model.{row.key}"), layers.blame(graph, row):
            layer = layers.find_layer(graph, row)
            args, width, repeats = layers.row_arguments(graph, row), incoming[0], row.repeats
            if layer.rule == "stack":
                width = layers.stack_width(graph, args)
                inner = [repeats] if layer.repeats else []
                args = layers.stack_arguments(graph, row, [incoming[0], width, *inner, *args[1:]])
                repeats = 1 if inner else repeats
            elif layer.rule == "concat":
                width = sum(incoming)
            elif layer.rule == "keep":
                width = layer.gain(width, args)
            elif layer.rule == "norm":
                args = [width]
            elif layer.rule == "head":
                args = layers.head_arguments(graph, row, args, incoming)
            elif row.module in ATTENTION:
                options, notes = layers.attention_options(graph, row, args, width)
                warnings += notes
                args = [width, options]
            with layers.collect_warnings(graph, row, warnings):
                copies = [
                    _make(layers.kind_of(layer, graph) or row.module, args) for _ in range(repeats)
                ]
            warnings += layers.fill_bottlenecks(graph, row, copies, seed)
            if layer is layers.ATTENTION_LAYER:
                width = layers.attention_width(row, copies, width)
        widths.append(width)
        network.add_module(row.key, _label(row, copies, width, args))
    warnings += [
        f"{graph.file}: row {row.index}: {row.module}: nobody reads this row"
        for row in unread_rows(graph)
    ]
    share_activation(network, _activation(graph))
    return network, warnings


def _make(kind: type[nn.Module] | str, args: list[Any]) -> nn.Module:
    """One module; kind is text for attention, whose args are channels and options."""
    return build_attention(kind, args[0], **args[1]) if isinstance(kind, str) else kind(*args)


def _label(row: Row, copies: list[nn.Module], width: int, args: list[Any]) -> nn.Module:
    """A row's copies as one module that knows what forward, errors and the table need."""
    kind = type(copies[0])
    module: Any = copies[0] if len(copies) == 1 else nn.Sequential(*copies)
    module.i, module.f, module.key, module.width = row.index, row.source, row.key, width
    module.type = kind.__name__ if row.module in ATTENTION else f"{kind.__module__}.{kind.__name__}"
    module.np = sum(parameter.numel() for parameter in module.parameters())
    module.repeats, module.shown = row.repeats, shorten([*args, row.inside] if row.inside else args)
    return module


def check_size(network: nn.Module, graph: Graph) -> None:
    """Raise UserError for a network of more parameters than anybody means."""
    size = sum(parameter.numel() for parameter in network.parameters())
    if size > MOST_PARAMETERS:
        raise UserError(
            f"{graph.file}: {size:,} parameters: are too many; lower width_multiple or channel"
            " counts"
        )


def _activation(graph: Graph) -> nn.Module:
    """The graph's own activation, one object for all of its Conv blocks, and for no other graph's."""
    try:
        return make_activation(graph.activation) if graph.activation else SiLU()
    except ValueError as error:
        raise UserError(f"{graph.file}: activation: {graph.activation}: {error}") from None


class DetectionModel(nn.Module):
    """The network of a graph.

    graph: as load_graph gives it. channels: of the images. class_count and anchors (levels of w,
    h, w, h … in pixels, or a number per level) override the graph's. seed: of the initial weights.
    names: of the classes. Raises UserError if the graph cannot run; `warnings` lists what runs but
    looks wrong, `map_sizes` the (height, width) of each row's map but the head's for a image of
    PROBE px (models/graph/walk.py).
    """

    def __init__(
        self,
        graph: Mapping[str, Any],
        *,
        channels: int = 3,
        class_count: int | None = None,
        anchors: Any = None,
        seed: int = 0,
        names: Mapping[int, str] | Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        overrides = {
            "nc": class_count,
            "anchors": round(anchors) if isinstance(anchors, float) else anchors,
        }
        content = {
            "ch": channels,
            **graph,
            **{key: value for key, value in overrides.items() if value is not None},
        }
        if "anchors" in content and not family_of(graph).has_anchors:
            raise UserError(
                f"anchors: the head of {graph.get('yaml_file')} has none; leave them out of --hyp"
            )
        checked = read_graph(content)
        with torch.device("meta"):
            skeleton, self.warnings = parse_model(checked, seed)
        check_size(skeleton, checked)
        measured = measure(skeleton, checked)
        self.warnings += passed_by(checked, measured.sizes)
        self.map_sizes = measured.sizes
        self.model = parse_model(checked, seed)[0]
        self.save = saved_rows(self.model)
        self.graph = {key: copy.deepcopy(value) for key, value in content.items() if key in KEYS}
        if checked.scale:
            self.graph["scale"] = checked.scale
        self.names = _class_names(names, checked)
        _reset_norms(self, checked.family)
        self.head.set_strides(measured.strides, _anchor_levels(checked, len(measured.strides)))

    @property
    def head(self) -> Detect | DetectV8:
        head = self.model[-1]
        assert isinstance(head, (Detect, DetectV8))
        return head

    @property
    def family(self) -> Family:
        """The kind of its head, which says whether decoded rows have an objectness."""
        return self.head.family

    @property
    def spec(self) -> HeadSpec:
        """What losses and decoders need of the head, as it is now."""
        return self.head.spec

    @property
    def stride(self) -> Tensor:
        """Pixels per cell of each level."""
        return self.head.stride

    def forward(self, x: Tensor, augment: bool = False) -> Any:
        """[B, C, H, W] in 0..1 -> raw maps of all levels in train mode, [B, na, ny, nx, 5 + nc]
        with anchors.

        In eval mode (decoded [B, N, 5 + nc], raw maps); with augment (decoded, None), its rows
        found in three sizes of the image. Without anchors raw maps are [B, 4 * reg_max + nc, ny,
        nx] and decoded is [B, N, 4 + nc].
        """
        if not augment:
            return self.walk(x)
        largest = int(max(self.head.strides))
        return predict_augmented(lambda view: self.walk(view)[0], x, largest, self.head.nl), None

    def walk(self, x: Tensor, call: Call = lambda row, maps: row(maps)) -> Any:
        """forward(x), with call(row, its input) in place of each row's own call: to time or to
        watch it.
        """
        return walk(self.model, self.save, x, call)

    def set_anchors(self, anchors_px: Tensor | Levels) -> None:
        """Use anchors [levels, na, 2] in pixels from now on, in the graph too.

        Raises UserError for a head that has none.
        """
        if isinstance(self.head, DetectV8):
            raise UserError(
                f"anchors: the head of {self.graph.get('yaml_file')} has none; leave them out"
            )
        pixels = torch.as_tensor(anchors_px, dtype=torch.float32).tolist()
        self.head.set_anchors(pixels)
        self.graph["anchors"] = [[side for pair in level for side in pair] for level in pixels]

    def requires_grad_(self, requires_grad: bool = True) -> DetectionModel:
        """Let all weights learn or none, but constants of the head, which never do."""
        super().requires_grad_(requires_grad)
        self.head.requires_grad_(requires_grad)
        return self

    def fuse(self) -> DetectionModel:
        """Fold the batch norms of all Conv blocks into their convolutions, in place, for inference.
        Returns itself.
        """
        for block in self.modules():
            if isinstance(block, Conv):
                block.fuse()
        return self


def _reset_norms(network: nn.Module, family: Family) -> None:
    """YOLO's constants, and the statistics that fresh graphs of the family have."""
    for norm in network.modules():
        if type(norm) is nn.BatchNorm2d:
            norm.eps, norm.momentum = 1e-3, 0.03
            if norm.running_var is not None and norm.num_batches_tracked is not None:
                norm.running_var.fill_(family.fresh_variance)
                norm.num_batches_tracked.fill_(family.fresh_batches)


def _anchor_levels(graph: Graph, levels: int) -> Levels:
    """The graph's anchors in pixels; where they are still to be found, the same rising numbers on
    each level.
    """
    if isinstance(graph.anchors, int):
        return [[(2.0 * i, 2.0 * i + 1) for i in range(graph.anchors)]] * levels
    return graph.anchors


def _class_names(names: Mapping[int, str] | Sequence[str] | None, graph: Graph) -> dict[int, str]:
    found = (
        dict(names)
        if isinstance(names, Mapping)
        else dict(enumerate(names or map(str, range(graph.class_count))))
    )
    if len(found) != graph.class_count:
        raise UserError(
            f"{graph.file}: nc: {graph.class_count}: but there are {len(found)} class names; make"
            " them equal"
        )
    return found


if __name__ == "__main__":  # the command is a program of its own, and imports this file
    runpy.run_module("models.command", run_name="__main__")
