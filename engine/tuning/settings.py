"""The flags of tune.py: those of train.py, which every trial gets, and those of the search."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from utils.cli import CommandLine, flag
from utils.config import TrainConfig
from utils.errors import check_setting
from utils.files import check_folder_name
from utils.flags import shared
from utils.train_line import REFUSED_TRAIN_FLAGS

AGAIN = "is not needed; the same command started again continues the search"
OWN_HYP = "is what this program does; --trials N is the number of its runs"
REFUSED_TUNE_FLAGS = {
    **REFUSED_TRAIN_FLAGS,
    "--resume": AGAIN,
    "--exist-ok": AGAIN,
    "--resume-evolve": AGAIN,
    "--evolve": OWN_HYP,
    "--evolve-population": OWN_HYP,
    "--iterations": "is --trials here",
}
MOST_TRIALS = 100_000


@dataclass(frozen=True)
class TuneConfig(TrainConfig):
    """All flags of tune.py. An impossible value raises UserError with the flag's name."""

    resume: str = flag("", "not a flag of a search", flag=False)
    exist_ok: bool = flag(False, "not a flag of a search", flag=False)
    project: str = shared("project", "runs/tune", help="folder of searches")
    name: str = shared(
        "name", help="name of this search; the same command started again continues it"
    )
    trials: int = flag(30, "number of runs, of all processes together")
    storage: str = flag(
        "",
        "database of the search, a SQLite file or a URL of Optuna; '' takes study.db in the "
        "search's folder",
    )
    space: str = flag(
        "",
        "YAML with the hyperparameters to search, such as `lr0: [1e-4, 0.1, log]`; '' takes the "
        "usual ones and ranges",
    )
    noprune: bool = flag(False, "train every trial to its last epoch")
    prune_after: int = flag(
        0, "epochs of a trial before it may be ended for its scores; 0 takes a fifth of --epochs"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting(
            1 <= self.trials <= MOST_TRIALS, "--trials", self.trials, f"must be 1 to {MOST_TRIALS}"
        )
        check_setting(
            self.prune_after >= 0, "--prune-after", self.prune_after, "must not be negative"
        )
        check_folder_name(self.name)

    @property
    def folder(self) -> Path:
        """The search's own folder."""
        return Path(self.project) / self.name

    @property
    def database(self) -> str:
        """The URL of the database."""
        if "://" in self.storage:
            return self.storage
        file = Path(self.storage) if self.storage else self.folder / "study.db"
        return f"sqlite:///{file.absolute()}"

    @property
    def database_file(self) -> Path | None:
        """The file of a SQLite database; None for another kind."""
        parts = urlsplit(self.database)
        return Path(parts.path[1:]) if parts.scheme == "sqlite" else None

    @property
    def first_pruned(self) -> int:
        """Epochs that each trial has before it may be ended."""
        return self.prune_after or max(self.epochs // 5, 1)


SEARCH_ONLY = frozenset(one.name for one in fields(TuneConfig)) - frozenset(
    one.name for one in fields(TrainConfig)
)
PLACE = frozenset({"project", "name", "resume", "exist_ok"})
TUNE_LINE = CommandLine(
    TuneConfig,
    "Search hyperparameters with Optuna: many runs of train.py, of which bad ones end early.",
    REFUSED_TUNE_FLAGS,
)
