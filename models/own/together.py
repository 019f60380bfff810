"""Files of --modules that import each other, as `from .attention import Mine` beside attention.py.

Such an import is answered by the file of that name, if the command line names it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from models.own.imports import Names
from models.own.source import run_file


class NamesOfFiles:
    """The names of other programs, after those of the files that were given together.

    Args:
        paths: of the files.
        others: knows all other names.
    """

    def __init__(self, paths: Iterable[str | Path], others: Names) -> None:
        self.paths = {Path(path).stem: path for path in paths}
        self.others = others

    def find(self, module: str, name: str) -> object:
        """The object that `from module import name` means, or None."""
        return self._of_file(module).get(name, None) or self.others.find(module, name)

    def all_of(self, module: str) -> list[str]:
        """The names that a star import of the module gives."""
        own = self._of_file(module)
        listed = own.get("__all__", [name for name in own if name[:1] != "_"])
        # The file itself may have been written for a star import of more than it defines.
        return [*self.others.all_of(module), *map(str, listed if isinstance(listed, list) else ())]

    def is_module(self, module: str) -> bool:
        """Whether names of the module are known."""
        return module.rpartition(".")[2] in self.paths or self.others.is_module(module)

    def _of_file(self, module: str) -> dict[str, object]:
        stem = module.rpartition(".")[2]
        if stem not in self.paths:
            return {}
        return vars(run_file(self.paths[stem], self)[1])
