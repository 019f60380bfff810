"""One trial: a run of the training, and how it ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.training.diagnose import NotFiniteError
from engine.training.memory import MemoryShortError
from engine.tuning.start import Start
from tests.engine.tuning.conftest import MakeStart
from utils.errors import UserError

optuna = pytest.importorskip("optuna")

from engine.tuning import trial as module  # noqa: E402
from engine.tuning.report import summary  # noqa: E402
from engine.tuning.study import make_study, queue_start  # noqa: E402
from engine.tuning.trial import run_trials  # noqa: E402

EPOCHS = 5


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict, dict]]:
    """What plan() is asked for; it gives runs without a network."""
    asked: list[tuple[dict, dict]] = []

    def plan(given: dict, changes: dict | None = None) -> Any:
        asked.append((given, changes or {}))
        folder = Path(given["project"]) / given["name"] if "project" in given else given["resume"]
        progress = SimpleNamespace(epoch=0)
        config = SimpleNamespace(epochs=EPOCHS)
        return SimpleNamespace(
            setup=SimpleNamespace(folder=folder, config=config),
            state=SimpleNamespace(progress=progress),
        )

    monkeypatch.setattr(module, "plan", plan)
    monkeypatch.setattr("gc.collect", lambda *_: 0)  # of all objects of the tests, after each trial
    return asked


def fake_train(fitness: Any) -> Any:
    """A training whose epochs all have this fitness, a function of the number of the trial."""
    count = iter(range(1000))

    def train(run: Any, tell: Any) -> Any:
        number, metrics = next(count), None
        for epoch in range(EPOCHS):
            run.state.progress.epoch = epoch
            metrics = SimpleNamespace(fitness=fitness(number))
            if tell("on_fit_epoch_end", run, metrics):
                run.state.progress.epoch = epoch + 1
                return metrics
        run.state.progress.epoch = EPOCHS
        return metrics

    return train


def opened(found: Start) -> optuna.Study:
    """A study in memory, since a database takes a second for a dozen trials."""
    study = make_study(found.search, None)
    found.search.folder.mkdir()
    queue_start(found, study)
    return study


ROWS: dict[str, object] = {"lr0": [1e-3, 0.1, "log"], "mosaic": [0, 1]}


def searched(start: MakeStart, trials: int, **more: object) -> Start:
    return start(rows=ROWS, trials=trials, noplots=True, **more)


def test_trials_are_runs_with_the_values_drawn(
    start: MakeStart, planned: list[tuple[dict, dict]], tmp_path: Path
) -> None:
    found = searched(start, 3)
    study = opened(found)
    run_trials(found, study, fake_train(lambda number: number / 10))
    assert [given["name"] for given, _ in planned] == ["0000", "0001", "0002"]
    assert {given["project"] for given, _ in planned} == {str(tmp_path / "exp" / "trials")}
    assert {given["optimizer"] for given, _ in planned} == {"SGD"}
    assert planned[0][1]["lr0"] == 0.01
    best = (tmp_path / "exp" / "best_hyp.yaml").read_text()
    assert f"lr0: {planned[2][1]['lr0']}" in best
    assert "Best: trial 2, fitness 0.2000; the starting values (trial 0) reached 0.0000" in summary(
        found, study
    )


def test_a_trial_below_the_median_ends_early(
    start: MakeStart, planned: list[tuple[dict, dict]]
) -> None:
    found = searched(start, 7)
    study = opened(found)
    run_trials(found, study, fake_train(lambda number: 0.1 if number == 6 else 0.5))
    states = [one.state.name for one in study.get_trials()]
    assert states == ["COMPLETE"] * 6 + ["PRUNED"]
    assert len(study.get_trials()[6].intermediate_values) == 2  # after a fifth of the epochs
    found = searched(start, 7, noprune=True, name="b")
    study = opened(found)
    run_trials(found, study, fake_train(lambda number: 0.1 if number == 6 else 0.5))
    assert {one.state.name for one in study.get_trials()} == {"COMPLETE"}


def raising(*errors: BaseException | None) -> Any:
    """A training that raises these one after the other; None stands for a usual end."""
    left, usual = list(errors), fake_train(lambda number: 0.5)

    def train(run: Any, tell: Any) -> Any:
        error = left.pop(0) if left else None
        if error is not None:
            raise error
        return usual(run, tell)

    return train


def test_diverged_and_short_of_memory_trials_are_said_and_passed(
    start: MakeStart, planned: list[tuple[dict, dict]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = searched(start, 3)
    study = opened(found)
    run_trials(found, study, raising(NotFiniteError("loss"), MemoryShortError("no memory")))
    assert [one.state.name for one in study.get_trials()] == ["PRUNED", "FAIL", "COMPLETE"]
    said = capsys.readouterr().out
    assert "trial 0: diverged: loss; none was completed yet" in said
    assert "trial 1: failed (no memory); none was completed yet" in said
    assert "no memory" in (found.search.folder / "trials.txt").read_text()


def test_a_search_that_never_fits_is_given_up(
    start: MakeStart, planned: list[tuple[dict, dict]]
) -> None:
    found = searched(start, 9)
    study = opened(found)
    with pytest.raises(UserError, match="3 trials have failed and none was completed: too big"):
        run_trials(found, study, raising(*[MemoryShortError("too big")] * 9))


@pytest.mark.parametrize("error", [SystemExit(130), UserError("the disk is full")])
def test_an_interrupted_trial_is_the_first_of_the_next_start(
    start: MakeStart, planned: list[tuple[dict, dict]], error: BaseException
) -> None:
    found = searched(start, 2)
    study = opened(found)
    with pytest.raises(type(error)):
        run_trials(found, study, raising(None, error))
    folder = Path(study.get_trials()[1].user_attrs["folder"])
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "last.pt").touch()
    run_trials(found, study, raising())
    assert planned[2] == ({"resume": str(folder), "modules": ()}, {})
    assert [one.state.name for one in study.get_trials()] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.get_trials()[2].params == study.get_trials()[1].params
