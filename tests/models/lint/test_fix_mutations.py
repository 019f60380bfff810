"""Shipped graphs with random faults: no traceback, and no graph other than its text describes."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch

from models.attention import ATTENTION
from models.graph.info import row_info
from models.graph.layers import LAYERS, layer_named
from models.graph.load import load_graph
from models.graph.read import read_graph
from models.lint.fix import lint_content
from models.yolo import DetectionModel
from utils.errors import UserError
from utils.files import ROOT

SHIPPED = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "models").glob("*.yaml"))
MODULES = [*LAYERS, *ATTENTION, "C3f", "conv", "", "nn.Linear", None, 7]
VALUES = [
    0,
    -1,
    1,
    2,
    3,
    7,
    16,
    64,
    128,
    512,
    1024,
    10**9,
    0.5,
    -0.25,
    True,
    False,
    None,
    "None",
    "nearest",
    "1e-4",
    float("nan"),
    [],
    [1],
    {},
    {"inside": "SimAM"},
    "backbone.P4",
    "x" * 300,
]
Content = dict[str, Any]


def numbers(content: Content, draw: random.Random) -> None:
    """One argument, repeat or top-level value."""
    row = draw.choice(content[draw.choice(["backbone", "head"])])
    choice = draw.random()
    if choice < 0.2:
        row[1] = draw.choice(VALUES)
    elif choice < 0.8 and isinstance(row[3], list) and row[3]:
        row[3][draw.randrange(len(row[3]))] = draw.choice(VALUES)
    elif choice < 0.9:
        row[3] = (
            [*row[3], draw.choice(VALUES)]
            if isinstance(row[3], list)
            else {"reduction": draw.choice(VALUES)}
        )
    else:
        content[
            draw.choice([key for key in content if key not in ("backbone", "head", "yaml_file")])
        ] = draw.choice(VALUES)


def names(content: Content, draw: random.Random) -> None:
    """The module of a row."""
    draw.choice(content[draw.choice(["backbone", "head"])])[2] = draw.choice(MODULES)


def indices(content: Content, draw: random.Random) -> None:
    """What a row reads; mostly a number near the right one."""
    row = draw.choice(content["head"] if draw.random() < 0.8 else content["backbone"])
    if isinstance(row[0], list) and draw.random() < 0.8:
        place = draw.randrange(len(row[0]))
        row[0][place] += draw.choice([-3, -2, -1, 1, 2, 3, 100])
    else:
        row[0] = draw.choice(
            [-2, -1, 3, 9, [-1], [-1, -2], [3, 3], [], "neck.P4", "nowhere", None, 2.0, *VALUES]
        )


def structure(content: Content, draw: random.Random) -> None:
    """Rows that are added, removed, cut or swapped, and keys that are removed."""
    part = content[draw.choice(["backbone", "head"])]
    place = draw.randrange(len(part))
    action = draw.randrange(8)
    if action == 0:
        del part[place]
    elif action == 1:
        part.insert(place, copy.deepcopy(draw.choice(part)))
    elif action == 2:
        part.insert(place, [-1, 1, draw.choice(list(ATTENTION)), []])
    elif action == 3:
        other = draw.randrange(len(part))
        part[place], part[other] = part[other], part[place]
    elif action == 4:
        part[place] = draw.choice(
            [part[place][:3], [*part[place], 1], part[place][2], None, {"a": 1}]
        )
    elif action == 5:
        content.pop(draw.choice([key for key in content if key != "yaml_file"]))
    elif action == 6:
        content[draw.choice(["widht", "nc ", "max_channels", "Backbone"])] = draw.choice(VALUES)
    else:
        content[draw.choice(["backbone", "head", "scales", "anchors", "nc"])] = draw.choice(
            [*VALUES, [[1]], "text"]
        )


MUTATIONS = (numbers, names, indices, structure)


def said(content: Content) -> dict[str, Any]:
    """What the text asks for: rows read, modules, arguments. This test alone resolves them."""
    graph = read_graph({"ch": 3, **content})
    rows = []
    for index, row in enumerate([*content["backbone"], *content["head"]]):
        sources = row[0] if isinstance(row[0], list) else [row[0]]
        named = [
            None if isinstance(part, str) else part + index if part < 0 else part
            for part in sources
        ]
        arguments = (
            row[3] if isinstance(row[3], dict) else [graph.interpret(part) for part in row[3]]
        )
        layer = layer_named(row[2], row[3])
        kind = layer.kind if layer else ATTENTION.get(row[2])
        module = kind.__name__ if kind else row[2]
        rows.append((named, module, repr(arguments)))
    return {
        "rows": rows,
        "nc": graph.class_count,
        "anchors": repr(graph.anchors),
        "reg_max": graph.reg_max,
        "activation": graph.activation,
        "init": graph.attention_init,
        "bias": graph.box_bias,
    }


def built(model: DetectionModel) -> list[Any]:
    """Everything that a graph's table, weights and wiring show."""
    shapes = [(key, tuple(value.shape)) for key, value in model.state_dict().items()]
    children: Any = model.model
    rows = [
        (row.i, row.f, row.type, row_info(row).repeats, row_info(row).arguments, row.np)
        for row in children
    ]
    return [
        *rows,
        shapes,
        model.head.strides,
        model.graph.get("anchors"),
        str(model),
        model.graph.get("box_bias"),
    ]


def check(seed: int) -> str:
    """Try one mutation and return how it showed.

    Either lint finds it, or the graph is built as the text says, and differs from the plain graph
    wherever the text asks for something else.
    """
    draw = random.Random(seed)
    content = load_graph(draw.choice(SHIPPED))
    if "scales" in content:
        content["scale"] = "n"
    plain = copy.deepcopy(content)
    draw.choice(MUTATIONS)(content, draw)
    before = copy.deepcopy(content)
    found = lint_content(content)
    assert repr(content) == repr(before)  # looking changes nothing
    if found:
        assert all("\n" not in str(finding) for finding in found)
        return found[0].rule
    with torch.device("meta"):
        try:
            model = DetectionModel(content)
        except UserError as error:
            raise AssertionError(
                f"lint found nothing, but the graph cannot be built: {error}"
            ) from None
        base = DetectionModel(plain)
    graph = read_graph(content | {"ch": 3})
    asked, asked_before = said(content), said(plain)
    assert len(model.model) == len(asked["rows"])
    children: Any = model.model
    for row, checked, (sources, module, _) in zip(children, graph.rows, asked["rows"], strict=True):
        read = row.f if isinstance(row.f, list) else [row.f]
        resolved = [part + row.i if part < 0 else part for part in read]
        assert tuple(resolved) == checked.inputs
        assert all(part in (None, found) for part, found in zip(sources, resolved, strict=True))
        assert row.type.rsplit(".", 1)[-1].removesuffix("V8") == module.rsplit(".", 1)[-1]
    if asked == asked_before:
        return "the same"
    assert built(model) != built(base), (
        f"seed {seed}: another text gives the same graph, and lint finds nothing"
    )
    return "another graph"


@pytest.mark.parametrize("start", [0, 20, pytest.param(40, marks=pytest.mark.slow)])
def test_mutated_graphs(start: int) -> None:
    ways = [check(seed) for seed in range(start, start + 20)]
    assert "error" in ways
    assert len(set(ways)) > 3


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 2000, 50))
def test_a_thousand_mutated_graphs(start: int) -> None:
    ways = [check(seed) for seed in range(start, start + 50)]
    assert {"error", "another graph"} <= set(ways)
