"""The parts of a study: its arms, and their cells.

An arm is a graph to compare: the baseline, the baseline with attention at some places, or the
baseline again under other seeds (A/A). A cell is one training run of an arm under one seed, in its
own folder in STUDY/cells. Messages to users call it a run.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.config import AA_SEEDS, ARM_INITS, StudyConfig
from utils.errors import UserError

PLAIN = "plain"  # name of the baseline
AA = "A/A"  # name of the arms that show how much seeds alone change
MAX_NAME_BYTES = 150  # of a folder's name, which file systems limit to 255


@dataclass(frozen=True)
class Arm:
    """A graph to compare.

    Attributes:
        name: name in the report.
        attention: texts such as SimAM@neck; () for the baseline's graph.
        init: how the modules start, "paper" or "identity".
        first_seed: seed of the arm's first run.
    """

    name: str
    attention: tuple[str, ...]
    init: str
    first_seed: int

    @property
    def is_aa(self) -> bool:
        return self.name.split()[0] == AA

    @property
    def folder_name(self) -> str:
        """The name in characters that every file system and shell accepts.

        A long name is cut, and a hash of the whole keeps it distinct.
        """
        name = re.sub(r"[^\w.@=+,-]+", "-", self.name)
        if len(name.encode()) <= MAX_NAME_BYTES:
            return name
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:12]
        return f"{name.encode()[: MAX_NAME_BYTES - 13].decode(errors='ignore')}-{digest}"


@dataclass(frozen=True)
class Cell:
    """One training run.

    Attributes:
        arm: the arm that is trained.
        seed: seed of the baseline's run that this one is compared with.
        folder: the folder that train.py writes into.
        train_seed: seed that train.py gets, which differs from `seed` in A/A arms only.
    """

    arm: Arm
    seed: int
    folder: Path
    train_seed: int

    @property
    def name(self) -> str:
        return f"{self.arm.name} seed {self.train_seed}"


def make_arms(config: StudyConfig) -> list[Arm]:
    """The baseline, the A/A arms, and attention x place x init in the order of the flags.

    Unknown modules and places are found later, when the graphs are built (ablation/setup.py).
    Raises UserError for two arms whose folders would have the same name.
    """
    arms = [Arm(PLAIN, (), "", config.first_seed)]
    for number in range(1, config.aa + 1):
        name = AA if number == 1 else f"{AA} {number}"
        arms.append(Arm(name, (), "", config.first_seed + number * AA_SEEDS))
    placed = (
        [text] if "@" in text else [f"{text}@{place}" for place in config.at]
        for text in config.attention
    )
    for text in dict.fromkeys(itertools.chain.from_iterable(placed)):
        arms += _arms_of(text, config)
    _refuse_shared_folders(arms)
    return arms


def _arms_of(text: str, config: StudyConfig) -> list[Arm]:
    """The arms of one attention text, one for each initialisation."""
    if config.attention_init != "paper" and re.search(r"[:,]\s*init\s*=", text):
        raise UserError(
            f"--attention {text}: gives init itself; remove it there, or drop --attention-init "
            f"{config.attention_init}"
        )
    names = {"paper": text, "identity": f"{text} identity"}
    return [
        Arm(names[init], (text,), init, config.first_seed)
        for init in ARM_INITS[config.attention_init]
    ]


def _refuse_shared_folders(arms: Sequence[Arm]) -> None:
    seen: dict[str, Arm] = {}
    for arm in arms:
        # Some file systems do not distinguish upper and lower case.
        other = seen.setdefault(arm.folder_name.lower(), arm)
        if other is not arm:
            raise UserError(
                f"--attention: {other.name} and {arm.name} would share a folder; remove one of them"
            )


def make_cells(config: StudyConfig, arms: Sequence[Arm], times: int = 1) -> list[Cell]:
    """All cells, seed by seed, so that the first results can already be compared.

    Args:
        config: the flags.
        arms: the baseline first.
        times: factor of the planned number of seeds, above 1 where arms may get further runs.
    """

    def cell(arm: Arm, number: int) -> Cell:
        seed = arm.first_seed + number
        folder = config.folder / "cells" / f"{arm.folder_name}_seed{seed}"
        return Cell(arm, config.first_seed + number, folder, seed)

    return [
        cell(arm, number)
        for number in range(max(config.baseline_seeds, times * config.seeds))
        for arm in arms
        if number < (config.seeds if arm.is_aa else times * config.seeds) or arm.name == PLAIN
    ]
