"""The plain block beside a row of a foreign network, whose keys show what else the row has.

models/weights/upstream/blocks.py recognises attention among those other keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from models.graph.block_names import BlockName, expand_block, read_block_name
from models.graph.build import BAD_ARGUMENTS
from models.graph.inside import PLACES, Spot, bottlenecks_of, resize_bottlenecks
from models.graph.layers import LAYERS
from models.weights.upstream.trials import Trials
from utils.errors import UserError
from utils.pickles.objects import PickledObject
from utils.seeds import caught_warnings

Tensors = Mapping[str, Tensor]
# The parts of a row whose keys it must have, by the block that it may be if no name tells.
BLOCKS_BY_PARTS: Mapping[str, frozenset[str]] = {
    "C3": frozenset({"cv1", "cv2", "cv3", "m"}),
    "C2f": frozenset({"cv1", "cv2", "m"}),
    "SPPF": frozenset({"cv1", "cv2"}),
    "Conv": frozenset({"conv"}),
}


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """A row of a foreign network.

    Attributes:
        where: the row, for errors and notes.
        classes: names that its class has, in the file and in the YAML.
        written: its arguments in the YAML.
        state: its tensors, by their keys below the row.
        module_at: the module at a path below the row, "" for the row itself; None if a file of
            tensors has none.
        trials: how many modules may still be built to recognise rows of the file.
    """

    where: str
    classes: tuple[str, ...]
    written: list[Any]
    state: Tensors
    module_at: Callable[[str], PickledObject | None] = lambda path: None
    trials: Trials = field(default_factory=Trials)

    @property
    def name(self) -> BlockName | None:
        """The block and the attention that a class's name joins."""
        return next(filter(None, map(read_block_name, self.classes)), None)

    @property
    def place(self) -> str | None:
        """The place that the YAML states."""
        last = self.written[-1] if self.written else None
        return last.get("place") if isinstance(last, dict) else None

    @property
    def copies(self) -> list[str]:
        """What the keys of each copy of the block begin with; [""] if it is not repeated."""
        parts = {key.partition(".")[0] for key in self.state}
        is_sequence = bool(parts) and all(part.isdigit() for part in parts)
        return [f"{part}." for part in sorted(parts, key=int)] if is_sequence else [""]

    def of_copy(self, start: str) -> dict[str, Tensor]:
        """The tensors of a copy, by their keys below it."""
        size = len(start)
        return {key[size:]: one for key, one in self.state.items() if key.startswith(start)}


@dataclass(frozen=True, slots=True)
class Trial:
    """The plain block, on the meta device and with bottlenecks as wide as the row's.

    Attributes:
        row: the foreign row.
        base: name of the block.
        block: the block.
        state: tensors of the row's first copy.
        own: the block's arguments in the row.
        settings: the mapping of the row's attention, as far as its name or YAML give it.
    """

    row: ForeignRow
    base: str
    block: nn.Module
    state: Tensors
    own: list[Any]
    settings: dict[str, object]

    def spots(self, place: str) -> list[Spot]:
        """The spots of a place of models/graph/inside.py; [] if the block has none."""
        return list(PLACES[place].find(self.block, *_widths(self.block, self.state)))

    def bottlenecks(self) -> list[str]:
        """What the keys of each bottleneck begin with."""
        return [f"{path}." if path else "" for path, _ in bottlenecks_of(self.block)]

    def plain_keys(self) -> set[str]:
        """Keys of the plain block, of fused convolutions the bias in place of the norm."""
        keys = set(self.block.state_dict())
        for norm in [key for key in keys if key.endswith("bn.running_var")]:
            stem = norm.removesuffix("bn.running_var")
            bias = f"{stem}conv.bias"
            if bias in self.state and bias not in keys:
                keys = {key for key in keys if not key.startswith(f"{stem}bn.")} | {bias}
        return keys

    def with_argument(self, name: str, value: object) -> list[Any]:
        """The block's arguments with one of them set, those before it to their defaults."""
        layer = LAYERS[self.base]
        after = list(signature(layer.kind.__init__).parameters.values())[3 + layer.repeats :]
        position = 1 + [one.name for one in after].index(name)
        defaults = [None, *(one.default for one in after)]
        before = [*self.own, *defaults[len(self.own) :]][:position]
        return [*before, value, *self.own[position + 1 :]]


def bases_of(row: ForeignRow) -> list[str]:
    """Plain blocks that a row may be, by the names of its class and then by its keys."""
    named = [row.name.base] if row.name else []
    named += [name for name in row.classes if name in LAYERS and LAYERS[name].rule == "stack"]
    parts = {key.partition(".")[0] for key in row.of_copy(row.copies[0])}
    by_keys = [base for base, needed in BLOCKS_BY_PARTS.items() if needed <= parts]
    return list(dict.fromkeys([*named, *by_keys]))


def try_block(row: ForeignRow, base: str) -> Trial | None:
    """The plain block of a row; None if its arguments or tensors are not of such a block."""
    row.trials.count()
    layer, state = LAYERS[base], row.of_copy(row.copies[0])
    try:
        own, settings = _split(row, base)
        if base == "C3k2" and own:
            # The small scales of YOLO11 have other links than the large ones for the same row.
            own[1:2] = ["m.0.m.0.cv1.conv.weight" in state]
        numbers = {key.split(".")[1] for key in state if key.startswith("m.")}
        repeats = [len(numbers)] if layer.repeats else []
        with torch.device("meta"), caught_warnings():  # PyTorch warns of tensors without elements
            block = layer.kind(*_widths(layer.kind, state), *repeats, *own[1:])
        share = _bottleneck_share(block, state)
        if share is not None:
            resize_bottlenecks(block, share)
            settings = {**settings, "bottleneck": share}
    except (UserError, *BAD_ARGUMENTS):
        return None
    return Trial(row, base, block, state, own, settings)


def _split(row: ForeignRow, base: str) -> tuple[list[Any], dict[str, object]]:
    """A row's arguments as those of the block, and the mapping of its attention or {}."""
    name, given = row.name, list(row.written)
    if name and name.base == base:
        given = expand_block(name, given)
    settings = given.pop() if given and isinstance(given[-1], dict) else {}
    return given, settings


def _widths(block: nn.Module | type[nn.Module], state: Tensors) -> tuple[int, int]:
    """Channels that a block reads and gives, by its tensors. Raises KeyError without them."""
    last = getattr(block, "merge", "") or ("cv2" if "cv2.conv.weight" in state else "")
    first = "cv1.conv.weight" if "cv1.conv.weight" in state else "conv.weight"
    outputs = state[f"{last}.conv.weight" if last else "conv.weight"].shape[0]
    return state[first].shape[1], outputs


def _bottleneck_share(block: nn.Module, state: Tensors) -> float | None:
    """Channels inside the row's bottlenecks over their outputs, where they are not the plain's."""
    for path, inner in bottlenecks_of(block):
        key = f"{path}.cv1.conv.weight"
        if key in state and state[key].shape[0] != block.state_dict()[key].shape[0]:
            return state[key].shape[0] / inner.outputs
    return None
