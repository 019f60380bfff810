"""Copy weights from a checkpoint into a model whose graph has other rows, numbers or classes.

train.py, val.py, api/yolo.py and hubconf.py use transfer(). models/weights/align.py pairs the rows.
Within a row tensors match by name and shape; in the head, levels match by stride and classes by
name. models/weights/report.py prints the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.common import Conv
from models.graph.read import read_graph
from models.graph.structure import Graph
from models.weights.align import RowPlace, align_places, find_places
from models.weights.channels import with_channels_of
from models.weights.classes import match_classes
from models.weights.report import TensorOutcome, TransferReport
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.text import counted

# Keys of a head's tensors that belong to one level: branch, number of the level, and the rest.
HEAD_LEVEL = re.compile(r"(m|cv2|cv3)\.(\d+)\.(.+)")
NO_ROW, NO_TENSOR, OTHER_SHAPE, KEPT = (
    "no such row there",
    "not there",
    "of another shape",
    "left unchanged",
)


def transfer(
    model: DetectionModel, checkpoint: Checkpoint, exclude: Sequence[str] = ()
) -> TransferReport:
    """Copy every tensor that the model's graph and the checkpoint's have in common.

    Args:
        model: changed in place.
        checkpoint: with a graph.
        exclude: parts of keys whose tensors stay as they are, such as anchors.

    Returns:
        A report with the result for each tensor.

    Raises:
        UserError: The checkpoint's graph cannot run, or the model is fused.
    """
    _check_unfused(model)
    checkpoint = with_channels_of(checkpoint, model.channels)
    graphs = (read_graph(checkpoint.graph), read_graph(model.graph))
    theirs_all, mine_all = (find_places(graph) for graph in graphs)
    classes = match_classes(checkpoint.names, model.names)
    found = {mine.index: theirs for mine, theirs in align_places(theirs_all, mine_all)}
    own, used = model.state_dict(), set[str]()
    new, outcomes = dict[str, Tensor](), list[TensorOutcome]()
    for mine in mine_all:
        # Rows of the model without a counterpart are listed too: their tensors start fresh.
        row = _RowPair(graphs, mine, found.get(mine.index), classes)
        for key in (key for key in own if key.startswith(f"model.{mine.key}.")):
            name = row.source_key(key)
            value, outcome = row.copy(key, own[key], checkpoint.state.get(name), exclude)
            outcomes.append(outcome)
            if value is not None:
                new[key] = value
                used.add(name)
    _load(model, own, new)
    return TransferReport(
        outcomes=tuple(outcomes),
        modules=tuple(row.module for row in graphs[1].rows),
        held=len(checkpoint.state),
        used=len(used),
        by_name=count_by_name(graphs, checkpoint.state, own, exclude),
        classes=tuple(classes),
    )


def _check_unfused(model: DetectionModel) -> None:
    """Raise UserError if batch norms are folded, which changes the values and keys of weights."""
    if any(isinstance(block, Conv) and block.bn is None for block in model.modules()):
        raise UserError(
            "the model's batch norms are folded already, so weights no longer fit; load them before"
            " fuse()"
        )


def _load(model: DetectionModel, own: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> None:
    """Put new values into the model."""
    anchors = [key for key in new if key.endswith(".anchors")]
    moved = any(not torch.equal(own[key], new[key].to(own[key])) for key in anchors)
    model.load_state_dict(new, strict=False)
    if moved:  # anchors are part of the graph too, which checkpoints and tables show
        model.set_anchors(torch.tensor(model.spec.anchors))


@dataclass(frozen=True, slots=True)
class _RowPair:
    """A row of the model and the row that its tensors come from.

    Attributes:
        graphs: of the checkpoint and of the model.
        mine: the model's row.
        theirs: the checkpoint's row, None if none corresponds.
        classes: for each class of the model its number in the checkpoint, or None.
    """

    graphs: tuple[Graph, Graph]
    mine: RowPlace
    theirs: RowPlace | None
    classes: list[int | None]

    def source_key(self, key: str) -> str:
        """The checkpoint's key for a key of the model, "" if nothing there corresponds."""
        if self.theirs is None:
            return ""
        name = key.removeprefix(f"model.{self.mine.key}.")
        level = HEAD_LEVEL.fullmatch(name) if self.mine.is_head else None
        if level:
            branch, number, rest = level.groups()
            other = self._level(int(number), self.theirs.inputs)
            if other is None:
                return ""
            name = f"{branch}.{other}.{rest}"
        # Anchors are stored in units of their levels' strides, so they are wrong at other strides.
        elif name == "anchors" and self.mine.inputs != self.theirs.inputs:
            return ""
        return f"model.{self.theirs.key}.{name}"

    def _level(self, number: int, theirs: tuple[int, ...]) -> int | None:
        """The checkpoint's level for a level of the model's head.

        It has the same stride, or the same number if no stride is in both heads. theirs are the
        heights of the maps that the checkpoint's head reads.
        """
        mine = self.mine.inputs
        if mine == theirs or (len(mine) == len(theirs) and not set(mine) & set(theirs)):
            return number
        return theirs.index(mine[number]) if mine[number] in theirs else None

    def copy(
        self, key: str, own: Tensor, value: Tensor | None, exclude: Sequence[str]
    ) -> tuple[Tensor | None, TensorOutcome]:
        """Decide about one tensor of the model.

        Args:
            key: of the tensor.
            own: its present value.
            value: the checkpoint's tensor, None if it has none.
            exclude: parts of keys whose tensors stay as they are.

        Returns:
            The new value, None to keep the present one, and the entry for the report.
        """
        source = None if self.theirs is None else self.theirs.index
        where = (key, self.mine.index, source)
        if value is None:
            return None, TensorOutcome(*where, NO_ROW if self.theirs is None else NO_TENSOR)
        if any(part in key for part in exclude):
            is_same = own.shape == value.shape and torch.equal(own, value.to(own))
            kept = (None, TensorOutcome(*where, KEPT))
            return (value, TensorOutcome(*where)) if is_same else kept
        if self._has_classes(key) and self.classes != list(range(self.graphs[0].class_count)):
            return self._copy_classes(where, own, value)
        if value.shape != own.shape:
            return None, TensorOutcome(*where, OTHER_SHAPE)
        return value, TensorOutcome(*where)

    def _has_classes(self, key: str) -> bool:
        """Whether a tensor of the model has an entry for each class."""
        name = key.removeprefix(f"model.{self.mine.key}.")
        pattern = self.graphs[1].family.class_tensors
        return self.mine.is_head and pattern.fullmatch(name) is not None

    def _copy_classes(
        self, where: tuple[str, int, int | None], own: Tensor, value: Tensor
    ) -> tuple[Tensor | None, TensorOutcome]:
        """copy() for a tensor with an entry for each class, where the classes differ."""
        mixed, missing = self._mix_classes(own, value), self.classes.count(None)
        if mixed is None:
            return None, TensorOutcome(*where, OTHER_SHAPE)
        # Entries for new classes stay fresh. With anchors the tensor also holds objectness and
        # boxes, so some of it is always copied; without anchors perhaps nothing is.
        note = (
            f"{missing} of {counted(len(self.classes), 'class', 'classes')} new" if missing else ""
        )
        is_part = bool(note) and not torch.equal(mixed, own)
        return mixed if is_part or not note else None, TensorOutcome(*where, note, is_part)

    def _mix_classes(self, own: Tensor, value: Tensor) -> Tensor | None:
        """A tensor with the checkpoint's entries for boxes and for the classes that it knows.

        own and value are [na * (5 + nc), …] with anchors, else [nc, …], each with its own nc.
        Returns None if they have other shapes.
        """
        source, target = self.graphs
        anchors, box = target.anchors_per_level, target.family.class_offset
        rows = [anchors * (box + graph.class_count) for graph in (target, source)]
        if [own.shape[0], value.shape[0]] != rows or own.shape[1:] != value.shape[1:]:
            return None
        mixed: Tensor = own.clone().unflatten(0, (anchors, -1))
        theirs: Tensor = value.to(own).unflatten(0, (anchors, -1))
        mixed[:, :box] = theirs[:, :box]
        for number, other in enumerate(self.classes):
            if other is not None:
                mixed[:, box + number] = theirs[:, box + other]
        return mixed.flatten(0, 1)


def upstream_keys(graph: Graph, keys: Iterable[str]) -> dict[str, str]:
    """Each state-dict key -> the key that YOLOv5 and YOLOv8 would give it.

    Theirs count all rows, so that an inserted row renames everything after it; ours do not count
    attention. `model.9_SimAM.alpha` is in row 10, so it is `model.10.alpha` there.
    """
    numbers = {row.key: str(row.index) for row in graph.rows}
    found = {}
    for key in keys:
        model, row, *rest = key.split(".")
        found[key] = ".".join([model, numbers.get(row, row), *rest])
    return found


def count_by_name(
    graphs: tuple[Graph, Graph],
    source: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    exclude: Sequence[str],
) -> int:
    """How many tensors the rule of YOLOv5 would move: those of equal upstream key and equal shape.

    Args:
        graphs: of the checkpoint and of the model.
        source: state of the checkpoint.
        own: state of the model.
        exclude: parts of keys that are not moved.

    Returns:
        The number of tensors.
    """
    theirs, mine = (
        {name: state[key].shape for key, name in upstream_keys(graph, state).items()}
        for graph, state in zip(graphs, (source, own), strict=True)
    )
    return sum(
        theirs.get(name) == shape and not any(part in name for part in exclude)
        for name, shape in mine.items()
    )
