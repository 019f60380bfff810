"""What the trials of a search share, for a data set and graphs of a few kilobytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.tuning.start import Start, make_start
from tests.tiny import write_data, write_free_graph, write_graph

MakeStart = Callable[..., Start]


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuning")
    write_data(folder)
    write_graph(folder)
    write_free_graph(folder)
    return folder


@pytest.fixture
def start(material: Path, tmp_path: Path) -> MakeStart:
    """Makes a Start: for a graph with anchors unless cfg names the other one."""

    def make(rows: dict[str, object] | None = None, **given: object) -> Start:
        chosen = {
            "cfg": str(material / "tiny.yaml"),
            "data": str(material / "data.yaml"),
            "imgsz": 64,
            "batch_size": 4,
            "epochs": 5,
            "device": "cpu",
            "workers": 0,
            "project": str(tmp_path),
            **given,
        }
        return make_start(chosen, None, rows)

    return make
