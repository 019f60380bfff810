"""A name of a graph and a module stands for that graph with the module in its neck."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.graph.load import doubled_notes, load_graph, split_name
from models.graph.sites import insert
from models.yolo import DetectionModel
from utils.errors import UserError
from utils.files import ROOT


@pytest.mark.parametrize(
    ("name", "base", "spec"),
    [
        ("yolov5m_SimAM.yaml", "yolov5m.yaml", "SimAM@neck"),
        ("models/yolov5n_coordatt.yaml", "yolov5n.yaml", "CoordAtt@neck"),
        ("yolov8m-p6_SE.yaml", "yolov8m-p6.yaml", "SE@neck"),
        ("yolo11s-GAM_Attention.yaml", "yolo11s.yaml", "GAM_Attention@neck"),
    ],
)
def test_a_name_without_a_file(
    name: str, base: str, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = load_graph(name)
    said = capsys.readouterr().out
    assert said.startswith(f"note: {name} has no file of its own; it is ")
    assert spec in said
    assert said.count("\n") == 1
    load_graph(name)
    assert capsys.readouterr().out == ""  # It is read several times in a run, and said once.
    assert graph == insert(load_graph(base), spec)
    DetectionModel(graph)


def test_a_file_of_that_name_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    graph = load_graph("yolov5s_SimAM.yaml")
    assert graph["yaml_file"] == "models/yolov5s_SimAM.yaml"
    assert load_graph("yolov8m_SimAM.yaml")["scale"] == "m"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "name",
    ["yolov5m_Nothing.yaml", "other_SimAM.yaml", "yolov5m_.yaml", "SimAM.yaml", "yolov5q.yaml"],
)
def test_other_names_are_missing_files(name: str, tmp_path: Path) -> None:
    assert split_name(name) is None
    with pytest.raises(UserError, match="no such file"):
        load_graph(tmp_path / name)


def test_a_key_of_a_graph_that_stands_twice_is_said_with_both_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "models/yolov5n.yaml").read_text()
    (tmp_path / "twice.yaml").write_text(f"nc: 3\nbackbone: 1\n{text}\nnc: 4\n")
    assert load_graph(tmp_path / "twice.yaml")["nc"] == 4
    said = capsys.readouterr().out
    assert "twice.yaml: `nc` stands in lines 1 and " in said
    assert doubled_notes(tmp_path / "twice.yaml") == [
        line.removeprefix("warning: ") for line in said.splitlines()
    ]
    assert doubled_notes("no_such_graph.yaml") == []
    assert "`backbone` stands in lines 2 and " in said
    assert "with values that differ; the second one counts" in said
