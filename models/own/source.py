"""Import a person's file: the one that the command line names, and no other.

The bytes that are hashed are the bytes that run. The file gets a private module name, so that it
neither replaces another module nor can be imported by its name, and nothing is written beside it.
"""

from __future__ import annotations

import builtins
import hashlib
import sys
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from models.own.guard import Attempt, in_words
from models.own.imports import Names, NoNames, import_for
from utils.errors import UserError
from utils.files import check_path, expand_user
from utils.regular_file import MOST_BYTES, open_regular


@dataclass(frozen=True)
class OwnFile:
    """A person's file as it was imported: its absolute path and the SHA-256 of its content."""

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        return self.path.name


class _BytesLoader(SourceFileLoader):
    """Runs the bytes that were read already, without a cache of compiled code."""

    def __init__(self, name: str, path: Path, content: bytes) -> None:
        super().__init__(name, str(path))
        self.content = content

    def get_data(self, path: Any) -> bytes:
        return self.content

    def path_stats(self, path: Any) -> Any:
        raise OSError("no time of change, so that no compiled code is read or written")


def read_classes(
    path: str | Path, names: Names | None = None
) -> tuple[OwnFile, list[type[nn.Module]]]:
    """Import a file and list the nn.Module classes that it defines, in their order.

    Args:
        path: of the file.
        names: what its imports from other programs mean; None for nothing.

    Returns:
        The file and its classes.

    Raises:
        UserError: In one line, if the file is missing, cannot be imported or has no such class.
    """
    file, module = run_file(path, names or NoNames())
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, nn.Module)
        and kind.__module__ == module.__name__
    ]
    if not kinds:
        raise UserError(
            f"--modules {path}: defines no class that derives from torch.nn.Module; add one"
        )
    return file, list(dict.fromkeys(kinds))


def run_file(path: str | Path, names: Names) -> tuple[OwnFile, ModuleType]:
    """The file and its module, which is run once. Raises UserError, in one line."""
    where, full = f"--modules {path}", expand_user(path, "--modules ").absolute()
    check_path(full, "--modules ")
    try:
        with open_regular(full) as source:
            content = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(
            f"{where}: cannot be read ({error.strerror}); give a Python file with your classes"
        ) from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{where}: is larger than {MOST_BYTES // 1_000_000} MB; check the path")
    file = OwnFile(full, hashlib.sha256(content).hexdigest())
    return file, _run(where, file, content, names)


def _run(where: str, file: OwnFile, content: bytes, names: Names) -> ModuleType:
    """Run the content as a module. Raises UserError for whatever the file raises."""
    digest = hashlib.sha256(f"{file.path}{file.sha256}".encode()).hexdigest()
    name = f"_own_{digest[:12]}_{file.path.stem}"
    if name in sys.modules:  # it ran already, and its classes must stay the same objects
        return sys.modules[name]
    loader = _BytesLoader(name, file.path, content)
    spec = spec_from_file_location(name, str(file.path), loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_for(names, content)}
    sys.modules[name] = module  # dataclasses and pickles look a class's module up there
    attempt = Attempt()
    with attempt:
        loader.exec_module(module)
    if attempt.error is not None:
        del sys.modules[name]
        raise UserError(f"{where}: {in_words(attempt.error, file.path)}; correct the file")
    return module
