"""Scales: the one that a name asks for, the file that serves it, its factors, and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.graph.load import load_graph
from models.graph.read import read_graph
from models.graph.scales import find_graph, guess_scale, read_scale, title
from tests.models.fill import GOLDEN_V8
from utils.errors import UserError
from utils.families import V5, V8
from utils.files import ROOT

CASES: dict[str, Any] = json.loads((GOLDEN_V8 / "yaml_cases.json").read_text())
SCALES = {"n": [0.33, 0.25, 1024], "m": [0.67, 0.75, 768]}


@pytest.mark.parametrize("name", CASES["guess_scale"])
def test_names_ask_as_upstream_reads_them(name: str) -> None:
    assert guess_scale(f"some/yolov8x/{name}") == CASES["guess_scale"][name]


@pytest.mark.parametrize("case", CASES["width_rounding"])
def test_widths_equal_upstreams(case: str) -> None:
    channels, rest = case.split("*")
    width, most = rest.split("|max")
    graph = read_graph(content(scales={"n": [1, float(width), int(most)]}))
    assert graph.scaled(int(channels)) == CASES["width_rounding"][case]


@pytest.mark.parametrize("case", CASES["depth_rounding"])
def test_repeats_equal_upstreams(case: str) -> None:
    repeats, depth = case.split("x")
    graph = read_graph(
        content(scales={"n": [float(depth), 1, 64]}, backbone=[[-1, int(repeats), "C2f", [8]]])
    )
    assert graph.rows[0].repeats == CASES["depth_rounding"][case]


def content(**changes: Any) -> dict[str, Any]:
    top = {
        "nc": 80,
        "yaml_file": "g.yaml",
        "backbone": [[-1, 1, "Conv", [8]]],
        "head": [[[0], 1, "Detect", ["nc"]]],
    }
    return {**top, **changes}


def test_one_file_serves_all_scales(tmp_path: Path) -> None:
    file = tmp_path / "my_yolov8_att.yaml"
    file.write_text("scales: {n: [0.33, 0.25, 1024], x: [1.0, 1.25, 512]}\n")
    assert load_graph(tmp_path / "my_yolov8x_att.yaml")["scale"] == "x"
    assert load_graph(tmp_path / "my_yolov8x_att.yaml", "n")["scale"] == "n"
    assert "scale" not in load_graph(file)
    (tmp_path / "my_yolov8x_att.yaml").write_text("nc: 1\n")
    assert load_graph(tmp_path / "my_yolov8x_att.yaml")["nc"] == 1
    for name in ("yolov8l.yaml", "models/yolov8l.yaml", ROOT / "models" / "yolov8l.yaml"):
        assert find_graph(name).resolve() == ROOT / "models" / "yolov8.yaml"
    assert find_graph("yolov8s-p2.yaml").name == "yolov8-p2.yaml"
    assert load_graph("yolov8s-p2.yaml")["yaml_file"] == "models/yolov8-p2.yaml"


@pytest.mark.parametrize("name", ["yolov8s-nothing.yaml", "models/yolov9c.yaml", "yolov9n.yaml"])
def test_a_missing_file_is_told_by_the_name_that_was_asked_for(name: str) -> None:
    with pytest.raises(UserError, match=f"{name}: no such file"):
        find_graph(name)


def test_the_first_scale_is_used_with_a_warning() -> None:
    graph = read_graph(content(scales=SCALES))
    assert (graph.family, graph.scale, graph.width, graph.max_channels) == (V8, "n", 0.25, 1024)
    assert graph.warnings == (
        "g.yaml: scales: no scale was chosen, so n is used, the first; choose one of n, m with"
        " --scale",
    )
    chosen = read_graph(content(scales=SCALES, scale="m"))
    assert (chosen.scale, chosen.width, chosen.max_channels, chosen.warnings) == (
        "m",
        0.75,
        768,
        (),
    )


def test_multiples_beside_scales_do_nothing_and_say_so() -> None:
    graph = read_graph(content(scales=SCALES, scale="m", depth_multiple=9, width_multiple=9))
    assert graph.width == 0.75
    assert [warning.split(": ")[1:] for warning in graph.warnings] == [
        ["depth_multiple", "does nothing next to scales; take it out"],
        ["width_multiple", "does nothing next to scales; take it out"],
    ]


def test_without_scales_the_multiples_count() -> None:
    scale = read_scale("g.yaml", {"width_multiple": 0.5})
    assert (scale.name, scale.depth, scale.width) == ("", 1.0, 0.5)
    assert read_graph(content()).scaled(4096) == 4096


@pytest.mark.parametrize("empty", [None, {}])
def test_empty_scales_leave_the_multiples_in_force(empty: Any) -> None:
    graph = read_graph(content(scales=empty, depth_multiple=0.33, width_multiple=0.25))
    assert (graph.width, graph.warnings) == (0.25, ())


def test_a_graph_with_anchors_may_have_scales() -> None:
    head = [[[0], 1, "Detect", ["nc", "anchors"]]]
    graph = read_graph(content(scales=SCALES, scale="m", anchors=3, head=head, reg_max=16))
    assert (graph.family, graph.scaled(1024)) == (V5, 576)
    assert graph.warnings == ("g.yaml: reg_max: nothing reads this key",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": None}, "scales: None: must be indented lines"),
        ({"scales": {}}, "scales: {}: must be"),
        ({"scales": {False: [1, 1, 1]}}, "scales: .*: must be indented"),
        ({"scales": {"n": [1, 1]}}, r"scales: n: \[1, 1\]: must be \[depth"),
        ({"scales": {"n": [1, 0, 64]}}, "scales: n: "),
        ({"scales": {"n": [1, 1, 64.5]}}, "scales: n: "),
        ({"scales": {"n": [1, 1, 10**9]}}, "scales: n: "),
        ({"scales": {"n": ["deep", 1, 64]}}, "scales: n: "),
        (
            {"scales": SCALES, "scale": "x"},
            "scale: x: is not among scales; choose one of n, m with --scale",
        ),
        ({"scales": SCALES, "scale": ["n"]}, r"scale: \['n'\]: is not among"),
    ],
)
def test_errors_name_file_and_remedy(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^g.yaml: {message}"):
        read_graph(content(**changes))


@pytest.mark.parametrize(
    ("stem", "scale", "shown"),
    [
        *[
            ("yolov8", "n", "YOLOv8n"),
            ("yolov8_SimAM", "s", "YOLOv8s_SimAM"),
            ("yolo11-p2", "x", "YOLO11x-p2"),
        ],
        *[("yolov8m", "s", "YOLOv8m"), ("yolov5s", "", "YOLOv5s"), ("mine", "n", "mine n")],
    ],
)
def test_titles(stem: str, scale: str, shown: str) -> None:
    assert title(stem, scale) == shown
