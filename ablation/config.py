"""The flags of ablate.py: one frozen dataclass that refuses impossible values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.cli import CommandLine, flag
from utils.errors import UserError
from utils.files import check_folder_name
from utils.flags import shared

AA_SEEDS = 1000  # distance between the seeds of an A/A arm and those of the baseline
ARM_INITS = {"paper": ("paper",), "identity": ("identity",), "both": ("paper", "identity")}
MAXIMA = {"aa": 1000, "slots": 1024, "cores_per_cell": 4096}
# A verdict needs three seeds. An adaptive study may double the seeds of a look.
LEAST_LOOK, MOST_LOOK = 3, AA_SEEDS // 2
MINIMA = {
    **dict.fromkeys(("seeds", "cores_per_cell"), 1),
    **dict.fromkeys(("first_seed", "baseline_seeds", "aa"), 0),
    **dict.fromkeys(("epochs", "imgsz", "batch_size", "workers", "slots"), 0),
}
REFUSED_STUDY_FLAGS = {
    "--resume": "is not needed; the same command started again continues the study",
    "--exist-ok": "is not needed; the same command started again continues the study",
    "--no-aa": "use --aa 0",
    "--seed": "use --first-seed and --seeds",
}


@dataclass(frozen=True)
class StudyConfig:
    """All flags of ablate.py. An impossible value raises UserError with the flag's name."""

    data: str = flag("data/shapes.yaml", "data set YAML; the default is generated on first use")
    cfg: str = flag("", "baseline graph, such as models/yolov5n.yaml; '' takes that of --weights")
    weights: str = flag("", "checkpoint that every arm starts from; '' trains from scratch")
    scale: str = flag(
        "", "size of a graph that has several (n, s, m, l, x); '' takes it from the file's name"
    )
    attention: tuple[str, ...] = flag(
        (),
        "modules, optionally with arguments: SimAM GAM:rate=8; NAME@PLACE is used as "
        "written, the others are tried at each --at",
        kind=str,
        nargs="+",
    )
    modules: tuple[str, ...] = shared("modules")
    at: tuple[str, ...] = flag(
        ["neck"], 'places, such as neck backbone.P5 "every C3"; a+b is both in one arm'
    )
    attention_init: str = flag(
        "paper", "how modules start; both makes two arms of each", choices=tuple(ARM_INITS)
    )
    seeds: int = flag(5, "runs of each arm")
    first_seed: int = flag(0, "the first of the seeds, which are consecutive")
    baseline_seeds: int = flag(
        0, "runs of the baseline; 0 chooses the number that serves all comparisons best"
    )
    aa: int = flag(
        1, "A/A arms, which are the baseline under other seeds and show the noise; 0 for none"
    )
    epochs: int = flag(0, "epochs of each run; 0 as train.py would choose")
    imgsz: int = flag(
        0,
        "side of the images, pixels; 0 as train.py would choose",
        aliases=("--img", "--img-size"),
    )
    batch_size: int = flag(0, "images per batch; 0 as train.py would choose", aliases=("--batch",))
    train: str = flag(
        "", 'further flags of train.py for all runs, such as "--hyp my.yaml --cos-lr"'
    )
    device: str = flag(
        "", "GPUs to use, such as 0,1,2, or cpu, or mps; '' takes all GPUs, else the processor"
    )
    workers: int = flag(8, "maximum loader processes of a run; its share of the cores limits them")
    engine: str = flag(
        "local",
        "where the runs take place: processes on this machine, or an existing Ray cluster",
        choices=("local", "ray"),
    )
    address: str = flag("auto", "address of the Ray cluster, such as auto or ray://head:10001")
    slots: int = flag(0, "runs at a time; 0: one a GPU, or one for every --cores-per-cell")
    cores_per_cell: int = flag(2, "processor cores of a run")
    delta: float = flag(0.5, "smallest difference of interest, in points of mAP50-95")
    futility: bool = flag(
        False,
        "judge after each seed, or at each of --looks, and stop arms that can hardly be shown to"
        " help any more",
    )
    looks: tuple[int, ...] = flag(
        (),
        "seeds after which to judge, such as 3 5 8; the last is the most, and --seeds 5 stops at"
        " that look, to continue later. Decided arms get no more runs, and the error of all looks"
        " together is that of a study",
        kind=int,
        nargs="+",
    )
    adaptive: bool = flag(
        False,
        "drop hopeless arms at each of --looks, and give their runs to arms close to a verdict",
    )
    project: str = flag("runs/ablate", "folder of studies")
    name: str = flag("study", "name of this study; the same command started again continues it")
    dry_run: bool = flag(
        False, "show the arms, their costs and the time the study would take; train nothing"
    )

    def __post_init__(self) -> None:
        for name, least in MINIMA.items():
            if getattr(self, name) < least:
                raise UserError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least {least}"
                )
        for name, most in MAXIMA.items():
            if getattr(self, name) > most:
                raise UserError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}: must be at most {most}"
                )
        if not 0 < self.delta < 100:
            raise UserError(f"--delta {self.delta}: must be above 0 and below 100 points of mAP")
        # More seeds than AA_SEEDS would run into those of the first A/A arm.
        seeds = max(self.seeds, self.baseline_seeds)
        if seeds > AA_SEEDS:
            raise UserError(f"--seeds {seeds}: must be at most {AA_SEEDS}")
        if not self.attention and not self.aa:
            raise UserError("--attention: nothing to compare; name modules, or give --aa 1")
        self._check_looks()
        check_folder_name(self.name)

    def _check_looks(self) -> None:
        """Refuse looks that cannot be taken."""
        shown = f"--looks {' '.join(map(str, self.looks))}"
        if not self.looks:
            if self.adaptive:
                raise UserError(
                    "--adaptive: arms are dropped at looks; give --looks, such as 3 5 8"
                )
            return
        if len(self.looks) < 2 or list(self.looks) != sorted(set(self.looks)):
            raise UserError(f"{shown}: must be two or more rising numbers of seeds, such as 3 5 8")
        if self.looks[0] < LEAST_LOOK or self.looks[-1] > MOST_LOOK:
            raise UserError(f"{shown}: must be between {LEAST_LOOK} and {MOST_LOOK} seeds")
        if self.seeds not in self.looks:
            raise UserError(f"--seeds {self.seeds}: is none of {shown}; give one of these, or none")
        if not self.attention:
            raise UserError(f"{shown}: there is no arm to judge; name modules with --attention")

    @property
    def folder(self) -> Path:
        """Absolute path of the study's own folder."""
        return Path(self.project).absolute() / self.name

    @property
    def margin(self) -> float:
        """--delta in 0..1, the unit of scores, instead of points."""
        return self.delta / 100


def read_config(argv: Sequence[str]) -> StudyConfig:
    """The flags of a command line. Raises UserError for an impossible one."""
    given = STUDY_LINE.read(argv)
    if given.get("looks"):
        given.setdefault("seeds", max(given["looks"]))
        if given.get("baseline_seeds"):
            raise UserError(
                f"--baseline-seeds {given['baseline_seeds']}: each of --looks has its own number;"
                " remove it"
            )
    return StudyConfig(**given)


def join_train(argv: Sequence[str]) -> list[str]:
    """Turn `--train "--cos-lr"` into one word, --train=--cos-lr.

    argparse would take a value that looks like a flag for a flag.
    """
    words = list(argv)
    for place in range(len(words) - 2, -1, -1):
        if words[place] == "--train":
            words[place : place + 2] = [f"--train={words[place + 1]}"]
    return words


STUDY_LINE = CommandLine(
    StudyConfig, "Does this attention help?", REFUSED_STUDY_FLAGS, prepare=join_train
)
