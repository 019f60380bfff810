"""The database of a search: which trials there are, which is next, and which lost their process.

Every process that works on a search opens the same database. A trial's process writes a heartbeat;
one that was killed stops doing so, and its trial is then tried again by another process. Optuna is
imported here and nowhere else, and this module only by a program that searches.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from engine.training.lock import FolderLock
from engine.tuning.settings import TuneConfig
from engine.tuning.space import Range
from engine.tuning.start import Start
from utils.errors import UserError
from utils.files import make_folder, save_yaml
from utils.text import public_url, shown
from utils.yaml_file import load_yaml

HEARTBEAT, GRACE = 15, 60  # seconds between two, and after which a process counts as dead
POLL = 2.0  # seconds between two looks at the trials of other processes
BUSY = 120  # seconds that a process waits for another one's write to SQLite
RETRIES = 5  # of a trial whose process died
STUDY = "tune"
# What a database that is damaged, foreign or out of reach raises; a driver may be missing.
DATABASE_ERRORS = (
    optuna.exceptions.OptunaError,
    sqlalchemy.exc.SQLAlchemyError,
    ImportError,
    RuntimeError,
    ValueError,
)
RETRY_OF = "retry_history"  # Optuna's name for the numbers of the trials that a trial repeats


class TrialFailedError(Exception):
    """A trial has no result, for a reason that belongs to its values or to its machine."""


class NumberedSampler(optuna.samplers.BaseSampler):
    """TPE whose random numbers follow from the seed and the trial's number.

    So a search that was interrupted goes on as it would have, and two processes with one seed do
    not draw the same values.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._inner = self._make(0)

    def _make(self, number: int) -> optuna.samplers.TPESampler:
        # constant_liar counts the trials that are running, so that processes try different values.
        return optuna.samplers.TPESampler(
            multivariate=True, constant_liar=True, seed=(self._seed * 1_000_003 + number) % 2**32
        )

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Begin a trial with its own random numbers."""
        self._inner = self._make(trial.number)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Any:
        """What is drawn together."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Any
    ) -> dict[str, Any]:
        """Draw the values that are drawn together."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """Draw one value."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """End a trial."""
        self._inner.after_trial(study, trial, state, values)


def open_study(start: Start) -> optuna.Study:
    """Open the search's database, or make it, with the starting values as its first trial.

    Raises:
        UserError: The search was started with other settings, or the database cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # tune.py prints lines of its own
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    search = start.search
    folder = make_folder(search.folder)
    if search.database_file is not None:
        make_folder(search.database_file.parent)
    lock = FolderLock(folder, wait=BUSY)  # one process after the other
    try:
        check_settings(folder / "study.yaml", start.settings())
        study = make_study(search, _open_storage(search))
        queue_start(start, study)
    except DATABASE_ERRORS as error:
        raise _refusal(search, error) from None
    finally:
        lock.close()
    return study


def queue_start(start: Start, study: optuna.Study) -> None:
    """Make the starting values the first trial, unless they are outside the ranges."""
    if not start.outside():
        note = {"note": "starting values"}
        study.enqueue_trial(start.values, user_attrs=note, skip_if_exists=True)


def _open_storage(search: TuneConfig) -> RDBStorage:
    is_file = search.database_file is not None
    return RDBStorage(
        search.database,
        engine_kwargs={"connect_args": {"timeout": BUSY}} if is_file else {},
        heartbeat_interval=HEARTBEAT,
        grace_period=GRACE,
        heartbeat_stale_trial_callback=try_again,
    )


def make_study(search: TuneConfig, storage: RDBStorage | None) -> optuna.Study:
    """The study of a database, or of this process's memory without one."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=search.first_pruned)
    return optuna.create_study(
        storage=storage,
        study_name=STUDY,
        load_if_exists=True,
        direction="maximize",
        sampler=NumberedSampler(search.seed),
        pruner=optuna.pruners.NopPruner() if search.noprune else pruner,
    )


def check_settings(path: Path, settings: Mapping[str, object]) -> None:
    """Write the settings of a search, or compare them with those of its first start.

    Raises UserError if one differs, since the trials would not be comparable.
    """
    if not path.exists():
        save_yaml(path, settings)
        return
    former = load_yaml(path)
    for part, values in settings.items():
        own = former.get(part)
        known = own if isinstance(own, dict) else {}
        assert isinstance(values, dict)
        for key in sorted({*values, *known}, key=str):
            if known.get(key) != values.get(key):
                raise UserError(
                    f"{path}: this search has {part} {key} {shown(known.get(key))}, now it is"
                    f" {shown(values.get(key))}; give what it was started with, or choose another"
                    " --name"
                )


def try_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial whose process has ended, with its values and the scores that it has had."""
    RetryHeartbeatStaleTrialCallback(RETRIES, inherit_intermediate_values=True)(study, trial)


def give_back(study: optuna.Study, number: int) -> None:
    """Queue a trial of this process again, unless it has a result."""
    trial = next((one for one in study.get_trials() if one.number == number), None)
    if trial is None:
        return
    if trial.state == TrialState.RUNNING:
        study.tell(number, state=TrialState.FAIL)
    if trial.state in (TrialState.RUNNING, TrialState.FAIL):
        try_again(study, trial)


def current(study: optuna.Study) -> list[FrozenTrial]:
    """The trials by number, without those that another one repeats."""
    trials = study.get_trials(deepcopy=False)
    repeated = {number for one in trials for number in one.system_attrs.get(RETRY_OF, ())}
    return [one for one in trials if one.number not in repeated]


def due_trials(
    study: optuna.Study, count: int, say: Callable[[str], None], poll: float = POLL
) -> Iterator[None]:
    """Yield as often as this process has a trial to run, and return when all have ended.

    Args:
        study: The database.
        count: The number of trials, of all processes together.
        say: Gets a line if trials of other processes are waited for.
        poll: Seconds between two looks at them.
    """
    has_said = False
    while True:
        optuna.storages.fail_stale_trials(study)
        trials = current(study)
        if len(trials) < count or any(one.state == TrialState.WAITING for one in trials):
            yield
            continue
        running = [one.number for one in trials if one.state == TrialState.RUNNING]
        if not running:
            return
        if not has_said:
            numbers = ", ".join(map(str, running))
            say(
                f"waiting for trials {numbers} of other processes; one that was killed is begun"
                f" again here after {GRACE} seconds without a sign of life"
            )
            has_said = True
        time.sleep(poll)


def best_of(study: optuna.Study) -> FrozenTrial | None:
    """The finished trial with the highest fitness, the first of several; None if there is none."""
    done = [one for one in current(study) if one.state == TrialState.COMPLETE]
    return max(done, key=lambda one: (one.value or 0.0, -one.number), default=None)


def suggest(trial: optuna.Trial, ranges: Mapping[str, Range]) -> dict[str, float]:
    """The values that a trial tries."""
    return {
        name: trial.suggest_float(name, one.low, one.high, log=one.is_log)
        for name, one in ranges.items()
    }


def importance(study: optuna.Study, ranges: Mapping[str, Range]) -> dict[str, float]:
    """The share of each hyperparameter in what sets the best trials apart; {} with too few trials.

    The method is PED-ANOVA (Watanabe et al., 2023), which needs no further package.
    """
    done = [one for one in current(study) if one.state == TrialState.COMPLETE]
    if len(done) < max(10, len(ranges)) or len({one.value for one in done}) < 3:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _refusal(search: TuneConfig, error: Exception) -> UserError:
    """What is said of a database that cannot be opened."""
    where = search.database_file or public_url(search.database)
    reason = " ".join(str(error).split())[:200]
    return UserError(
        f"--storage {where}: cannot be opened ({type(error).__name__}: {reason}); give another"
        " file, or remove a damaged one to start the search anew"
    )
