"""The database of a search: which trial is next, and what becomes of one that lost its process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.tuning.conftest import MakeStart
from utils.errors import UserError

optuna = pytest.importorskip("optuna")

from engine.tuning.space import Range  # noqa: E402
from engine.tuning.study import (  # noqa: E402
    NumberedSampler,
    best_of,
    check_settings,
    current,
    due_trials,
    give_back,
    importance,
    open_study,
    suggest,
)

RANGES = {"lr0": Range(1e-4, 0.1, True), "mosaic": Range(0.0, 1.0)}
COMPLETE = optuna.trial.TrialState.COMPLETE


def memory(seed: int = 0) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=NumberedSampler(seed))


def drawn(study: optuna.Study, value: float = 0.0) -> dict[str, float]:
    trial = study.ask()
    values = suggest(trial, RANGES)
    study.tell(trial, value)
    return values


def test_values_follow_from_the_seed_and_the_number_of_a_trial() -> None:
    study, again, other = memory(), memory(), memory(1)
    first = [drawn(study) for _ in range(3)]
    assert [drawn(again) for _ in range(3)] == first
    again.sampler = NumberedSampler(0)  # as a process that continues the search
    assert drawn(again) == drawn(study)
    assert first[0] != first[1] != drawn(other)
    assert all(1e-4 <= one["lr0"] <= 0.1 for one in first)


def test_as_many_trials_are_due_as_are_missing() -> None:
    study, count = memory(), 0
    for _ in due_trials(study, 3, print):
        drawn(study, count)
        count += 1
    assert count == 3
    assert next(due_trials(study, 3, print), "none") == "none"
    best = best_of(study)
    assert best is not None
    assert best.number == 2


def test_a_trial_of_another_process_is_waited_for() -> None:
    study, said = memory(), []
    running = study.ask()

    def say(line: str) -> None:
        said.append(line)
        study.tell(running, 0.5)

    assert list(due_trials(study, 1, say, poll=0.0)) == []
    assert len(said) == 1
    assert said[0].startswith("waiting for trials 0 of other processes")


def test_an_interrupted_trial_is_queued_with_its_values_and_scores() -> None:
    study = memory()
    trial = study.ask()
    values = suggest(trial, RANGES)
    trial.report(0.25, 0)
    trial.set_user_attr("folder", "f")
    give_back(study, trial.number)
    (waiting,) = current(study)
    assert (waiting.number, waiting.params, waiting.intermediate_values) == (1, values, {0: 0.25})
    assert sum(1 for _ in zip(due_trials(study, 1, print), range(1), strict=False)) == 1
    again = study.ask()
    assert (again.number, suggest(again, RANGES), again.user_attrs) == (1, values, {"folder": "f"})
    study.tell(again, 0.5)
    give_back(study, 1)
    assert [one.number for one in current(study)] == [1]


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    check_settings(path, {"hyp": {"lr0": 0.1}})
    check_settings(path, {"hyp": {"lr0": 0.1}})
    with pytest.raises(UserError) as error:
        check_settings(path, {"hyp": {"lr0": 0.2}})
    assert str(error.value).startswith(f"{path}: this search has hyp lr0 0.1, now it is 0.2; give")


def test_the_first_trial_has_the_starting_values(start: MakeStart, tmp_path: Path) -> None:
    found = start(rows={"lr0": [1e-3, 0.1], "mosaic": [0, 1]})
    for _ in range(2):  # the second process adds nothing
        study = open_study(found)
    assert len(study.get_trials()) == 1
    assert suggest(study.ask(), found.ranges) == {"lr0": 0.01, "mosaic": 1.0}
    (tmp_path / "bad.db").write_bytes(b"no database at all, but long enough to be looked at" * 99)
    with pytest.raises(UserError, match=r"bad\.db: cannot be opened"):
        open_study(start(rows={"lr0": [1e-3, 0.1]}, storage=str(tmp_path / "bad.db"), name="b"))


def test_importance_needs_enough_trials() -> None:
    study = memory()
    for _ in range(9):
        drawn(study, 1.0)
    assert importance(study, RANGES) == {}
    study = memory()
    for _ in range(20):
        trial = study.ask()
        study.tell(trial, suggest(trial, RANGES)["mosaic"])
    shares = importance(study, RANGES)
    assert shares["mosaic"] > shares["lr0"]
