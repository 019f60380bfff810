"""How much noise a score has, and which score of the same runs has less.

    python -m bench.noise --data my.yaml --weights yolov5n.pt --hyp my_hyp.yaml --out FOLDER

trains the plain graph and three with attention under each seed and computes several scores of each
run. What is compared is the standard deviation of the paired difference from the plain graph, since
it decides how many seeds a verdict needs. The same command started again continues.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.markdown_table import markdown_rows
from bench.noise.scores import USUAL, Scorer, Scores, scores_of
from utils.files import ROOT, atomic_write

PLAIN = "plain"
ARMS = {
    PLAIN: (),
    "SimAM identity": ("--attention", "SimAM@neck", "--attention-init", "identity"),
    "CBAM paper": ("--attention", "CBAM@neck", "--attention-init", "paper"),
    "GAM identity": ("--attention", "GAM@neck", "--attention-init", "identity"),
}


@dataclass(frozen=True)
class NoiseSettings:
    """What is the same in all runs."""

    data: str
    cfg: str
    weights: str
    hyp: str
    imgsz: int
    epochs: int
    batch_size: int
    out: Path

    def command(self, arm: str, seed: int) -> list[str]:
        """The command of a run."""
        flags = {
            "--data": self.data, "--cfg": self.cfg, "--weights": self.weights, "--hyp": self.hyp,
            "--imgsz": self.imgsz, "--epochs": self.epochs, "--batch-size": self.batch_size,
            "--seed": seed, "--project": self.out, "--name": name_of(arm, seed),
            "--optimizer": "AdamW", "--workers": 0,
        }  # fmt: skip
        words = [str(word) for pair in flags.items() for word in pair if pair[1] != ""]
        averages = str(self.averages(arm, seed))
        program = [sys.executable, "-m", "bench.noise.run", averages]
        return [*program, *words, "--exist-ok", "--noplots", *ARMS[arm]]

    def averages(self, arm: str, seed: int) -> Path:
        """The file of a run's averages."""
        return self.out / f"{name_of(arm, seed)}.averages"


def name_of(arm: str, seed: int) -> str:
    """The name of a run's folder."""
    return f"{arm.replace(' ', '-')}-{seed}"


def run_and_score(task: tuple[NoiseSettings, str, int]) -> Scores:
    """Make a run and its scores in one thread, unless they are there."""
    settings, arm, seed = task
    folder = settings.out / name_of(arm, seed)
    file = folder / "scores.json"
    if not file.is_file():
        torch.set_num_threads(1)
        with open(f"{folder}.log", "w") as log:
            subprocess.run(
                settings.command(arm, seed), check=True, stdout=log, stderr=log, cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        found = scores_of(
            folder, settings.averages(arm, seed), Scorer(settings.data, settings.imgsz)
        )
        with atomic_write(file, "w") as out:
            json.dump(found, out)
    scores: Scores = json.loads(file.read_text())
    return scores


def spread(values: np.ndarray) -> float:
    """The standard deviation, in points."""
    return float(np.std(values, ddof=1) * 100)


def ratio_interval(values: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """90 % of the ratio of two standard deviations over the same seeds, by resampled seeds."""
    generator = np.random.default_rng(1)
    picks = generator.integers(0, len(values), (4000, len(values)))
    spreads, usual = values[picks].std(1, ddof=1), others[picks].std(1, ddof=1)
    some = usual > 1e-9  # a draw may have one seed only
    ratios = spreads[some] / usual[some]
    low, high = np.quantile(ratios, (0.05, 0.95))
    return float(low), float(high)


def report(table: Mapping[str, Sequence[Scores]]) -> str:
    """The table in Markdown; `table` has the scores of each arm, seed by seed."""
    names = [name for name in table[PLAIN][0] if name != "bootstrap"]
    values = {
        arm: {name: np.array([run[name] for run in runs]) for name in names}
        for arm, runs in table.items()
    }
    others = [arm for arm in table if arm != PLAIN]
    rows = []
    for name in names:
        plain = values[PLAIN][name]
        row = [name, f"{plain.mean() * 100:.2f}", f"{spread(plain):.2f}"]
        for arm in others:
            pair, usual = (values[arm][key] - values[PLAIN][key] for key in (name, USUAL))
            low, high = ratio_interval(pair, usual)
            row.append(
                f"{spread(pair):.2f}, {spread(pair) / max(spread(usual), 1e-9):.2f} times"
                f" ({low:.2f} to {high:.2f})"
            )
        rows.append(row)
    heads = ["score", "mean", "sd of a run", *(f"sd of pairs, {arm}" for arm in others)]
    shares = ", ".join(f"{arm} {test_set_share(table[PLAIN], table[arm]):.2f}" for arm in others)
    return (
        f"{markdown_rows(heads, rows)}\n\nOther test images alone, sd of a pair (bootstrap):"
        f" {shares}.\n"
    )


def test_set_share(plain: Sequence[Scores], arm: Sequence[Scores]) -> float:
    """The mean standard deviation of a paired difference over resampled test sets, in points."""
    spreads = [
        spread(np.array(own["bootstrap"]) - np.array(base["bootstrap"]))
        for base, own in zip(plain, arm, strict=True)
    ]
    return float(np.mean(spreads))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", required=True)
    parser.add_argument("--cfg", default="models/yolov5n.yaml")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--hyp", default="")
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Make all runs, and print the table."""
    flags = parse(argv)
    out = flags.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    settings = NoiseSettings(
        flags.data, flags.cfg, flags.weights, flags.hyp, flags.imgsz, flags.epochs,
        flags.batch_size, out,
    )  # fmt: skip
    tasks = [(settings, arm, seed) for seed in range(flags.seeds) for arm in ARMS]
    table: dict[str, list[Scores]] = {arm: [] for arm in ARMS}
    with ProcessPoolExecutor(flags.jobs) as pool:
        for (_, arm, seed), scores in zip(tasks, pool.map(run_and_score, tasks), strict=True):
            table[arm].append(scores)
            print(f"{arm}, seed {seed}: done", flush=True)
    print(report(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
