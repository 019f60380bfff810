"""A foreign network as a tree: its modules by path, its tensors by key, the attributes that weights
do not show.

models/weights/upstream/adopt.py makes a graph of it. Records and tensors are what
models/weights/pickles/reader.py read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from models.common import Bottleneck, Conv
from models.graph.values import is_number, is_whole, shorten
from models.weights.pickles.allowlist import Array, Record
from utils.checkpoint import check_shared
from utils.errors import UserError

MOST_MEMBERS, MOST_NESTED, MOST_NAME = 200_000, 30, 100
MOST_VALUES, MOST_LEVELS, MOST_TEXT = 50_000, 8, 2000
NORM_EPSILON = 1e-3  # of both families
ATTRIBUTES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("stride", "padding", "dilation", "groups"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding"),
    nn.Upsample: ("scale_factor", "mode"),
}


@dataclass(slots=True)
class Tree:
    """modules: path, such as model.0.conv -> Record. state: state-dict key -> tensor.

    Both in the file's order.
    """

    modules: dict[str, Record] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)

    def of_row(self, number: int) -> dict[str, Tensor]:
        """A row's tensors by their keys below model.NUMBER."""
        if not self._rows:
            for key, value in self.state.items():
                model, _, rest = key.partition(".")
                row, _, rest = rest.partition(".")
                self._rows.setdefault(row if model == "model" else "", {})[rest] = value
        return self._rows.get(str(number), {})

    _rows: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def read_tree(root: Record) -> Tree:
    """Follow _modules from the root. Raises UserError for what is no network."""
    tree, count = Tree(), 0
    for path, record in _walk(root, "", 0):
        count += 1 + sum(
            len(members(record, kind)) for kind in ("_modules", "_parameters", "_buffers")
        )
        if count > MOST_MEMBERS:
            raise UserError(f"has more than {MOST_MEMBERS:,} modules and tensors")
        tree.modules[path] = record
        dropped = record.get("_non_persistent_buffers_set") or ()
        for kind in ("_parameters", "_buffers"):
            for name, value in members(record, kind).items():
                if value is not None and name not in dropped:
                    key = f"{path}.{name}" if path else name
                    if not isinstance(value, Tensor):
                        raise UserError(
                            f"{shorten(key)}: is a {type(value).__name__}, where a tensor is needed"
                        )
                    tree.state[key] = value
    check_shared(tree.state)
    return tree


def members(record: Record, kind: str) -> dict[str, Any]:
    """_modules, _parameters or _buffers. Raises UserError for what is none."""
    found = record.get(kind)
    if found is None:
        return {}
    named = isinstance(found, dict) and len(found) <= MOST_MEMBERS
    if not named or not all(
        isinstance(name, str) and len(name) <= MOST_NAME and "." not in name for name in found
    ):
        raise UserError(f"{shorten(record.kind)}: its {kind} are no names with values")
    return found


def _walk(record: Record, path: str, depth: int) -> Iterator[tuple[str, Record]]:
    if depth > MOST_NESTED:
        raise UserError(f"{shorten(path)}: has modules within modules beyond {MOST_NESTED} levels")
    yield path, record
    for name, child in members(record, "_modules").items():
        if isinstance(child, Record):
            yield from _walk(child, f"{path}.{name}" if path else name, depth + 1)
        elif child is not None:
            raise UserError(
                f"{shorten(name)}: is a {type(child).__name__}, where a module is needed"
            )


def plain(value: Any, level: int = 0, budget: list[int] | None = None) -> Any:
    """A value of the file as numbers, text, lists and dictionaries.

    Raises UserError for what is none of these.
    """
    budget = [MOST_VALUES] if budget is None else budget
    budget[0] -= 1
    if budget[0] < 0 or level > MOST_LEVELS:
        raise UserError("has options that are too large to be read")
    if isinstance(value, Record):
        value = value.state or {}
    if isinstance(value, Array):
        value = (
            [] if value.values is None or value.values.size > MOST_VALUES else value.values.tolist()
        )
    if isinstance(value, dict):
        return {
            key: plain(part, level + 1, budget)
            for key, part in value.items()
            if isinstance(key, (str, int))
        }
    if isinstance(value, (list, tuple)):
        return [plain(part, level + 1, budget) for part in value]
    if (
        value is None
        or isinstance(value, (bool, int, float))
        or (isinstance(value, str) and len(value) <= MOST_TEXT)
    ):
        return value
    raise UserError(f"has {shorten(value)} among its options, where text or a number is needed")


def check_attributes(path: str, ours: nn.Module, theirs: Record) -> None:
    """Compare what a module computes beyond its weights.

    Raises UserError that names path and value.
    """
    names = ATTRIBUTES.get(type(ours), ())
    pairs = [
        (name, _pair(getattr(ours, name)), _pair(theirs.get(name, getattr(ours, name))))
        for name in names
    ]
    if type(ours) is nn.BatchNorm2d:
        pairs.append(("eps", NORM_EPSILON, theirs.get("eps", NORM_EPSILON)))
    if isinstance(ours, Bottleneck):
        pairs.append(("add", ours.residual, theirs.get("add", ours.residual)))
    if isinstance(ours, Conv) and not ours.own_activation:
        pairs.append(
            ("act", type(ours.act).__name__, class_name(members(theirs, "_modules").get("act")))
        )
    for name, expected, found in pairs:
        same = (
            abs(found - expected) < 1e-9
            if is_number(found) and is_number(expected)
            else found == expected
        )
        if not same:
            raise UserError(
                f"{path}: {name} is {shorten(found)}, where this project's {type(ours).__name__}"
                f" has {shorten(expected)}; it would compute something else"
            )


def _pair(value: Any) -> Any:
    """Sides of a window: one number for both as a pair."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return (value, value) if is_whole(value) else value


def class_name(record: Any) -> str:
    """The last part of a record's class, "" for anything else."""
    return record.kind.rpartition(".")[2] if isinstance(record, Record) else ""


def activation_text(record: Any) -> str:
    """An activation as a model YAML has it: nn.LeakyReLU(0.1)."""
    slope = record.get("negative_slope") if isinstance(record, Record) else None
    return f"nn.{class_name(record)}({slope if is_number(slope) else ''})"
