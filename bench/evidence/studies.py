"""Read the studies of docs/studies: what each did, the rows of its table, and its runs."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean

from ablation.statistics.planning import LEAST_SEEDS
from ablation.study import AA, PLAIN
from models.attention import ATTENTION
from utils.files import ROOT
from utils.yaml_file import load_yaml

FOLDER = ROOT / "docs/studies"
DELTA = 0.5  # smallest difference of interest, points of mAP50-95; that of the studies


@dataclass(frozen=True)
class Result:
    """A row of a study's table. Differences are in points of mAP50-95.

    Attributes:
        arm: name of the arm, such as "SimAM@neck identity".
        module: name of the attention's class; "" for an arm that has none, or several.
        place: where it stands.
        verdict: "helps", "hurts" or "no evidence".
        difference, low, high: the difference from the plain graph and its interval.
        more_seeds: how many more paired seeds would show a difference of DELTA; 0 if decided.
        gaps: the paired differences, points, one for each seed in common with the baseline.
        score: mean mAP50-95, points.
        parameters: of the network.
        latency: its latency divided by the plain graph's.
    """

    arm: str
    module: str
    place: str
    verdict: str
    difference: float
    low: float
    high: float
    more_seeds: int
    gaps: tuple[float, ...] = field(repr=False)
    score: float
    parameters: int
    latency: float

    @property
    def seeds(self) -> int:
        """How many seeds it has in common with the baseline."""
        return len(self.gaps)

    @property
    def outcome(self) -> str:
        """The verdict, or what it excludes: "helps", "hurts", "no gain", "open"."""
        if self.verdict in ("helps", "hurts"):
            return self.verdict
        return "no gain" if self.high < DELTA else "open"


@dataclass(frozen=True)
class Noise:
    """Standard deviations over seeds, in points of mAP50-95; nan where there are too few runs.

    Attributes:
        run: of a run of the plain graph, pooled over it and the A/A arms.
        pair: of an arm minus the plain graph under the same seed, pooled over the modules.
    """

    run: float
    pair: float


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        name: of its folder.
        data: the data set.
        start: how the attention started, "paper" or "identity".
        is_main: whether it belongs to the table of all modules.
        facts: what studies.yaml says of it.
        noise: standard deviations over seeds, points.
        hours: of training of all runs together, which is longer where several ran at a time.
        rows: every row but the baseline's, by the arm's name.
        plain: mean mAP50-95 of the baseline, points.
        plain_parameters: parameters of the baseline.
        runs: number of finished runs.
    """

    name: str
    data: str
    start: str
    is_main: bool
    facts: Mapping[str, str] = field(repr=False)
    hours: float
    noise: Noise
    rows: Mapping[str, Result] = field(repr=False)
    plain: float = 0.0
    plain_parameters: int = 0
    runs: int = 0

    @cached_property
    def modules(self) -> dict[str, Result]:
        """The rows that have one module, by its name."""
        return {row.module: row for row in self.rows.values() if row.module}

    def fact(self, name: str, key: str = "") -> str:
        """A fact in a language, whose suffix is `key`; in English where there is no other."""
        return self.facts.get(name + key, self.facts[name])


def read_studies(folder: Path = FOLDER) -> list[Study]:
    """The studies that studies.yaml lists, in its order; a folder without a table is left out.

    Raises ValueError for two main studies that would be one column.
    """
    listed = load_yaml(folder / "studies.yaml")
    studies = [
        read_study(folder / name, facts)
        for name, facts in listed.items()
        if (folder / name / "table.md").is_file()
    ]
    for kind, count in Counter((one.data, one.start) for one in studies if one.is_main).items():
        if count > 1:
            raise ValueError(f"studies.yaml: {count} main studies of {' and '.join(kind)}")
    return studies


def read_study(folder: Path, facts: Mapping[str, object]) -> Study:
    """A study, whose facts are those of studies.yaml.

    An arm without an interval, or with fewer seeds than a verdict needs, is left out. Raises
    ValueError if two arms have the same module, or if an arm starts in another way than the study.
    """
    lines = table_rows((folder / "table.md").read_text(encoding="utf-8"))
    with open(folder / "cells.csv", encoding="utf-8", newline="") as file:
        runs = [row for row in csv.DictReader(file) if row["map"]]
    scores: dict[str, dict[int, float]] = {}
    for run in runs:
        scores.setdefault(run["arm"], {})[int(run["block"])] = 100 * float(run["map"])
    plain = next(row for row in lines if row["verdict"] == "baseline")
    rows = [
        result_of(row, paired(scores[row["arm"]], scores[PLAIN]))
        for row in lines
        if row is not plain and row["arm"] in scores
    ]
    rows = [row for row in rows if row.seeds >= LEAST_SEEDS and math.isfinite(row.high - row.low)]
    start = str(facts["start"])
    check_arms(folder.name, start, rows)
    return Study(
        name=folder.name,
        data=str(facts["data"]),
        start=start,
        is_main=bool(facts.get("main")),
        facts={key: " ".join(str(value).split()) for key, value in facts.items()},
        hours=sum(float(run["train_seconds"] or 0) for run in runs) / 3600,
        noise=noise_of(scores, [row for row in rows if row.module]),
        rows={row.arm: row for row in rows},
        plain=number(plain["mAP50-95"]),
        plain_parameters=int(number(plain["parameters"])),
        runs=len(runs),
    )


def check_arms(name: str, start: str, rows: Sequence[Result]) -> None:
    """Raise ValueError for arms that a table with one row for each module cannot show."""
    modules = [row for row in rows if row.module]
    for row, count in Counter(row.module for row in modules).items():
        if count > 1:
            raise ValueError(f"{name}: {count} arms have {row}")
    for one in modules:
        if one.arm.endswith(" identity") != (start == "identity"):
            raise ValueError(f"{name}: {one.arm} does not start as studies.yaml says, {start}")


def paired(scores: Mapping[int, float], plain: Mapping[int, float]) -> tuple[float, ...]:
    """An arm's scores minus those of plain, for the seeds that both have."""
    return tuple(scores[seed] - plain[seed] for seed in sorted(scores.keys() & plain.keys()))


def noise_of(scores: Mapping[str, Mapping[int, float]], rows: Sequence[Result]) -> Noise:
    """The noise of a study.

    Args:
        scores: points by arm and by the baseline's seed.
        rows: those of the modules.
    """
    same = [
        list(values.values()) for arm, values in scores.items() if arm.split()[0] in (PLAIN, AA)
    ]
    return Noise(pooled(same), pooled([row.gaps for row in rows]))


def pooled(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation within groups; nan if no group has two values."""
    squares = [sum((value - fmean(group)) ** 2 for value in group) for group in groups if group]
    freedom = sum(len(group) - 1 for group in groups if group)
    return math.sqrt(sum(squares) / freedom) if freedom else math.nan


def table_rows(text: str) -> list[dict[str, str]]:
    """The rows of the first table of a Markdown text, by the names of its columns."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = parts_of(lines[0])
    width = next((n for n, line in enumerate(lines) if len(parts_of(line)) != len(heads)), None)
    return [dict(zip(heads, parts_of(line), strict=True)) for line in lines[2:width]]


def parts_of(line: str) -> list[str]:
    """The cells of a row."""
    return [part.strip().replace("\\", "") for part in re.split(r"(?<!\\)\|", line)[1:-1]]


def number(text: str) -> float:
    """A number as a report writes it: 1,767,976 or −0.65; nan for nothing."""
    return float(text.replace(",", "").replace("−", "-") or "nan")


def result_of(row: Mapping[str, str], gaps: tuple[float, ...]) -> Result:
    """A row of a study's table, and its paired differences from the baseline."""
    arm = row["arm"]
    text = arm.removesuffix(" identity")
    module, _, place = text.partition("@")
    single = bool(place) and not re.search(r"[:,+ ]", text)
    return Result(
        arm=arm,
        module=ATTENTION[module].__name__ if single and module in ATTENTION else "",
        place=place,
        verdict=row["verdict"],
        difference=number(row["difference"]),
        low=number(row["low"]),
        high=number(row["high"]),
        more_seeds=int(number(row["more seeds"] or "0")),
        gaps=gaps,
        score=number(row["mAP50-95"]),
        parameters=int(number(row["parameters"] or "0")),
        latency=number(row.get("× plain", "")),
    )
