"""Write a graph's dictionary as a YAML file, one row per line, each with a comment.

Comments are generated from the graph, so they cannot contradict it: the row's number, the level
that begins there, the maps that a Concat joins, and which maps the head reads. models/yolo.py --out
writes such files, in the form of models/*.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from models.graph.layers import is_join
from models.graph.read import KEYS, read_graph
from models.graph.stages import Step, find_stages, level_of
from models.graph.values import GraphDict, shorten
from utils.errors import UserError
from utils.files import atomic_write

COMMENTS = {
    "nc": "number of classes; the data set's replaces it",
    "depth_multiple": "factor of the repeats",
    "width_multiple": "factor of the channels",
    "anchors": "width,height pairs in pixels of the image, or their number per level",
    "scales": (
        "[depth, width, max_channels]: factors of repeats and channels, largest count before"
        " scaling; chosen by --scale or the file's name"
    ),
    "scale": "of the scales above; --scale or the file's name overrides it",
    "attention_init": "of attention rows without an init of their own",
    "backbone": "[from, number, module, arguments]",
    "head": "[from, number, module, arguments]",
}
GRAPH_PARTS = ("backbone", "head")
DEEPEST = 8


def graph_text(content: GraphDict, title: str) -> str:
    """The YAML of a graph, whose first line is the comment `title`.

    Reading it gives the same graph except for its name. Raises UserError for a graph that cannot
    be read.
    """
    notes = list(_notes(content))
    lines = [f"# {' '.join(title.split())}"]
    for key in [
        *(key for key in content if key in KEYS and key not in (*GRAPH_PARTS, "yaml_file")),
        *GRAPH_PARTS,
    ]:
        value = content[key]
        comment = f" # {COMMENTS[key]}" if key in COMMENTS else ""
        if key in GRAPH_PARTS:
            start = 0 if key == "backbone" else len(content["backbone"])
            lines += ["", f"{key}:{comment}"]
            lines += [
                f"  - {flow(row)} # {note}" for row, note in zip(value, notes[start:], strict=False)
            ]
        elif isinstance(value, dict) and value:
            lines += [
                f"{key}:{comment}",
                *(f"  {flow(name)}: {flow(part)}" for name, part in value.items()),
            ]
        elif isinstance(value, list) and value:
            lines += [f"{key}:{comment}", *(f"  - {flow(part)}" for part in value)]
        else:
            lines.append(f"{key}: {flow(value)}{comment}")
    return "\n".join([*lines, ""])


def flow(value: object, depth: int = 0) -> str:
    """A value on one line of YAML, with True and False capitalised as in the files of models/.

    depth is the number of lists and mappings around it. Raises UserError for a value that is nested
    too deeply, such as a list that contains itself.
    """
    if depth > DEEPEST:
        raise UserError(f"{shorten(value)}: is nested too deeply for a graph; take it out")
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(flow(part, depth + 1) for part in value)}]"
    if isinstance(value, dict):
        pairs = (f"{flow(key, depth + 1)}: {flow(part, depth + 1)}" for key, part in value.items())
        return f"{{{', '.join(pairs)}}}"
    # YAML folds or drops unprintable characters in plain text.
    quoted = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.safe_dump(
        value, default_flow_style=True, default_style=quoted, width=10**6, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _notes(content: GraphDict) -> Iterator[str]:
    """A comment for each row."""
    graph = read_graph(content)
    steps = graph.steps
    seen: set[str] = set()
    for step in steps:
        level = level_of(step.stride)
        parts = []
        # A level begins at its first row in the backbone.
        if step.in_backbone and level and level not in seen:
            parts.append(f"{level}, half size" if level == "P1" else level)
        seen.add(level)
        if is_join(step.module):
            parts += [f"with {joined}" for joined in [_joined(steps, step)] if joined]
        if step.index in graph.rows[-1].inputs and level:
            parts.append(f"{level} out")
        yield f"{step.index}: {'; '.join(parts)}" if parts else str(step.index)


def _joined(steps: Sequence[Step], concat: Step) -> str:
    """The maps that a join reads besides the row before it, such as `P4 of the backbone`."""
    lower = {step.index for run in find_stages(steps[: concat.index])[:-1] for step in run}
    said: dict[str, list[str]] = {}
    for source in concat.inputs:
        level = level_of(steps[source].stride) if source >= 0 else ""
        if level and source != concat.index - 1:
            where = (
                "of the backbone"
                if steps[source].in_backbone
                else "on its way up"
                if source in lower
                else ""
            )
            said.setdefault(level, []).append(where)
    return ", ".join(
        f"{level} {' and '.join(filter(None, where))}".strip() for level, where in said.items()
    )


def write_graph(content: GraphDict, path: str | Path, title: str) -> Path:
    """Write a graph to a new file.

    Args:
        content: the graph.
        path: of the file, which must not exist.
        title: the comment in the file's first line.

    Returns:
        The path.

    Raises:
        UserError: The file exists, is not called .yaml, or cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"--out {path}: a model's file ends in .yaml; name it so")
    if path.exists():
        raise UserError(f"--out {path}: exists already and is not overwritten; name another file")
    with atomic_write(path, "w") as file:
        file.write(graph_text(content, title))
    return path
