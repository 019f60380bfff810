"""Imports of a person's file: what the file names, answered without the program it was written for.

The file gets an `import` of its own, which Python asks for every import statement of that file,
those inside its functions too. sys.modules, sys.path and the imports of all other files stay as
they are. Relative imports and those of YOLO programs get names of this project. Other packages are
imported if they are installed; for some that are not, there are small stand-ins of ours. Whatever
cannot be had is an error only where it is used: many files hold dozens of classes, of which a graph
needs one.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Protocol

from torch import nn

YOLO_PROGRAMS = frozenset({"ultralytics", "yolov5", "models", "utils"})
SOFT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
PUBLISHED_AS = {"cv2": "opencv-python", "pywt": "PyWavelets", "skimage": "scikit-image"}


class Names(Protocol):
    """Knows what names of other programs mean here; models/forks/names.py has them."""

    def find(self, module: str, name: str) -> object:
        """The object that `from module import name` gives, or None.

        A relative module begins with a dot.
        """

    def all_of(self, module: str) -> list[str]:
        """The names that `from module import *` gives."""

    def is_module(self, module: str) -> bool:
        """Whether names of this module are known, or of one inside it."""


class NoNames:
    """Knows no names, so that only installed packages can be imported."""

    def find(self, module: str, name: str) -> object:
        return None

    def all_of(self, module: str) -> list[str]:
        return []

    def is_module(self, module: str) -> bool:
        return False


def import_for(names: Names, content: bytes) -> Callable[..., Any]:
    """The `__import__` of a file with this content, for its __builtins__."""
    guarded = guarded_lines(content)

    def answer(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: tuple[str, ...] | None = (),
        level: int = 0,
    ) -> object:
        line = sys._getframe(1).f_lineno
        program = name.partition(".")[0]
        if level == 0 and program not in YOLO_PROGRAMS:
            try:
                return builtins.__import__(name, globals, locals, fromlist or (), 0)
            except ImportError:
                if line in guarded and not names.is_module(name):
                    raise
        whole = "." * level + name
        return OtherModule(whole if fromlist else program, names, line, line in guarded)

    return answer


def guarded_lines(content: bytes) -> set[int]:
    """Lines within a `try` that catches a failing import: these files have a way without it."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # running the file reports it
        return set()
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    return {
        line
        for node in tries
        if any(_catches_import(handler) for handler in node.handlers)
        for one in node.body
        for line in range(one.lineno, (one.end_lineno or one.lineno) + 1)
    }


def _catches_import(handler: ast.ExceptHandler) -> bool:
    caught: Iterator[ast.AST] = ast.walk(handler.type) if handler.type else iter(())
    named = {one.id for one in caught if isinstance(one, ast.Name)}
    return handler.type is None or bool(named & SOFT_ERRORS)


class OtherModule(ModuleType):
    """A module that a person's file imports and that is not there: its names are looked up here.

    A name without meaning gives an object that raises ImportError where it is used; in a `try` that
    expects this, at once.
    """

    def __init__(self, name: str, names: Names, line: int, guarded: bool) -> None:
        super().__init__(name)
        vars(self)["_asked"] = (names, line, guarded)
        vars(self)["__path__"] = []

    def __getattr__(self, name: str) -> object:
        names, line, guarded = vars(self)["_asked"]
        if name == "__all__":
            return names.all_of(self.__name__)
        if name.startswith("__"):
            raise AttributeError(name)
        found = names.find(self.__name__, name)
        if found is not None:
            return found
        dot = "" if self.__name__.endswith(".") else "."
        inner = OtherModule(f"{self.__name__}{dot}{name}", names, line, guarded)
        if guarded and not names.is_module(inner.__name__):
            raise ImportError(_reason(self.__name__, name, line))
        # Classes have capitals; anything else may be a module or a function.
        return missing(self.__name__, name, line) if name[:1].isupper() else inner

    def __call__(self, *args: object, **options: object) -> object:
        """A function that is not there."""
        raise ImportError(self._reason())

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        """A base class that is not there."""
        return (missing(*self._place(), vars(self)["_asked"][1]),)

    def _place(self) -> tuple[str, str]:
        """The module that was to hold it, and its name there."""
        where, _, name = self.__name__.rpartition(".")
        return where or ".", name

    def _reason(self) -> str:
        return _reason(*self._place(), vars(self)["_asked"][1])


def missing(module: str, name: str, line: int) -> type[nn.Module]:
    """A class that stands for one that is not there: it raises ImportError when it is built."""

    def build(self: nn.Module, *args: object, **options: object) -> None:
        raise ImportError(_reason(module, name, line))

    return type(name, (nn.Module,), {"__init__": build, "__module__": __name__})


def _reason(module: str, name: str, line: int) -> str:
    package = module.partition(".")[0]
    if not package or package in YOLO_PROGRAMS:
        return (
            f"line {line} imports {name} from {module}, which this project does not have; paste"
            f" {name} into this file"
        )
    return (
        f"line {line} imports {name} from {module}, which is not installed; pip install"
        f" {PUBLISHED_AS.get(package, package)}, or paste {name} into this file"
    )
