"""RowInfo, the description of its row that a module carries for running, tables and errors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class RowInfo:
    """One row of the graph that a module was built from.

    Attributes:
        index: number of the row.
        source: the row or rows that it reads, as `from` is written, -1 for the row before.
        key: the row's part of the state-dict keys.
        width: output channels.
        kind: class of the module, or of each of its copies.
        module: name of the class, with that of its Python module unless it is attention.
        parameters: number of parameters.
        repeats: how often the block, or the part inside it, is repeated.
        arguments: the arguments that it was built with, shortened for a table.
    """

    index: int
    source: int | list[int]
    key: str
    width: int
    kind: type[nn.Module]
    module: str
    parameters: int
    repeats: int
    arguments: str


def attach(module: nn.Module, info: RowInfo) -> nn.Module:
    """Give a row's module its RowInfo. Returns the module.

    `i`, `f`, `type` and `np` are the names by which scripts written for YOLOv5 read four of the
    entries. Nothing here reads them. None of this is in state dicts. A module with a layer of such
    a name, as FocalModulation has an `f`, keeps its layer.
    """
    aliases = {"i": info.index, "f": info.source, "type": info.module, "np": info.parameters}
    layers = dict(module.named_children())
    for name, value in {"info": info, **aliases}.items():
        if name not in layers:
            setattr(module, name, value)
    return module


def row_info(module: nn.Module) -> RowInfo:
    """The RowInfo of a row's module."""
    # Not module.info, which nn.Module types as a tensor or a module.
    info = module.__dict__["info"]
    assert isinstance(info, RowInfo)
    return info
