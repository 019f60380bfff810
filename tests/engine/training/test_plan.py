"""From settings to a run: what a resumed run says of settings that it does not take."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import yaml

from engine.training import plan as planning
from engine.training.resume import Interrupted
from tests.tiny import GRAPH, write_graph
from utils.checkpoint import Checkpoint
from utils.config import TrainConfig
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters


def notes_of(monkeypatch: pytest.MonkeyPatch, **given: object) -> tuple[str, ...]:
    """The notes of a run of 3 epochs that is resumed with these settings."""
    config, told = TrainConfig(epochs=3, data="d.yaml"), []
    checkpoint = cast(Checkpoint, None)
    run = Interrupted(config, Hyperparameters(), checkpoint, Path("o"), None, ("damaged",))
    monkeypatch.setattr(planning, "read_interrupted", lambda _resume: run)
    monkeypatch.setattr(planning, "continue_run", lambda found, _modules: told.append(found))
    planning.plan({"resume": "last.pt", **given})
    return tuple(told[0].notes)


def test_settings_that_a_resumed_run_ignores_are_among_its_notes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert notes_of(monkeypatch, epochs=5, imgsz=64, data="d.yaml") == (
        "damaged",
        "--resume goes on with the run's own settings; ignored: epochs, imgsz",
    )


def test_settings_repeated_as_they_were_are_not_worth_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert notes_of(monkeypatch, epochs=3, data="d.yaml") == ("damaged",)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set whose images do not exist, so that a run that looks for them fails."""
    path = tmp_path / "data.yaml"
    path.write_text(f"path: {tmp_path}\ntrain: none\nval: none\nnames: [a, b]\n")
    return path


def test_a_place_that_does_not_exist_is_said_before_the_data_are_read(
    data: Path, tmp_path: Path
) -> None:
    given = {"cfg": str(write_graph(tmp_path)), "data": str(data)}
    with pytest.raises(UserError, match="neckk"):
        planning.plan({**given, "attention": ["SimAM@neckk"]})
    with pytest.raises(UserError, match="none"):  # the data, once the graph is sound
        planning.plan(given)


def test_a_graph_with_a_row_that_nothing_reads_stops_the_run(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "dead.yaml"
    backbone = [*GRAPH["backbone"], [3, 1, "Conv", [64, 3, 1]]]
    path.write_text(yaml.safe_dump({**GRAPH, "backbone": backbone}))
    with pytest.raises(UserError, match=r"dead\.yaml: row 6: .*no other row reads this row"):
        planning.plan({"cfg": str(path), "data": str(data)})
