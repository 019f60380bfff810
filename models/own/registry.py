"""The own classes of this process, by name; use() fills them from the files of --modules.

Wherever a row's module is looked up, a class here comes before one of ours
(models/attention/_registry.py, models/graph/layers.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from models.own.imports import Names, NoNames
from models.own.source import OwnFile, read_classes
from models.own.together import NamesOfFiles
from utils.errors import UserError

VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
KEPT = ("Detect",)  # the loss and the decoding belong to these classes


@dataclass(frozen=True, eq=False)
class OwnClass:
    """A class of a person's file."""

    person: type[nn.Module]
    file: OwnFile

    @property
    def name(self) -> str:
        return self.person.__name__

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """Parameters of the constructor without self, *args and **kwargs."""
        return [one for one in self._constructor if one.kind not in VARIABLE]

    @property
    def _constructor(self) -> list[inspect.Parameter]:
        """Its parameters without self.

        A constructor that passes on (*args, **kwargs) has those of its base class.
        """
        found = [_parameters_of(kind) for kind in self.person.__mro__ if "__init__" in vars(kind)]
        named = [all_ for all_ in found if any(one.kind not in VARIABLE for one in all_)]
        passes_on = {one.kind for one in found[0]} == set(VARIABLE)
        return named[0] if passes_on and named else found[0]

    @property
    def signature(self) -> str:
        """What the constructor takes, such as `(dim, heads=8)`."""
        return str(inspect.Signature(self._constructor))


def _parameters_of(kind: type) -> list[inspect.Parameter]:
    _, *rest = inspect.signature(vars(kind)["__init__"]).parameters.values()
    return rest


@cache
def own_class(person: Any, file: OwnFile) -> OwnClass:
    """The one OwnClass of a class of a file, so that copies of a module have the same type."""
    return OwnClass(person, file)


OWN: dict[str, OwnClass] = {}


def own_named(name: str) -> OwnClass | None:
    """The person's class of this name, or None."""
    return OWN.get(name)


@cache
def say(line: str) -> None:
    """Print a line once in this process: graphs are read and built several times."""
    print(line)


def use(
    paths: Iterable[str | Path], ours: Container[str] = (), names: Names | None = None
) -> list[str]:
    """Import files, and let rows name their classes from now on.

    Args:
        paths: of the files, as the command line names them.
        ours: names of this project's modules.
        names: what imports from other programs mean; None for nothing.

    Returns:
        A line for each class that takes the place of another, and for each that must not.

    Raises:
        UserError: A file is missing, faulty or without classes.
    """
    notes, files = list[str](), list(paths)
    together = NamesOfFiles(files, names or NoNames())
    for path in files:
        file, kinds = read_classes(path, together)
        if any(own.file == file for own in OWN.values()):
            continue  # imported already, and models of its classes may exist
        kind: Any
        for kind in kinds:
            own = own_class(kind, file)
            if own.name in KEPT:
                notes.append(f"{file.name}: {own.name} is not used: the head stays this project's")
                continue
            notes += _shadowed(own, ours)
            OWN[own.name] = own
    return notes


def _shadowed(own: OwnClass, ours: Container[str]) -> list[str]:
    """A line if the class takes the place of another one."""
    former = own_named(own.name)
    whose = "this project's"
    if former is not None:
        whose = f"{former.file.name}'s" if former.file.path != own.file.path else "the former"
    elif own.name not in ours:
        return []
    return [f"{own.file.name}: its {own.name} takes the place of {whose} {own.name} in every row"]


def require(where: str | Path, entries: Iterable[object]) -> list[str]:
    """Check that the own classes of a checkpoint are there.

    Args:
        where: the checkpoint, for the error.
        entries: as used_files() of models/own/adapter.py gives them.

    Returns:
        A warning for each file that has changed since.

    Raises:
        UserError: A class was not given by --modules, or an entry is not as we write it.
    """
    warnings = []
    for file, sha256, names in (_checked(where, entry) for entry in entries):
        missing = [name for name in names if own_named(name) is None]
        if missing:
            raise UserError(
                f"{where}: its graph uses {', '.join(missing)} of {file}, which a checkpoint names"
                f" but does not hold; add --modules {file}"
            )
        now = {OWN[name].file.sha256 for name in names} - {sha256}
        if now:
            warnings.append(
                f"{where}: {file} has changed since the training (SHA-256 {sha256[:12]}…, now"
                f" {min(now)[:12]}…), so outputs may differ"
            )
    return warnings


def _checked(where: str | Path, entry: object) -> tuple[str, str, list[str]]:
    """(file, SHA-256, class names) of a checkpoint's entry. Raises UserError for another form."""
    content = entry if isinstance(entry, dict) else {}
    file, sha256, names = (content.get(key) for key in ("file", "sha256", "classes"))
    if isinstance(sha256, str) and isinstance(names, list) and names:
        words = [word for word in (file, *names) if isinstance(word, str) and word.isprintable()]
        if len(words) == 1 + len(names):
            return Path(words[0]).name, sha256, words[1:]
    raise UserError(
        f"{where}: its modules is not as this project writes it; take another checkpoint"
    )
