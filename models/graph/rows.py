"""The four parts of a graph's row, checked one by one, before anything is made of them."""

from __future__ import annotations

from typing import Any

from models.attention import ATTENTION
from models.graph.values import LARGEST, check_argument, is_whole, shorten
from utils.errors import UserError

MOST_ROWS = 1000  # of backbone or head


def check_row(where: str, row: Any) -> tuple[Any, int, str, Any, dict[str, Any] | None]:
    """(from, number, module, arguments, what goes inside its bottlenecks or None); where: file and
    row, for errors.

    Raises UserError for parts of a type that no row has.
    """
    if not isinstance(row, list) or len(row) != 4:
        raise UserError(
            f"{where}: {shorten(row)}: must be a list of four, [from, number, module, args]"
        )
    source, repeats, module, written = row
    sources = source if isinstance(source, list) else [source]
    if (
        not sources
        or len(sources) > MOST_ROWS
        or not all(is_whole(one) or isinstance(one, str) for one in sources)
    ):
        raise UserError(
            f"{where}: from {shorten(source)}: must be a row number, -1 for the row before, a name"
            " as backbone.P4, or a list of such"
        )
    if not is_whole(repeats) or not 1 <= repeats <= LARGEST:
        raise UserError(f"{where}: number {shorten(repeats)}: must be a whole number, 1 or more")
    if not isinstance(module, str):
        raise UserError(f"{where}: module {shorten(module)}: must be a name such as Conv")
    arguments, inside = split_inside(written)
    is_mapping = isinstance(arguments, dict) and all(isinstance(name, str) for name in arguments)
    if not isinstance(arguments, list) and not is_mapping:
        raise UserError(
            f"{where}: args {shorten(arguments)}: must be a list, or for attention a mapping"
            " {name: value}"
        )
    for value in arguments.values() if is_mapping else arguments:
        check_argument(where, value)
    if inside is not None:
        _check_inside(where, inside)
    return source, repeats, module, arguments, inside


def split_inside(arguments: Any) -> tuple[Any, dict[str, Any] | None]:
    """A row's arguments without the trailing mapping {inside: SimAM, …} of what each bottleneck
    gets, and that.
    """
    last = arguments[-1] if isinstance(arguments, list) and arguments else None
    return (
        (arguments[:-1], last) if isinstance(last, dict) and "inside" in last else (arguments, None)
    )


def _check_inside(where: str, inside: dict[str, Any]) -> None:
    known = isinstance(inside["inside"], str) and inside["inside"] in ATTENTION
    if not known or not all(isinstance(name, str) for name in inside):
        remedy = (
            "must name the attention that each bottleneck gets, such as {inside: SimAM}, and its"
            " arguments"
        )
        raise UserError(f"{where}: {shorten(inside)}: {remedy}")
    for value in inside.values():
        check_argument(where, value)
