"""From settings to a run: what a resumed run says of settings that it does not take."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from engine.training import plan as planning
from engine.training.resume import Interrupted
from utils.checkpoint import Checkpoint
from utils.config import TrainConfig
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
