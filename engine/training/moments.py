"""The moments of a training at which its caller is told how far the run is.

api/ calls the functions of users at them, under Ultralytics' names for these moments.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.training.run import Run
from utils.structures import Metrics

MOMENTS = (
    "on_train_start",  # the data is read and the model is built; before the first epoch
    "on_train_epoch_start",
    "on_train_batch_start",  # the batch is read
    "on_train_batch_end",  # its gradients are computed, and where a step is due, it is made
    "on_train_epoch_end",  # before the validation
    "on_val_start",
    "on_val_end",  # with the scores
    "on_fit_epoch_end",  # the row of results.csv is written; with the scores
    "on_model_save",  # last.pt is written, after every epoch
    "on_train_end",  # the run is finished; with the scores of the best epoch
)
# Returns why the run is to end after this epoch, or "".
Tell = Callable[[str, Run, Metrics | None], str]


def tell_nobody(moment: str, run: Run, metrics: Metrics | None) -> str:
    """Ignore a moment, as the program train.py does."""
    return ""


class Moments:
    """Tells the caller of a training about its moments, in the main process only.

    Attributes:
        stop: Why the caller wants the run to end after the current epoch; "" if it does not.
    """

    def __init__(self, run: Run, tell: Tell = tell_nobody) -> None:
        self.stop = ""
        self._run, self._tell = run, tell

    def __call__(self, moment: str, metrics: Metrics | None = None) -> None:
        """Tell about a moment; `metrics` are the scores that it brings."""
        if self._run.setup.world.is_main:
            self.stop = self._tell(moment, self._run, metrics) or self.stop

    def note_stop(self) -> None:
        """Say that the caller has ended the run before its last epoch."""
        progress, epochs = self._run.state.progress, self._run.setup.config.epochs
        if self.stop and progress.epoch < epochs:
            progress.add_note(
                f"stopped after epoch {progress.epoch - 1} of {epochs - 1}, since {self.stop}"
            )
