"""What the pages say of each attention module, read from its source without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "models/attention"
ORDERS = ("tutorial_order", "other_orders", "orders_of_names")


@dataclass(frozen=True)
class Kind:
    """A registered class.

    Attributes:
        name: of the class, and other spellings.
        aliases: the other names that a row may use.
        summary: its docstring's first paragraphs, without the sections below.
        arguments: option -> what it means, from the section Args.
        defaults: option -> default.
        orders: what the values of a list mean in public files, one order each.
    """

    name: str
    aliases: tuple[str, ...]
    summary: str
    arguments: dict[str, str]
    defaults: dict[str, object]
    orders: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Mechanism:
    """A file of models/attention: one paper, one or two classes.

    Attributes:
        file: its name without .py.
        title: the docstring's first paragraph.
        body: the paragraphs after it, without the verdict.
        verdicts: what the docstring says after "Verdict:", a sentence for each study; () if the
            module was not measured.
        link: of the paper, "" if the docstring has none.
        year: of the paper.
        kinds: its classes, the first one gives the page its name.
    """

    file: str
    title: str
    body: str
    verdicts: tuple[str, ...]
    link: str
    year: int
    kinds: tuple[Kind, ...]

    @property
    def page(self) -> str:
        return f"mechanisms/{self.kinds[0].name}.md"


def read_mechanisms() -> list[Mechanism]:
    """All mechanisms, by the names of their first classes."""
    files = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("_"))
    return sorted(map(read_file, files), key=lambda one: one.kinds[0].name.lower())


def read_file(path: Path) -> Mechanism:
    """Read one file of models/attention.

    Raises ValueError, with the file's name, if its docstring lacks a verdict, a year or a
    registered class, or if the verdict has another form.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), path.name)
    text = ast.get_docstring(tree) or ""
    kinds = tuple(read_kinds(tree))
    body, found, verdict = text.rpartition("\nVerdict:")
    year = re.search(r"\b(19|20)\d\d\b", re.sub(r"https?:\S+", "", body))
    if not found or not year or not kinds:
        raise ValueError(f"{path.name}: no verdict, year or registered class")
    title, _, rest = body.partition("\n\n")
    link = re.search(r"https?://\S+?(?=[,.;:)]*(?:\s|$))", rest)
    if not re.match(r" (not yet measured\.$|.+\n- )", verdict):
        raise ValueError(f"{path.name}: Verdict: is neither a list nor 'not yet measured.'")
    verdicts = tuple(map(one_line, re.findall(r"^- (.+(?:\n  .+)*)", verdict, re.M)))
    return Mechanism(
        path.stem, one_line(title), rest.strip(), verdicts, link[0] if link else "",
        int(year[0]), kinds,
    )  # fmt: skip


def one_line(text: str) -> str:
    return " ".join(text.split())


def read_kinds(tree: ast.Module) -> Iterator[Kind]:
    """The registered classes of a file."""
    constants = constants_of(tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for one in node.decorator_list:
                if isinstance(one, ast.Call) and ast.unparse(one.func) == "register":
                    yield read_kind(node, tuple(map(ast.literal_eval, one.args)), constants)


def constants_of(tree: ast.Module) -> dict[str, object]:
    """Name -> value, of what a file gives a name once and for all, as far as it is written out."""
    found: dict[str, object] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            with suppress(ValueError):  # computed
                found |= named(node.targets[0], ast.literal_eval(node.value))
    return found


def named(target: ast.expr, value: Any) -> dict[str, object]:
    """Name -> value, of one assignment to a name or to several."""
    if isinstance(target, ast.Tuple):
        pairs = zip(target.elts, value, strict=True)
        return {name.id: one for name, one in pairs if isinstance(name, ast.Name)}
    return {target.id: value} if isinstance(target, ast.Name) else {}


def read_kind(
    node: ast.ClassDef, aliases: tuple[str, ...], constants: Mapping[str, object]
) -> Kind:
    """One registered class."""
    text = ast.get_docstring(node) or ""
    summary = re.split(r"\n(?:Args|Raises|Returns|Attributes):\n", text)[0]
    arguments = arguments_of(text)
    arguments.pop("channels", None)
    defaults = defaults_of(node, constants)
    return Kind(node.name, aliases, summary.strip(), arguments, defaults, tuple(orders_of(node)))


def arguments_of(text: str) -> dict[str, str]:
    """Name -> meaning, of a docstring's section Args."""
    section = re.search(r"(?:^|\n)Args:\n((?:[ ]+.*\n?|\n)+)", text)
    found = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", section[1] if section else "", re.M)
    return {name: one_line(meaning) for name, meaning in found}


def defaults_of(node: ast.ClassDef, constants: Mapping[str, object]) -> dict[str, object]:
    """Option -> default, of the constructor's keyword arguments.

    Raises ValueError for a default that is computed.
    """
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            pairs = zip(one.args.kwonlyargs, one.args.kw_defaults, strict=True)
            return {
                name.arg: constants[value.id]
                if isinstance(value, ast.Name) and value.id in constants
                else ast.literal_eval(value)
                for name, value in pairs
                if value is not None
            }
    return {}


def orders_of(node: ast.ClassDef) -> Iterator[tuple[str, ...]]:
    """The options that lists of public files give by position, one tuple for each order."""
    for one in node.body:
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            name, value = one.targets[0].id, one.value
            if name == "tutorial_order":
                yield words(value)
            elif name == "other_orders" and isinstance(value, ast.Tuple):
                yield from map(words, value.elts)


def words(value: ast.expr) -> tuple[str, ...]:
    """The words of a tuple; a name in it stands for a place that nothing reads."""
    parts = value.elts if isinstance(value, ast.Tuple) else []
    return tuple(one.value if isinstance(one, ast.Constant) else "_" for one in parts)  # type: ignore[misc]
