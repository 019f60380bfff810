"""The files of --modules: every program gives them to use_modules() before it reads a graph."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from models.attention import ATTENTION
from models.forks.names import PublicNames
from models.graph.layers import LAYERS
from models.own.registry import say, use


def use_modules(paths: str | Path | Iterable[str | Path]) -> tuple[str, ...]:
    """Import a person's files, so that rows and --attention may name their classes.

    Only what the command line or a call names belongs here, never a path from a file. A line is
    printed for each class that takes the place of another.

    Returns the paths. Raises UserError, in one line, for a file that is missing, faulty or without
    classes.
    """
    files = (paths,) if isinstance(paths, (str, Path)) else tuple(paths)
    names = PublicNames({name: layer.kind for name, layer in LAYERS.items()})
    for line in use(files, {*LAYERS, *ATTENTION.library}, names):
        say(f"note: {line}")
    return tuple(map(str, files))
