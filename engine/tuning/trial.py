"""One trial of a search: a run of train.py with the values that the search proposes.

The run's folder is trials/NUMBER below the search's. A trial whose process has ended goes on from
its last checkpoint; without one it begins anew in a further folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import optuna
import torch
from optuna.trial import TrialState

from engine.training.diagnose import NotFiniteError
from engine.training.memory import MemoryShortError
from engine.training.moments import Tell
from engine.training.plan import plan
from engine.training.run import Run
from engine.tuning.report import fitness_of, write_report
from engine.tuning.start import Start
from engine.tuning.study import TrialFailedError, best_of, due_trials, give_back, suggest
from utils.errors import UserError
from utils.signals import StopRequested
from utils.structures import Metrics

Train = Callable[[Run, Tell], Metrics | None]  # train.train, which is above this folder
MOST_FAILURES = 3  # before a trial was completed, after which the search is given up
PRUNED = "the search ended it: at this epoch its fitness is below the median of the other trials"


class Trials:
    """Runs trials, as Optuna's objective.

    Attributes:
        number: That of the trial that was begun last; -1 before the first.
        problem: Why the last failed trial failed.
    """

    def __init__(self, start: Start, train: Train, say: Callable[[str], None]) -> None:
        self.start, self.train, self.say = start, train, say
        self.number, self.problem = -1, ""

    def __call__(self, trial: optuna.Trial) -> float:
        """Train with the values of a trial; return the fitness of its best epoch.

        Raises:
            optuna.TrialPruned: It was ended early, or its loss is not finite.
            TrialFailedError: The memory is too small for it.
            UserError: What is wrong concerns every trial, such as the data or the disk.
        """
        self.number = trial.number
        values = suggest(trial, self.start.ranges)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.say(f"\ntrial {trial.number}: {shown}")
        run = self.open_run(trial, values)
        trial.set_user_attr("folder", str(run.setup.folder))
        pruned = []

        def tell(moment: str, run: Run, metrics: Metrics | None) -> str:
            if moment == "on_fit_epoch_end" and metrics is not None:
                trial.report(metrics.fitness, run.state.progress.epoch)
                if trial.should_prune():
                    pruned.append(run.state.progress.epoch)
                    return PRUNED
            return ""

        try:
            metrics = self.train(run, tell)
        except NotFiniteError as error:
            trial.set_user_attr("note", f"diverged: {error}")
            raise optuna.TrialPruned from None
        except MemoryShortError as error:
            self.problem = str(error)
            trial.set_user_attr("note", self.problem)
            raise TrialFailedError from None
        assert metrics is not None, "tune.py is not for torchrun, where processes return None"
        trial.set_user_attr("epochs", run.state.progress.epoch)
        if pruned and run.state.progress.epoch < run.setup.config.epochs:
            raise optuna.TrialPruned
        return metrics.fitness

    def open_run(self, trial: optuna.Trial, values: dict[str, float]) -> Run:
        """The run of a trial: the interrupted one if it can go on, else a new one."""
        search, former = self.start.search, trial.user_attrs.get("folder")
        if former and (Path(former) / "weights" / "last.pt").exists():
            try:
                return plan({"resume": str(former), "modules": search.modules})
            except UserError as error:
                self.say(f"trial {trial.number}: cannot be resumed, so it begins anew ({error})")
        given = {
            **self.start.flags,
            "optimizer": self.start.config.optimizer,
            "project": str(search.folder / "trials"),
            "name": f"{trial.number:04d}",
        }
        return plan(given, dataclasses.asdict(self.start.hyp_of(values)))


def run_trials(start: Start, study: optuna.Study, train: Train) -> None:
    """Run trials until there are as many as wanted; a trial that is interrupted is queued again.

    Args:
        start: What the trials share.
        study: The database.
        train: train.train.

    Raises:
        UserError: What is wrong concerns every trial.
        SystemExit, StopRequested, KeyboardInterrupt: A signal arrived.
    """
    trials = Trials(start, train, print)
    failures = 0
    for _ in due_trials(study, start.search.trials, print):
        trials.number, trials.problem = -1, ""
        try:
            study.optimize(trials, n_trials=1, catch=(TrialFailedError,), gc_after_trial=True)
        except (SystemExit, StopRequested, KeyboardInterrupt, UserError) as end:
            give_back(study, trials.number)
            if not isinstance(end, UserError):
                print("stopped; the same command continues the search, with this trial first")
            raise
        free_memory()
        write_report(start, study)
        print(ending_of(study, trials.number))
        failures += bool(trials.problem)
        if failures >= MOST_FAILURES and best_of(study) is None:
            raise UserError(
                f"{failures} trials have failed and none was completed: {trials.problem}"
            )


def ending_of(study: optuna.Study, number: int) -> str:
    """One line on how a trial of this process has ended, and on the best so far."""
    trial = next(one for one in study.get_trials(deepcopy=False) if one.number == number)
    value, best = fitness_of(trial), best_of(study)
    fitness = "no fitness" if value is None else f"fitness {value:.4f}"
    note = trial.user_attrs.get("note", "")
    if trial.state == TrialState.FAIL:
        how = f"failed ({note})"
    elif trial.state == TrialState.PRUNED:
        how = note if str(note).startswith("diverged") else f"ended early at {fitness}"
    else:
        how = fitness
    so_far = (
        "none was completed yet" if best is None else f"the best is {best.number}: {best.value:.4f}"
    )
    return f"trial {number}: {how}; {so_far}"


def free_memory() -> None:
    """Give memory of a GPU that no tensor uses back, since the next trial has other sizes."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
