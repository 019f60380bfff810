"""Graphs written as YAML: equal when read again, with true comments, overwriting nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.graph.load import load_graph
from models.graph.sites import insert
from models.graph.write import flow, graph_text, write_graph
from tests.models.graph.test_stages import SHIPPED
from utils.errors import UserError
from utils.files import ROOT


def without_name(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "yaml_file"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if place % 3 else [])
        for place, name in enumerate(SHIPPED)
    ],
)
def test_what_is_written_reads_the_same(name: str, tmp_path: Path) -> None:
    content = insert(
        load_graph(name), ["SimAM:e_lambda=1e-5@neck", "SE:init=identity@every.Conv", "ECA@head"]
    )
    again = load_graph(write_graph(content, tmp_path / "mine.yaml", "title"))
    assert without_name(again) == without_name(content)


def test_a_chosen_scale_is_written(tmp_path: Path) -> None:
    content = insert(load_graph("yolov8s.yaml"), "SE@inside.C2f")
    again = load_graph(write_graph(content, tmp_path / "mine.yaml", "title"))
    assert again["scale"] == "s"
    assert without_name(again) == without_name(content)


@pytest.mark.parametrize("name", [name for name in SHIPPED if "yolov3-tiny" not in name])
def test_comments_are_those_that_people_wrote(name: str) -> None:
    """Rows and comments of the shipped files, line by line, but for two turns of phrase."""
    lines = (ROOT / name).read_text().splitlines()
    written = graph_text(load_graph(name), "title").splitlines()
    rows = [line for line in lines if re.match(r"  - \[.*\] # \d", line)]
    found = [line for line in written if re.match(r"  - \[.*\] # \d", line)]
    assert len(rows) == len(found)
    for theirs, ours in zip(rows, found, strict=True):
        assert yaml.safe_load(theirs) == yaml.safe_load(ours)
        note = (
            theirs.partition("#")[2]
            .removesuffix("double attention, at a quarter of the size")
            .rstrip(": ")
        )
        assert (
            ours.partition("#")[2]
            .replace(", half size", "")
            .startswith(note.replace(", half size", ""))
        )


def test_comments_count_the_rows_and_name_the_levels() -> None:
    lines = graph_text(
        insert(load_graph("models/yolov5s.yaml"), ["SimAM@neck", "CBAM@backbone.P5"]), "my title"
    ).split("\n")
    assert lines[0] == "# my title"
    numbers = [
        int(line.rpartition("# ")[2].partition(":")[0])
        for line in lines
        if line.startswith("  - [") and "#" in line
    ]
    assert numbers == list(range(29))
    assert "  - [-1, 1, CBAM, {}] # 10" in lines
    assert "  - [[-1, 6], 1, Concat, [1]] # 13: with P4 of the backbone" in lines
    assert "  - [-1, 1, SimAM, {}] # 19: P3 out" in lines
    assert "  - [[-1, 15], 1, Concat, [1]] # 21: with P4 on its way up" in lines
    assert "  - [[19, 23, 27], 1, Detect, [nc, anchors]] # 28" in lines


def test_a_concat_of_three() -> None:
    text = graph_text(load_graph("yolov5-bifpn.yaml"), "t")
    assert (
        "  - [[-1, 14, 6], 1, Concat, [1]] # 19: with P4 on its way up and of the backbone\n"
        in text
    )


@pytest.mark.parametrize(
    "value",
    [1e-5, 1.0, 3, True, None, "None", "nearest", "true", "1e-4", "a: b", "# no", "", "x\ny",
     "[1", "é", [[1], {}],
     {"inside": "SE", "reduction": 4}, "nn.LeakyReLU(0.1)", "word " * 60],
)  # fmt: skip
def test_values_read_the_same_from_one_line(value: Any) -> None:
    text = flow([value])
    assert "\n" not in text
    assert yaml.safe_load(f"key: {text}") == {"key": [value]}


def test_a_list_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UserError, match="nested too deeply"):
        flow(endless)


@pytest.mark.parametrize("name", ["mine.txt", "there.yaml", "no/such/folder.yaml"])
def test_files_that_cannot_be_written_are_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("mine")
    with pytest.raises(UserError, match=name.rpartition("/")[2]):
        write_graph(load_graph("models/yolov5s.yaml"), tmp_path / name, "title")
    assert (tmp_path / "there.yaml").read_text() == "mine"


def test_a_title_stays_on_its_line() -> None:
    assert graph_text(load_graph("models/yolov5s.yaml"), "a\nnc: 3").startswith("# a nc: 3\nnc: 80")
