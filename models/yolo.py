"""A graph becomes a network: parse_model builds its rows, DetectionModel runs them.

train.py, val.py and detect.py use DetectionModel. As a script, this prints a graph row by row with
its costs and says whether it is sound (models/command.py):

    python models/yolo.py --cfg models/yolov5s_SimAM.yaml
"""

from __future__ import annotations

import copy
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script: import from the project's root, not from models/
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from models.settings import GRAPH_LINE
    from utils.opening import open_program

    open_program(GRAPH_LINE)  # before the other imports, which take seconds

import torch
from torch import Tensor, nn

from models.activations import SiLU, make_activation
from models.attention import ATTENTION
from models.common import Conv, share_activation
from models.graph.attend import build_attention_row, collect_warnings, fill_inside
from models.graph.build import blame, build_row, find_layer, finish_row, unknown_module
from models.graph.own import build_own_row
from models.graph.read import KEYS, read_graph
from models.graph.structure import Graph, unread_rows
from models.graph.values import shorten
from models.graph.walk import PROBE, Call, measure_strides, run_row, saved_rows, walk
from models.graph.wiring import passed_by
from models.heads import HEADS, Head
from models.heads.anchor_based import Detect, Levels
from models.tta import predict_augmented
from utils.errors import UserError
from utils.families import Family, family_of
from utils.seeds import torch_stream
from utils.structures import HeadSpec

MOST_PARAMETERS = 10**9


def parse_model(graph: Graph, seed: int) -> tuple[nn.Sequential, list[str]]:
    """Build all rows of a graph.

    Each row draws its initial weights from a stream named by the seed and its own key, so inserting
    a row does not change the weights of others. Returns the network, its children named by the keys
    of their rows, and warnings about what runs but looks wrong. Raises UserError naming file, row,
    value and remedy.
    """
    network, warnings = nn.Sequential(), list(graph.warnings)
    widths: list[int] = []
    for row in graph.rows:
        incoming = [widths[source] if source >= 0 else graph.channels for source in row.inputs]
        with torch_stream(seed, f"model.{row.key}"), blame(graph, row):
            layer = find_layer(graph, row)
            with collect_warnings(graph, row, warnings):
                if layer and layer.rule == "own":
                    built = build_own_row(graph, row, layer, incoming)
                elif layer:
                    built = build_row(graph, row, layer, incoming)
                elif row.module in ATTENTION:
                    built = build_attention_row(graph, row, incoming)
                else:
                    raise unknown_module(row.module)
                warnings += built.warnings
            warnings += fill_inside(graph, row, built, incoming, seed)
        widths.append(built.width)
        network.add_module(row.key, finish_row(row, built))
    warnings += [
        f"{graph.file}: row {row.index}: {row.module}: no other row reads this row"
        for row in unread_rows(graph)
    ]
    share_activation(network, _activation(graph))
    return network, warnings


def check_size(network: nn.Module, graph: Graph, held: int = MOST_PARAMETERS) -> None:
    """Raise UserError for more parameters than MOST_PARAMETERS, which must be a mistake.

    held is a smaller number where the weights come from a checkpoint: a small file may describe a
    graph of any size.
    """
    known = (one for one in network.parameters() if not nn.parameter.is_lazy(one))
    size = sum(parameter.numel() for parameter in known)
    if size > MOST_PARAMETERS:
        raise UserError(
            f"{graph.file}: {size:,} parameters: are too many; lower width_multiple or channel"
            " counts"
        )
    if size > held:
        raise UserError(f"{graph.file}: {size:,} parameters: are more than its checkpoint holds")


def _activation(graph: Graph) -> nn.Module:
    """The activation of a graph, one object that all of its Conv blocks share."""
    try:
        return make_activation(graph.activation) if graph.activation else SiLU()
    except ValueError as error:
        raise UserError(f"{graph.file}: activation: {shorten(graph.activation)}: {error}") from None


class DetectionModel(nn.Module):
    """The network of a graph.

    Args:
        graph: the graph's dictionary, as load_graph returns it.
        class_count: replaces the graph's `nc`.
        anchors: replace the graph's: levels of w, h, w, h … in pixels, or a number per level.
        seed: of the initial weights.
        names: of the classes.
        held: the most parameters that it may have.

    Raises:
        UserError: The graph cannot run, or is too large.

    Attributes:
        model: the rows, a module each.
        save: numbers of the rows whose output is kept for later rows.
        graph: the dictionary that checkpoints store.
        names: of the classes, by number.
        warnings: what runs but looks wrong.
        map_sizes: (height, width) of each row's map but the head's, for an image of PROBE px
            (models/graph/walk.py).
    """

    def __init__(
        self,
        graph: Mapping[str, Any],
        *,
        class_count: int | None = None,
        anchors: Any = None,
        seed: int = 0,
        names: Mapping[int, str] | Sequence[str] | None = None,
        held: int = MOST_PARAMETERS,
    ) -> None:
        super().__init__()
        overrides = {
            "nc": class_count,
            # All hyperparameters are floats, and the number of anchors per level is one of them.
            "anchors": round(anchors) if isinstance(anchors, float) else anchors,
        }
        content = {
            "ch": 3,
            **graph,
            **{key: value for key, value in overrides.items() if value is not None},
        }
        if "anchors" in content and not family_of(graph).has_anchors:
            raise UserError(
                f"anchors: the head of {graph.get('yaml_file')} has none; leave them out of --hyp"
            )
        checked = read_graph(content)
        # The first network has no memory: it shows mistakes and strides before anything large is
        # allocated. On the meta device no other is needed; elsewhere the graph is built again.
        with torch.device("meta"):
            skeleton, self.warnings = parse_model(checked, seed)
        check_size(skeleton, checked, held)
        measured = measure_strides(skeleton, checked)
        self.warnings += passed_by(checked, measured.sizes)
        self.map_sizes = measured.sizes
        self.model = skeleton.train() if torch.empty(0).is_meta else parse_model(checked, seed)[0]
        self.save = saved_rows(self.model)
        is_open = any(map(nn.parameter.is_lazy, self.model.parameters()))
        if is_open or skeleton.state_dict().keys() != self.model.state_dict().keys():
            self._settle(checked, seed)
        # Checkpoints store the graph, so that they need no YAML file to be loaded.
        self.graph = {key: copy.deepcopy(value) for key, value in content.items() if key in KEYS}
        if checked.scale:
            self.graph["scale"] = checked.scale
        self.names = _class_names(names, checked)
        _reset_norms(self, checked.family)
        self.head.set_strides(measured.strides, _anchor_levels(checked, len(measured.strides)))

    def _settle(self, graph: Graph, seed: int) -> None:
        """Run the network once: a person's class may make its layers at that time."""
        with torch.no_grad(), torch_stream(seed, "first run"):
            walk(self.model[:-1].eval(), self.save, torch.zeros(1, graph.channels, PROBE, PROBE))
        self.model.train()

    @property
    def head(self) -> Head:
        """The last row."""
        head = self.model[-1]
        assert isinstance(head, HEADS)
        return head

    @property
    def family(self) -> Family:
        """The family of the head, which says whether decoded rows have an objectness score."""
        return self.head.family

    @property
    def channels(self) -> int:
        """Of the images: 3 for colour, 1 for grey."""
        return int(self.graph["ch"])

    @property
    def spec(self) -> HeadSpec:
        """The head's figures that losses and decoders need, with the anchors now in use."""
        return self.head.spec

    @property
    def stride(self) -> Tensor:
        """Pixels per cell of each level."""
        return self.head.stride

    def forward(self, x: Tensor, augment: bool = False) -> Any:
        """Predict the boxes of images [B, C, H, W] in 0..1.

        Returns a list of raw maps in train mode, one for each level: [B, na, ny, nx, 5 + nc] with
        anchors, [B, 4 * reg_max + nc, ny, nx] without. In eval mode returns (decoded, raw maps),
        decoded being [B, N, 5 + nc] with anchors and [B, N, 4 + nc] without. With augment returns
        (decoded, None), predicted from three views of the image (models/tta.py).
        """
        if not augment:
            return self.walk(x)
        # Each view is padded to whole cells of the coarsest level.
        largest = int(max(self.head.strides))
        return predict_augmented(lambda view: self.walk(view)[0], x, largest, self.head.nl), None

    def walk(self, x: Tensor, call: Call = run_row) -> Any:
        """forward(x), each row run by call(row, its input), which may time or record it."""
        return walk(self.model, self.save, x, call)

    def set_anchors(self, anchors_px: Tensor | Levels) -> None:
        """Use anchors [levels, na, 2] in pixels from now on, in the graph too.

        Raises UserError for a head that has none.
        """
        if not isinstance(self.head, Detect):
            raise UserError(
                f"anchors: the head of {self.graph.get('yaml_file')} has none; leave them out"
            )
        pixels = torch.as_tensor(anchors_px, dtype=torch.float32).tolist()
        self.head.set_anchors(pixels)
        self.graph["anchors"] = [[side for pair in level for side in pair] for level in pixels]

    def requires_grad_(self, requires_grad: bool = True) -> DetectionModel:
        """Let all weights learn or none, except constants of the head, which never do."""
        super().requires_grad_(requires_grad)
        self.head.requires_grad_(requires_grad)
        return self

    def fuse(self) -> DetectionModel:
        """Fold the batch norms of all Conv blocks into their convolutions, for inference.

        The model is changed in place and returned.
        """
        for block in self.modules():
            # A subclass in a person's file may use the batch norm itself; ours do without it.
            is_ours = type(block).__module__.startswith("models.")
            if isinstance(block, Conv) and (is_ours or type(block).forward is Conv.forward):
                block.fuse()
        return self


def _reset_norms(network: nn.Module, family: Family) -> None:
    """Give batch norms YOLO's constants and the initial statistics of the family."""
    for norm in network.modules():
        if type(norm) is nn.BatchNorm2d:
            norm.eps, norm.momentum = 1e-3, 0.03
            if norm.running_var is not None and norm.num_batches_tracked is not None:
                norm.running_var.fill_(family.fresh_variance)
                norm.num_batches_tracked.fill_(family.fresh_batches)


def _anchor_levels(graph: Graph, levels: int) -> Levels:
    """The graph's anchors in pixels.

    Where the graph only gives their number, every level gets the same placeholders until
    AutoAnchor replaces them.
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


if __name__ == "__main__":  # the command is a separate module, which imports this file
    runpy.run_module("models.command", run_name="__main__")
