"""A foreign network as a tree: modules by path, tensors by key, and attributes beside the weights.

utils/pickles/reader.py has read the objects and tensors.
models/weights/upstream/adopt.py makes a checkpoint of ours from the tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from models.activations import ACTIVATIONS
from models.attention.se import SE
from models.common import Bottleneck, Conv
from models.graph.values import is_number, is_whole, shorten
from models.weights.upstream.trials import Trials
from utils.checkpoint import check_shared
from utils.errors import UserError
from utils.pickles.objects import PickledArray, PickledObject

MAX_MEMBERS = 200_000  # modules, parameters and buffers
MAX_MODULE_LEVELS = 30  # modules within modules
MAX_MEMBER_NAME = 100  # characters
MAX_PATHS = 2**24  # characters of all paths together
MAX_OPTIONS, MAX_OPTION_LEVELS, MAX_OPTION_TEXT = 50_000, 8, 2000
NORM_EPSILON = 1e-3  # in both families
ATTRIBUTES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("stride", "padding", "dilation", "groups", "padding_mode"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding"),
    nn.Upsample: ("scale_factor", "mode"),
}


@dataclass(slots=True)
class Tree:
    """A network, in the order of the file.

    Attributes:
        root: the network itself.
        modules: module by path, such as model.0.conv; the root has the path "".
        state: tensor by state-dict key.
        renamed: path of a module in the file, by the path that it has in our graph, where they
            differ.
        trials: how many modules may still be built to recognise its rows.
    """

    root: PickledObject
    modules: dict[str, PickledObject] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    trials: Trials = field(default_factory=Trials)
    _by_row: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def of_row(self, number: int) -> dict[str, Tensor]:
        """A row's tensors by their keys below model.NUMBER."""
        if not self._by_row:
            for key, value in self.state.items():
                model, _, rest = key.partition(".")
                row, _, rest = rest.partition(".")
                self._by_row.setdefault(row if model == "model" else "", {})[rest] = value
        return self._by_row.get(str(number), {})

    def rename(self, number: int, state: dict[str, Tensor], paths: Mapping[str, str]) -> None:
        """Give a row's tensors other keys.

        Args:
            number: of the row.
            state: all of its tensors, by their keys below model.NUMBER.
            paths: of modules in the file, below model.NUMBER, by their new paths.
        """
        self.of_row(number)
        self._by_row[str(number)] = state
        self.renamed |= {
            f"model.{number}.{ours}": f"model.{number}.{one}" for ours, one in paths.items()
        }

    def module_at(self, path: str) -> PickledObject | None:
        """The module of the file that has this path in our graph, or None."""
        return self.modules.get(self.renamed.get(path, path))

    def rows(self) -> list[object]:
        """The modules of the rows. Raises UserError if the network is not a YOLO detector."""
        rows = self.modules.get("model")
        if rows is None or class_name_of(rows) != "Sequential" or not members(rows, "_modules"):
            kind = shorten(self.root.kind)
            raise UserError(f"its {kind} has no rows `model`, as YOLO's detectors have")
        numbered = members(rows, "_modules")
        if list(numbered) != [str(number) for number in range(len(numbered))]:
            raise UserError("its rows `model` are not numbered from 0 on")
        return list(numbered.values())


def read_tree(root: PickledObject) -> Tree:
    """Follow _modules from the root. Raises UserError if that is not a network."""
    tree, count, length = Tree(root), 0, 0
    for path, module in _walk(root, "", 0):
        count += 1 + sum(
            len(members(module, kind)) for kind in ("_modules", "_parameters", "_buffers")
        )
        # A module may occur at many paths: 25 levels of two references each are 2 ** 25 paths.
        length += len(path) * len(members(module, "_parameters")) + len(path)
        if count > MAX_MEMBERS or length > MAX_PATHS:
            raise UserError(f"has more than {MAX_MEMBERS:,} modules and tensors, or long names")
        tree.modules[path] = module
        tree.state |= dict(_tensors(module, path))
    check_shared(tree.state)
    return tree


def _walk(module: PickledObject, path: str, depth: int) -> Iterator[tuple[str, PickledObject]]:
    """A module and all below it, with their paths."""
    if depth > MAX_MODULE_LEVELS:
        raise UserError(
            f"{shorten(path)}: has modules within modules beyond {MAX_MODULE_LEVELS} levels"
        )
    yield path, module
    for name, child in members(module, "_modules").items():
        if isinstance(child, PickledObject):
            yield from _walk(child, f"{path}.{name}" if path else name, depth + 1)
        elif child is not None:
            kind = type(child).__name__
            raise UserError(f"{shorten(name)}: is a {kind}, where a module is needed")


def _tensors(module: PickledObject, path: str) -> Iterator[tuple[str, Tensor]]:
    """A module's own tensors that are in state dicts, with their keys."""
    dropped = module.get("_non_persistent_buffers_set")
    dropped = dropped if isinstance(dropped, (set, frozenset, list, tuple)) else ()
    for kind in ("_parameters", "_buffers"):
        for name, value in members(module, kind).items():
            if value is None or name in dropped:
                continue
            key = f"{path}.{name}" if path else name
            if not isinstance(value, Tensor):
                what = type(value).__name__
                raise UserError(f"{shorten(key)}: is a {what}, where a tensor is needed")
            yield key, value


def members(module: PickledObject, kind: str) -> dict[str, object]:
    """_modules, _parameters or _buffers of a module.

    Raises UserError if they are not names with values. A name with a dot could stand for a tensor
    of another module.
    """
    found = module.get(kind)
    if found is None:
        return {}
    if not isinstance(found, dict) or len(found) > MAX_MEMBERS or not all(map(_is_name, found)):
        raise UserError(f"{shorten(module.kind)}: its {kind} are not names with values")
    return found


def _is_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= MAX_MEMBER_NAME and "." not in name


def plain_value(value: object, level: int = 0, budget: list[int] | None = None) -> object:
    """A value of the file as numbers, text, lists and dictionaries.

    Args:
        value: from the file. Objects become dictionaries of their attributes.
        level: number of containers around it.
        budget: a list of one number, the values that may still be read; it counts down.

    Returns:
        The value. Dictionaries have only the entries whose keys are text or whole numbers.

    Raises:
        UserError: The value is too large, too deep, or contains anything else.
    """
    # All levels share the budget, so a value that is referenced many times counts each time.
    budget = [MAX_OPTIONS] if budget is None else budget
    budget[0] -= 1
    if budget[0] < 0 or level > MAX_OPTION_LEVELS:
        raise UserError("has options that are too large to be read")
    if isinstance(value, PickledObject):
        value = value.state or {}
    if isinstance(value, PickledArray):
        array = value.values
        value = [] if array is None or array.size > MAX_OPTIONS else array.tolist()
    if isinstance(value, dict):
        return {
            key: plain_value(part, level + 1, budget)
            for key, part in value.items()
            if isinstance(key, (str, int))
        }
    if isinstance(value, (list, tuple)):
        return [plain_value(part, level + 1, budget) for part in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str) and len(value) <= MAX_OPTION_TEXT:
        return value
    raise UserError(f"has {shorten(value)} among its options, where text or a number is needed")


def check_attributes(path: str, ours: nn.Module, theirs: PickledObject) -> None:
    """Compare the settings of a module that its weights do not show.

    Args:
        path: of the module, for errors.
        ours: the module that we would build.
        theirs: the module of the file.

    Raises:
        UserError: An attribute differs, so that our module would compute something else.
    """
    for name, expected, found in _attributes(ours, theirs):
        if is_number(found) and is_number(expected):
            same = abs(found - expected) < 1e-9
        else:
            same = found == expected
        if not same:
            raise UserError(
                f"{path}: {name} is {shorten(found)}, where this project's {type(ours).__name__}"
                f" has {shorten(expected)}; it would compute something else"
            )


def _attributes(ours: nn.Module, theirs: PickledObject) -> Iterator[tuple[str, object, object]]:
    """Attributes to compare: name, our value, their value. One that they lack counts as ours."""
    for name in ATTRIBUTES.get(type(ours), ()):
        own = getattr(ours, name)
        yield name, _pair(own), _pair(theirs.get(name, own))
    if type(ours) is nn.BatchNorm2d:
        yield "eps", NORM_EPSILON, theirs.get("eps", NORM_EPSILON)
    if isinstance(ours, Bottleneck):
        yield "add", ours.residual, theirs.get("add", ours.residual)
    if isinstance(ours, SE):
        yield "activations", [], sorted(_activations(theirs) - {"ReLU", "Sigmoid", "Identity"})
    if isinstance(ours, Conv) and not ours.own_activation:
        act = members(theirs, "_modules").get("act")
        yield "act", type(ours.act).__name__, class_name_of(act)


def _activations(module: PickledObject) -> set[str]:
    """Activations that are modules of their own in a module, or in a sequence of it."""
    found = set[str]()
    for child in members(module, "_modules").values():
        name = class_name_of(child)
        if isinstance(child, PickledObject) and name == "Sequential":
            found |= _activations(child)
        elif name in ACTIVATIONS:
            found.add(name)
    return found


def _pair(value: object) -> object:
    """Height and width of a window as a pair; one number stands for both."""
    # nn.Upsample makes a float of the scale_factor that it was given.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return (value, value) if is_whole(value) else value


def class_name_of(value: object) -> str:
    """The last part of an object's class, "" for anything that is not an object."""
    return value.kind.rpartition(".")[2] if isinstance(value, PickledObject) else ""


def activation_text(activation: object) -> str:
    """An activation as a model YAML has it, such as nn.LeakyReLU(0.1)."""
    slope = activation.get("negative_slope") if isinstance(activation, PickledObject) else None
    return f"nn.{class_name_of(activation)}({slope if is_number(slope) else ''})"
