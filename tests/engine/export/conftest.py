"""Both families of graphs for the tests of exported files."""

from __future__ import annotations

import pytest

from models.yolo import DetectionModel
from tests.engine.export.detectors import detector
from tests.tiny import write_free_graph, write_graph


@pytest.fixture(scope="module", params=["anchors", "free"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> DetectionModel:
    folder = tmp_path_factory.mktemp("graph")
    return detector(write_graph(folder) if request.param == "anchors" else write_free_graph(folder))
