"""model.tune(): tune.py's search for hyperparameters from Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from api.keywords import KeywordError, Keywords, read_keywords
from engine.tuning.settings import TuneConfig
from utils.hyperparameters import Hyperparameters
from utils.text import shown

HYPERPARAMETERS = frozenset(field.name for field in dataclasses.fields(Hyperparameters))


class TuneCalls:
    """A base class of YOLO with its call tune()."""

    _device: str
    attention: tuple[str, ...]
    save_dir: Path | None

    def _start(self, pretrained: bool | str | Path, attention: tuple[str, ...]) -> Keywords:
        raise NotImplementedError

    def tune(
        self,
        iterations: int = 10,
        space: Mapping[str, object] | None = None,
        use_ray: bool = False,
        pretrained: bool | str | Path = True,
        **options: object,
    ) -> dict[str, float] | None:
        """Search hyperparameters as tune.py does; the model itself is not changed.

        Args:
            iterations: number of runs; a search of the same name goes on where it ended.
            space: hyperparameter -> its range, such as {"lr0": (1e-4, 0.1, "log")}; None takes the
                usual ones.
            use_ray: only False is known.
            pretrained: as for train().
            options: tune.py's and train.py's flags and hyperparameters, from which it starts.

        Returns:
            The best hyperparameters, also in save_dir/best_hyp.yaml; None if no run was completed.

        Raises:
            UserError: a keyword or a range is wrong, or Optuna is not installed.
            KeyboardInterrupt: Ctrl-C or SIGTERM stopped the search; the same call continues it.
        """
        from tune import tune

        if use_ray:
            raise KeywordError("tune: use_ray=True: is not part of this project; leave it out")
        if space is not None and not isinstance(space, Mapping):
            raise KeywordError(f"tune: space={shown(space)}: must be {{name: (low, high)}}")
        keywords = {"device": self._device or None, "trials": iterations, **options}
        given, changes = read_keywords(TuneConfig, keywords, "tune", HYPERPARAMETERS)
        inserted = (*self.attention, *given.pop("attention", ()))
        given = {**self._start(pretrained, inserted), **given}
        try:
            best, self.save_dir = tune(given, changes, space)
        except SystemExit:  # raised by train.py after Ctrl-C or SIGTERM, when the run is saved
            raise KeyboardInterrupt("tune: the same call continues the search") from None
        return None if best is None else dataclasses.asdict(best)
