"""A data set, graphs of both families and their checkpoints for the tests of api/."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import lively, write_data, write_free_graph, write_graph
from utils import checkpoint as checkpoints

NAMES = {0: "bright", 1: "dark"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    write_data(folder)
    return folder


@pytest.fixture(params=["anchors", "free"])
def graph(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A graph of either family; the working folder is a fresh one."""
    monkeypatch.chdir(tmp_path)
    return write_graph(tmp_path) if request.param == "anchors" else write_free_graph(tmp_path)


@pytest.fixture
def weights(graph: Path, folder: Path, tmp_path: Path) -> Path:
    """A checkpoint with lively scores, that remembers its image size and data set."""
    model = lively(graph, NAMES)
    path = tmp_path / "w.pt"
    data = str(folder / "data.yaml")
    checkpoints.save(
        checkpoints.Checkpoint(model.graph, NAMES, model.state_dict(), {"imgsz": 64}, data=data),
        path,
    )
    return path
