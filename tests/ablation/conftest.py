"""A study small enough for a test, and one whose cells only pretend to train."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablation import engines, job
from ablation.config import StudyConfig
from tests.tiny import write_data, write_graph


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("material")
    return {
        "cfg": str(write_graph(folder)),
        "data": str(write_data(folder)),
        "imgsz": 64,
        "batch_size": 4,
        "workers": 0,
        "device": "cpu",
        "cores_per_cell": 1,
        "train": "--cache no",
    }


@pytest.fixture
def make_config(material: dict[str, Any], tmp_path: Path) -> Callable[..., StudyConfig]:
    def make(**changes: Any) -> StudyConfig:
        return StudyConfig(
            **{**material, "project": str(tmp_path), "seeds": 2, "epochs": 2, "slots": 2, **changes}
        )

    return make


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let cells run standin.py; called with what it is to do: fail=[folder names], seconds=of an
    epoch.
    """
    monkeypatch.setattr(job, "TRAIN", Path(__file__).with_name("standin.py"))
    monkeypatch.setattr(engines, "PROCESS_POLL", 0.01)

    def choose(**behaviour: Any) -> None:
        (tmp_path / "behaviour.json").write_text(json.dumps(behaviour))

    choose()
    return choose
