"""Search hyperparameters with Optuna: python tune.py --cfg models/yolov5n.yaml --data my.yaml

    python tune.py --cfg models/yolov5n.yaml --data my.yaml --trials 30 --epochs 50

Every trial is a run of train.py, with train.py's flags and the values that the search proposes. Its
folder is in runs/tune/exp/trials. One that is worse than the median of the others at the same epoch
ends early. The same command continues an interrupted search, and started several times at once, for
instance with --device 0 and --device 1, it works on one search with several processes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":  # before the other imports, which take seconds
    from engine.tuning.settings import TUNE_LINE
    from utils.opening import open_program

    open_program(TUNE_LINE)

from engine.tuning.settings import TUNE_LINE
from engine.tuning.start import make_start
from train import train
from utils.errors import UserError, run_main
from utils.hyperparameters import Hyperparameters
from utils.signals import ignore_signals


def tune(
    given: Mapping[str, object],
    changes: Mapping[str, object] | None = None,
    rows: Mapping[str, object] | None = None,
) -> tuple[Hyperparameters | None, Path]:
    """Search, or continue a search, until its number of trials is reached.

    Args:
        given: Field of TuneConfig -> value.
        changes: Single hyperparameters that the search starts from.
        rows: Rows of ranges instead of those of --space (engine/tuning/space.py).

    Returns:
        The best hyperparameters, None if no trial was completed, and the search's folder.

    Raises:
        UserError: A flag, file, range or the database is wrong, or no trial can be trained.
    """
    if find_spec("optuna") is None:
        raise UserError("tune.py: needs Optuna; pip install optuna")
    start = make_start(given, changes, rows)
    for name in start.outside():
        value, one = start.values[name], start.ranges[name]
        print(
            f"note: {name}: the starting value {value:g} is outside {one.low:g} to {one.high:g},"
            " so the starting values are not among the trials"
        )
    # They import Optuna, so that without it the line above is what is read.
    from engine.tuning.report import summary
    from engine.tuning.study import best_of, open_study
    from engine.tuning.trial import run_trials

    study = open_study(start)
    print(f"search in {start.search.folder}: {', '.join(start.ranges)}")
    run_trials(start, study, train)
    print(summary(start, study))
    best = best_of(study)
    return None if best is None else start.hyp_of(best.params), start.search.folder


def main(argv: list[str] | None = None) -> int:
    """Read the flags and search. Returns the exit status: 1 if no trial was completed."""
    given = TUNE_LINE.read(argv)
    best, _ = tune(given)
    return 1 if best is None else 0


if __name__ == "__main__":
    try:
        sys.exit(run_main(main))
    finally:
        ignore_signals()
