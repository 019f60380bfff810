"""Reading YAML: data sets, graphs, hyperparameters, studies.

The bounds of utils/yaml_bounds.py hold before anything is built. A key that stands twice, of which
YAML takes the second in silence, is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from utils.errors import UserError
from utils.regular_file import decode_text, read_limited
from utils.text import printable, shown
from utils.yaml_bounds import OutOfBounds, check_size

MOST_DIGITS = 100  # characters of a number or date
SMALL = 100_000  # characters that PyYAML's own parser, which is slow, reads in about a second
VALUE_ERRORS = (ValueError, KeyError, AttributeError, IndexError, TypeError, OverflowError)
MERGE = "tag:yaml.org,2002:merge"
TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class DoubledKey:
    """A key that stands twice in one mapping.

    Attributes:
        name: the key, printable.
        lines: of both places, from 1.
        agree: whether both values are the same.
    """

    name: str
    lines: tuple[int, int]
    agree: bool

    def __str__(self) -> str:
        return f"`{self.name}` stands in lines {self.lines[0]} and {self.lines[1]}"


class _Constructor(SafeConstructor):
    """PyYAML's safe constructor, with every fault an error that has a line."""

    doubled: list[DoubledKey]
    checked: set[int]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        is_scalar = isinstance(node, yaml.ScalarNode)
        if is_scalar and node.tag != TEXT and len(node.value) > MOST_DIGITS:
            # The cost of a number such as 1:2:3:… grows with the square of its length.
            what = (
                f"{shown(node.value, 20)} has {len(node.value):,} characters, which no number has"
            )
            raise OutOfBounds(None, None, f"{what}; put text in quotes", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except VALUE_ERRORS:
            value = shown(node.value, 40) if is_scalar else type(node).__name__
            what = f"{value} is no {node.tag.rpartition(':')[2]}"
            raise ConstructorError(None, None, what, node.start_mark) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # Merging (<<) puts the other mapping's pairs into node.value, so keys are compared before.
        if id(node) not in self.checked:
            self.checked.add(id(node))
            self.doubled += self._doubled_in(node)
        super().flatten_mapping(node)

    def _doubled_in(self, node: yaml.MappingNode) -> Iterator[DoubledKey]:
        first: dict[object, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            # Values are compared and not their text, since 1, 01 and true are one key to Python.
            known = first.setdefault(self.construct_object(key, deep=True), (key, value))
            if known[0] is not key:
                lines = (known[0].start_mark.line + 1, key.start_mark.line + 1)
                yield DoubledKey(printable(key.value, 60), lines, _agree(known[1], value))


def _agree(one: yaml.Node, other: yaml.Node) -> bool:
    """Whether two nodes stand for the same value, written in the same order."""
    if one is other:
        return True
    if one.tag != other.tag or isinstance(one, yaml.ScalarNode):
        return bool(one.tag == other.tag and one.value == other.value)
    if len(one.value) != len(other.value):
        return False
    pairs = zip(one.value, other.value, strict=True)
    if isinstance(one, yaml.SequenceNode):
        return all(_agree(a, b) for a, b in pairs)
    return all(_agree(a[0], b[0]) and _agree(a[1], b[1]) for a, b in pairs)


class _PlainLoader(_Constructor, yaml.SafeLoader):
    """Reads as PyYAML itself does."""


if yaml.__with_libyaml__:

    class _QuickLoader(_Constructor, yaml.CSafeLoader):
        """Reads with libyaml, which is about ten times as fast."""

else:
    _QuickLoader = _PlainLoader  # type: ignore[misc, assignment]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A YAML file as it was read.

    Attributes:
        path: the file.
        text: its text; bytes that are not UTF-8, which only comments may have, are left out.
        content: the mapping.
        doubled: keys that stand twice; the second one is in content.
    """

    path: Path
    text: str
    content: dict[str, Any]
    doubled: tuple[DoubledKey, ...]


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping with the safe loader; nothing in it is evaluated.

    Raises UserError with the file and line if it is missing, not a regular file, not YAML or not a
    mapping, has two values for one key, or is beyond the bounds.
    """
    file = read_yaml(path)
    refuse_doubled(file)
    return file.content


def refuse_doubled(file: YamlFile) -> None:
    """Raise UserError for the first key that has two values which differ."""
    for key in file.doubled:
        if not key.agree:
            raise UserError(
                f"{printable(file.path)}:{key.lines[1]}: {key}, with values that differ; remove one"
            )


def read_yaml(path: str | Path) -> YamlFile:
    """Read a YAML mapping as load_yaml does, but only list the keys that stand twice."""
    return parse_yaml(Path(path), read_limited(path))


def parse_yaml(path: Path, data: bytes) -> YamlFile:
    """As read_yaml, for the bytes of a file whose path errors name."""
    text, marked = decode_text(data)
    shown_path = printable(path)
    try:
        content, doubled = _construct(text, marked)
    except yaml.reader.ReaderError:
        raise UserError(f"{shown_path}{_not_text(text)}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{shown_path}:{mark.line + 1}" if mark else shown_path
        problem = printable(getattr(error, "problem", None) or str(error).splitlines()[0])
        if not isinstance(error, OutOfBounds):
            windows = "write / in paths, or single quotes" if "unknown escape" in problem else ""
            problem = f"not valid YAML ({problem}); {windows or 'fix that line'}"
        raise UserError(f"{where}: {problem}") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{shown_path}: holds {type(content).__name__}, but a mapping of `key: value` lines is"
            " needed"
        )
    return YamlFile(path, text, content, doubled)


def compose_yaml(text: str) -> yaml.Node | None:
    """The nodes of a text that read_yaml has read without an error."""
    root: yaml.Node | None
    try:
        root = yaml.compose(text, Loader=_QuickLoader)
    except yaml.YAMLError:  # read_yaml has taken it from the other parser then
        root = yaml.compose(text, Loader=_PlainLoader)
    return root


def _not_text(text: str) -> str:
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if found is None or "\0" in text or text.startswith("PK"):
        return ": is a binary file and not YAML; a checkpoint is given as --weights"
    row = text.count("\n", 0, found.start()) + 1
    return f":{row}: not valid YAML (it has the control character {found[0]!r}); remove it"


def _construct(text: str, marked: str) -> tuple[object, tuple[DoubledKey, ...]]:
    """The value of a text within the bounds. Raises yaml.YAMLError."""
    try:
        return _construct_with(_QuickLoader, text, marked)
    except OutOfBounds:
        raise
    except yaml.YAMLError:
        # The two parsers differ in rare cases. What PyYAML's own says counts.
        if len(text) > SMALL or not yaml.__with_libyaml__:
            raise
        return _construct_with(_PlainLoader, text, marked)


def _construct_with(
    kind: type[_Constructor], text: str, marked: str
) -> tuple[object, tuple[DoubledKey, ...]]:
    check_size(yaml.parse(marked, Loader=cast(Any, kind)), may_replace=text == marked)
    loader = cast(Any, kind)(text)
    loader.doubled, loader.checked = [], set()
    try:
        return loader.get_single_data(), tuple(loader.doubled)
    finally:
        loader.dispose()
