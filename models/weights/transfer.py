"""Weights from a checkpoint into a model whose graph has other rows, other numbers, or other
classes.

train.py, val.py, api/yolo.py and hubconf.py use transfer(). models/weights/align.py says which row
is which; within a row tensors match by name and shape, in the head by stride and class name.
upstream_keys() are the names that YOLOv5 and YOLOv8 would give: they count all rows, so that behind
an inserted row nothing fits any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from models.common import Conv
from models.graph.read import read_graph
from models.graph.structure import Graph
from models.weights.align import Place, align, align_places, find_places
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.tables import text_table

__all__ = ["Report", "align", "transfer", "upstream_keys"]
LEVEL = re.compile(r"(m|cv2|cv3)\.(\d+)\.(.+)")  # of a head's tensors: branch, level, the rest
NEW_ROW, NOT_THERE, OTHER_SHAPE, KEPT = (
    "no such row there",
    "not there",
    "of another shape",
    "left as it is",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one tensor of the model.

    key: its whole name. row: of the model. source: row of the checkpoint's graph that is the same
    one, if there is any. fresh: why it starts fresh, or which part of it; "" if it was copied
    whole.
    """

    key: str
    row: int
    source: int | None
    fresh: str = ""
    in_part: bool = False


@dataclass(frozen=True)
class Report:
    """What a transfer did.

    entries: a tensor of the model each. modules: names of the model's rows. held: tensors in the
    checkpoint. used: of these, how many were taken. by_name: tensors that matching by YOLOv5's and
    YOLOv8's names would move. classes: for each class of the model its number in the checkpoint,
    None for one that the checkpoint has not.
    """

    entries: tuple[Entry, ...]
    modules: tuple[str, ...]
    held: int
    used: int
    by_name: int
    classes: tuple[int | None, ...] = field(default=(), repr=False)

    @property
    def total(self) -> int:
        """Tensors of the model."""
        return len(self.entries)

    @property
    def copied(self) -> int:
        """Tensors of the model that came from the checkpoint whole."""
        return sum(not entry.fresh for entry in self.entries)

    @property
    def fresh(self) -> list[str]:
        """Keys of the model that were not copied, or only in part."""
        return [entry.key for entry in self.entries if entry.fresh]

    def line(self, origin: str | Path = "the checkpoint") -> str:
        """The outcome in one line. origin: the checkpoint's file."""
        share = 100 * self.copied // max(self.total, 1)
        text = f"Transferred {self.copied} of {self.total} tensors ({share} %) from {origin}"
        parts = [entry for entry in self.entries if entry.in_part]
        if parts:
            text += f", {len(parts)} more in part"
        elif self.used == self.held and self.copied < self.total:
            text += ", all that it holds"
        return (
            f"{text}; matching by name would give {self.by_name}"
            if self.by_name < self.copied
            else text
        )

    def table(self, everything: bool = True) -> str:
        """Row by row where the weights came from and what starts fresh; or only the rows in which
        something does.
        """
        rows = []
        for number, module in enumerate(self.modules):
            mine = [entry for entry in self.entries if entry.row == number]
            fresh = [entry for entry in mine if entry.fresh]
            if mine and (everything or fresh):
                source = "none" if mine[0].source is None else f"row {mine[0].source}"
                rows.append(
                    (
                        f"row {number}",
                        module,
                        source,
                        f"{len(mine) - len(fresh)} of {len(mine)}",
                        _say(fresh),
                    )
                )
        return text_table(
            ("model", "module", "from", "tensors", "starts fresh"), rows, max_width=100
        )


def _say(fresh: Iterable[Entry]) -> str:
    """Tensors that start fresh, by reason, the first of each by name."""
    reasons: dict[str, list[str]] = {}
    for entry in fresh:
        reasons.setdefault(entry.fresh, []).append(entry.key.split(".", 2)[2])
    return "; ".join(f"{keys[0]}{f' and {len(keys) - 1} more' if keys[1:] else ''}: {reason}"
                     for reason, keys in reasons.items())  # fmt: skip


def transfer(model: DetectionModel, checkpoint: Checkpoint, exclude: Sequence[str] = ()) -> Report:
    """Copy into the model, in place, every tensor that its graph and the checkpoint's have in
    common.

    exclude: parts of keys to leave alone, such as anchors. Classes of heads match by name; if none
    does, and there are equally many, by number. Raises UserError for a checkpoint's graph that
    cannot run, and for a fused model.
    """
    if any(isinstance(block, Conv) and block.bn is None for block in model.modules()):
        raise UserError(
            "the model's batch norms are folded already, so weights no longer fit; load them before"
            " fuse()"
        )
    graphs = (read_graph(checkpoint.graph), read_graph(model.graph))
    places = tuple(find_places(graph) for graph in graphs)
    classes = match_classes(checkpoint.names, model.names)
    found = {mine.index: theirs for mine, theirs in align_places(*places)}
    own, new, entries, used = model.state_dict(), {}, [], set()
    for mine in places[1]:
        row = _Row(graphs, mine, found.get(mine.index), classes)
        for key in (key for key in own if key.startswith(f"model.{mine.key}.")):
            name = row.source_key(key)
            value, entry = row.copy(key, own[key], checkpoint.state.get(name), exclude)
            entries.append(entry)
            if value is not None:
                new[key] = value
                used.add(name)
    moved = [
        key
        for key in new
        if key.endswith(".anchors") and not torch.equal(own[key], new[key].to(own[key]))
    ]
    model.load_state_dict(new, strict=False)
    if moved:
        model.set_anchors(torch.tensor(model.spec.anchors))  # so that the graph has them too
    by_name = count_by_name(graphs, checkpoint.state, own, exclude)
    modules = tuple(row.module for row in graphs[1].rows)
    return Report(
        tuple(entries), modules, len(checkpoint.state), len(used), by_name, tuple(classes)
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the model and the one that its tensors come from. graphs: of the checkpoint, of the
    model.
    """

    graphs: tuple[Graph, Graph]
    mine: Place
    theirs: Place | None
    classes: list[int | None]

    def source_key(self, key: str) -> str:
        """The checkpoint's key for a key of the model, "" if there can be none."""
        if self.theirs is None:
            return ""
        name = key.removeprefix(f"model.{self.mine.key}.")
        level = LEVEL.fullmatch(name) if self.mine.is_head else None
        if level:
            branch, number, rest = level.groups()
            other = self._level(int(number))
            if other is None:
                return ""
            name = f"{branch}.{other}.{rest}"
        elif name == "anchors" and self.mine.inputs != self.theirs.inputs:
            return ""
        return f"model.{self.theirs.key}.{name}"

    def _level(self, number: int) -> int | None:
        """The checkpoint's level of the same stride; of the same number where no stride is the
        same.
        """
        assert self.theirs is not None
        mine, theirs = self.mine.inputs, self.theirs.inputs
        if mine == theirs or (len(mine) == len(theirs) and not set(mine) & set(theirs)):
            return number
        return theirs.index(mine[number]) if mine[number] in theirs else None

    def copy(
        self, key: str, own: Tensor, value: Tensor | None, exclude: Sequence[str]
    ) -> tuple[Tensor | None, Entry]:
        """What to put in the place of a tensor of the model, None for nothing, and what there is to
        say of it.
        """
        source = None if self.theirs is None else self.theirs.index
        where = (key, self.mine.index, source)
        if value is None:
            return None, Entry(*where, NEW_ROW if self.theirs is None else NOT_THERE)
        if any(part in key for part in exclude):
            is_same = own.shape == value.shape and torch.equal(own, value.to(own))
            return (value, Entry(*where)) if is_same else (None, Entry(*where, KEPT))
        has_classes = self.mine.is_head and self.graphs[1].family.class_tensors.fullmatch(
            key.split(".", 2)[2]
        )
        if has_classes and self.classes != list(range(self.graphs[0].class_count)):
            mixed, missing = self._mix_classes(own, value), self.classes.count(None)
            if mixed is None:
                return None, Entry(*where, OTHER_SHAPE)
            note = f"{missing} of {len(self.classes)} classes are new" if missing else ""
            is_part = bool(note) and not torch.equal(mixed, own)
            return mixed if is_part or not note else None, Entry(*where, note, is_part)
        return (
            (value, Entry(*where))
            if value.shape == own.shape
            else (None, Entry(*where, OTHER_SHAPE))
        )

    def _mix_classes(self, own: Tensor, value: Tensor) -> Tensor | None:
        """own [na * (5 + nc), …] or [nc, …] with the checkpoint's box rows and those of classes it
        knows, or None.
        """
        source, target = self.graphs
        anchors, box = target.anchors_per_level, target.family.class_offset
        rows = [anchors * (box + graph.class_count) for graph in (target, source)]
        if [own.shape[0], value.shape[0]] != rows or own.shape[1:] != value.shape[1:]:
            return None
        mixed, theirs = (
            own.clone().unflatten(0, (anchors, -1)),
            value.to(own).unflatten(0, (anchors, -1)),
        )
        mixed[:, :box] = theirs[:, :box]
        for number, other in enumerate(self.classes):
            if other is not None:
                mixed[:, box + number] = theirs[:, box + other]
        return mixed.flatten(0, 1)


def match_classes(source: Mapping[int, str], target: Mapping[int, str]) -> list[int | None]:
    """For each class of the target its number in the source: by name, capitals aside; None for one
    that it has not.

    By number if the names are the same, or have nothing in common and are equally many (as renamed
    ones are).
    """
    theirs, mine = (
        [str(names[number]).strip().casefold() for number in sorted(names)]
        for names in (source, target)
    )
    numbers = {name: number for number, name in reversed(list(enumerate(theirs)))}
    are_numbers = is_unnamed(source) or is_unnamed(target)
    if mine == theirs or (
        len(mine) == len(theirs) and (are_numbers or not set(mine) & set(theirs))
    ):
        return list(range(len(mine)))
    return [None if are_numbers else numbers.get(name) for name in mine]


def is_unnamed(names: Mapping[int, str]) -> bool:
    """Whether classes are called by their numbers, as they are while nobody has said more."""
    return all(str(number) == str(name) for number, name in names.items())


def upstream_keys(graph: Graph, keys: Iterable[str]) -> dict[str, str]:
    """Each key -> what YOLOv5 and YOLOv8 call it: `model.9_SimAM.alpha` is in row 10, so
    `model.10.alpha`.
    """
    numbers = {row.key: str(row.index) for row in graph.rows}
    parts = {key: key.split(".") for key in keys}
    return {key: ".".join([first, *(numbers.get(row, row) for row in rest[:1]), *rest[1:]])
            for key, (first, *rest) in parts.items()}  # fmt: skip


def count_by_name(
    graphs: tuple[Graph, Graph],
    source: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    exclude: Sequence[str],
) -> int:
    """How many tensors upstream's rule would move: those of equal name, rows counted, and equal
    shape.

    graphs and their states: of the checkpoint, of the model.
    """
    theirs, mine = (
        {name: state[key].shape for key, name in upstream_keys(graph, state).items()}
        for graph, state in zip(graphs, (source, own), strict=True)
    )
    return sum(
        theirs.get(name) == shape and not any(part in name for part in exclude)
        for name, shape in mine.items()
    )
