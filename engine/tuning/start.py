"""What all trials of a search share: the flags, the starting values and the ranges."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from data.dataset_yaml import read_dataset_yaml
from data.scanning.load import load_dataset
from engine.training.model import read_source
from engine.training.optim import choose_optimizer
from engine.tuning.settings import PLACE, SEARCH_ONLY, TuneConfig
from engine.tuning.space import Range, load_space, usual_ranges
from models.graph.own_files import use_modules
from utils.cli import build
from utils.config import TrainConfig, choose_config
from utils.errors import UserError
from utils.families import family_of
from utils.hyperparameters import Hyperparameters

# Settings that may differ from start to start of one search: they do not change its scores.
FREE = frozenset(
    {"device", "workers", "cache", "noplots", "nosave", "save_period", "verbose", "modules"}
)


@dataclass(frozen=True)
class Start:
    """What all trials share.

    Attributes:
        search: The flags of the search.
        flags: Those of train.py, as the user gave them.
        config: All settings of a trial; its optimizer is named, since auto would replace lr0.
        hyp: The starting values.
        ranges: Hyperparameter -> its range.
    """

    search: TuneConfig
    flags: Mapping[str, object]
    config: TrainConfig
    hyp: Hyperparameters
    ranges: Mapping[str, Range]

    @property
    def values(self) -> dict[str, float]:
        """The starting values of what is searched."""
        return {name: float(getattr(self.hyp, name)) for name in self.ranges}

    def outside(self) -> list[str]:
        """What is searched in a range without its starting value."""
        return [name for name, value in self.values.items() if not self.ranges[name].has(value)]

    def hyp_of(self, values: Mapping[str, float]) -> Hyperparameters:
        """The hyperparameters of a trial with these values."""
        return dataclasses.replace(self.hyp, **values)  # type: ignore[arg-type]

    def settings(self) -> dict[str, object]:
        """What must not change while a search goes on, as YAML holds it."""
        plain = {key: value for key, value in self.config.plain().items() if key not in FREE}
        return {
            "flags": {key: value for key, value in plain.items() if key not in PLACE},
            "hyp": dataclasses.asdict(self.hyp),
            "space": {name: one.plain() for name, one in self.ranges.items()},
        }

    def command(self, tuned_file: str = "") -> str:
        """The command of train.py for these flags, with a file of tuned values if one is given."""
        left_out = {*PLACE, "seed", *(("hyp", "optimizer") if tuned_file else ())}
        words = ["python", "train.py"]
        for name, value in self.flags.items():
            words += [] if name in left_out else _words(name, value)
        if tuned_file:
            words += ["--optimizer", self.config.optimizer, "--hyp", tuned_file]
        return shlex.join(words)


def _words(name: str, value: object) -> list[str]:
    """A setting as words of a command line."""
    written = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [written] if value else []
    if isinstance(value, (tuple, list)):
        return [written, *map(str, value)] if value else []
    return [] if value in ("", None) else [written, str(value)]


def make_start(
    given: Mapping[str, object],
    changes: Mapping[str, object] | None = None,
    rows: Mapping[str, object] | None = None,
) -> Start:
    """Choose what all trials share, as train.py would choose it.

    Args:
        given: Field of TuneConfig -> value, as the user gave them.
        changes: Single hyperparameters that override those of the file.
        rows: Rows of ranges that are given from Python instead of --space.

    Raises:
        UserError: A flag, file or range is wrong.
    """
    search = build(TuneConfig, dict(given))
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError(
            "tune.py: is not for torchrun; start it once for each GPU: --device 0, --device 1 …"
        )
    use_modules(search.modules)
    own = {*SEARCH_ONLY, *PLACE}
    flags = {name: value for name, value in given.items() if name not in own}
    info = read_dataset_yaml(search.data)
    wanted = {**info.suggested, **flags}
    graph, _ = read_source(*(str(wanted.get(name, "")) for name in ("cfg", "weights", "scale")))
    family = family_of(graph)
    config, hyp = choose_config(flags, info.suggested, family, f"{info.path}: defaults")
    hyp = Hyperparameters.from_mapping({**dataclasses.asdict(hyp), **(changes or {})}, "tune")
    # What auto chooses is stated once here, since every trial with auto would replace lr0.
    images = load_dataset(config.data, "train", single_cls=config.single_cls)
    config, hyp, _ = choose_optimizer(config, hyp, len(images), len(images.names))
    usual = usual_ranges(family, config.optimizer)
    ranges, fixed = load_space(search.space, rows, usual)
    hyp = Hyperparameters.from_mapping({**dataclasses.asdict(hyp), **fixed}, "--space")
    search = dataclasses.replace(search, epochs=config.epochs)
    return Start(search, flags, config, hyp, ranges)
