"""Room for packages of a program that have the names of this project's, such as `utils`.

Python knows one package of a name. If the program has imported its own before this project, the
project's modules are found as further ones of that package; otherwise the program's are found as
further ones of the project's. Importing this module makes the room. It uses the standard library
only, since no module of the project can be found before.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from pkgutil import extend_path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("utils", "models", "data", "engine", "api")
PROGRAMS = ("train", "val", "export")


class NameConflict(ImportError):
    """The program has modules of its own that this project's cannot stand beside."""


def make_room(root: Path = ROOT) -> None:
    """Let the packages of the program and those below root be imported side by side.

    Raises NameConflict, in one line, if both have a module of the same full name.
    """
    for name in PACKAGES:
        package, own = sys.modules.get(name), root / name
        if package is None:
            package = _load(name, root)
        if _is_ours(package, root):
            package.__path__ = extend_path(package.__path__, name)
        elif clashes := sorted(_clashes(package, own)):
            raise NameConflict(_advice(package, f"both have {', '.join(clashes[:3])}"))
        else:
            package.__path__ = [*_folders(package), str(own)]
    for name in PROGRAMS:
        package = sys.modules.get(name) or _load(name, root)
        if not _is_ours(package, root):
            raise NameConflict(_advice(package, f"this project's {name}.py is needed"))


def _load(name: str, root: Path) -> ModuleType:
    """Import a package or program below root, whichever other stands first on Python's path."""
    spec = PathFinder.find_spec(name, [str(root)])
    if spec is None or spec.loader is None:
        raise NameConflict(f"{root}: has no {name}; the project's folder is not complete")
    module = module_from_spec(spec)
    with contextlib.ExitStack() as failure:
        sys.modules[name] = module
        failure.callback(sys.modules.pop, name)
        spec.loader.exec_module(module)
        failure.pop_all()
    return module


def _folders(module: ModuleType) -> list[str]:
    """Where the modules of a package are looked for; nowhere if it is a single file."""
    return [str(folder) for folder in getattr(module, "__path__", ())]


def _is_ours(module: ModuleType, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(root)


def _clashes(package: ModuleType, own: Path) -> Iterator[str]:
    """Full names of modules that both a package of the program and our folder of its name have."""
    folders = [Path(folder) for folder in _folders(package) if Path(folder).resolve() != own]
    for path in own.iterdir():
        if path.suffix not in ("", ".py") or path.name.startswith("__"):
            continue
        theirs = [folder / path.stem / "__init__.py" for folder in folders]
        theirs += [folder / f"{path.stem}.py" for folder in folders]
        if hasattr(package, path.stem) or any(file.exists() for file in theirs):
            yield f"{package.__name__}.{path.stem}"


def _advice(package: ModuleType, reason: str) -> str:
    name, place = package.__name__, getattr(package, "__file__", None) or _folders(package)
    return (
        f"the program's own {name} ({place}) is in conflict with this project's: {reason}; rename"
        f" your own {name}, or start the program from a folder without it"
    )


make_room()
