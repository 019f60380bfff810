"""Names that a file gives to a module or a value at its top and uses in its rows.

Files in circulation write `fusion_mode: bifpn`, `node_mode: C2f` or `head_channel: 256`, and rows
such as [-1, 3, node_mode, [head_channel]]. Reading the file puts the values in their places.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from models.graph.values import GraphDict

PARTS = ("backbone", "head")


def insert_constants(content: Mapping[str, object], keys: Collection[str]) -> GraphDict:
    """A graph with the names that it defines replaced in its rows.

    Args:
        content: the graph as its file has it, not checked yet; it is not changed.
        keys: that graphs have. Any other key at the top whose value is text or a number is a name
            for it, as the module or an argument of a row.

    Returns:
        The graph, without the keys that rows use. It is equal to content if there are none.
    """
    names = {
        key: value
        for key, value in content.items()
        if key not in keys and isinstance(value, (str, int, float))
    }
    used: set[object] = set()
    rows = {part: _replace(content[part], names, used) for part in PARTS if part in content}
    return {key: rows.get(key, value) for key, value in content.items() if key not in used}


def _replace(rows: object, names: Mapping[str, object], used: set[object]) -> object:
    """Rows with the names in them replaced; those that occur are added to used."""
    if not isinstance(rows, list):
        return rows
    return [_replace_row(row, names, used) for row in rows]


def _replace_row(row: object, names: Mapping[str, object], used: set[object]) -> object:
    if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
        return row

    def meaning(value: object) -> object:
        if not isinstance(value, str) or value not in names:
            return value
        used.add(value)
        return names[value]

    return [*row[:2], meaning(row[2]), [meaning(value) for value in row[3]]]
