"""Names that a file defines at its top mean their values in its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.graph.constants import insert_constants
from models.graph.load import load_graph
from models.graph.read import KEYS
from models.lint.fix import lint
from models.yolo import DetectionModel
from utils.files import save_yaml


def named() -> dict[str, Any]:
    """yolov8n whose necks are joined by Fusion and built of a block that the top names."""
    content = load_graph("models/yolov8n.yaml")
    content |= {"fusion_mode": "concat", "node_mode": "C2f", "wide": 512, "unused": 3}
    content["head"][1] = [[-1, 6], 1, "Fusion", ["fusion_mode"]]
    content["head"][2] = [-1, 3, "node_mode", ["wide"]]
    return content


def test_names_are_replaced_and_taken_out() -> None:
    content = named()
    found = insert_constants(content, KEYS)
    assert found["head"][1:3] == [[[-1, 6], 1, "Fusion", ["concat"]], [-1, 3, "C2f", [512]]]
    assert found["unused"] == 3  # lint says that nothing reads it
    assert not {"fusion_mode", "node_mode", "wide"} & set(found)
    assert content == named()


@pytest.mark.parametrize("rows", [7, [3], [[-1, 1, "wide", {}]], [[-1, 1, ["wide"], ["x", None]]]])
def test_rows_that_are_none_are_left_to_the_checks(rows: Any) -> None:
    content = {"head": rows, "wide": 512}
    assert insert_constants(content, KEYS) == content


def test_a_file_with_names_is_the_graph_that_it_means(tmp_path: Path) -> None:
    content = {key: value for key, value in named().items() if key not in ("scale", "unused")}
    save_yaml(tmp_path / "yolov8n-named.yaml", content)
    graph = load_graph(tmp_path / "yolov8n-named.yaml")
    keys = DetectionModel(graph).state_dict().keys()
    assert keys == DetectionModel(load_graph("models/yolov8n.yaml")).state_dict().keys()
    assert lint(tmp_path / "yolov8n-named.yaml") == []
