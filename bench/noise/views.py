"""Whether more views of the validation images lower the noise of a study that is there.

    python -m bench.noise.views STUDY --data my.yaml --imgsz 192

scores the runs of a study of ablate.py again: by the usual view of the images, mirrored, and at two
other sizes. It prints the standard deviation of the paired difference from the plain graph by one
view, by two and by all, pooled over the arms. Scores are kept in OUT, so that it continues.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ablation.study import PLAIN
from bench.markdown_table import markdown_rows
from bench.noise.scores import Scorer, named
from models.weights.load import load_model
from utils.files import atomic_write
from utils.text import counted

Table = Mapping[str, Mapping[int, Sequence[float]]]  # arm, seed, scores of the views


def score_cells(study: Path, scorer: Scorer, kept: Path) -> Table:
    """The scores of all finished runs; `kept` is the file that remembers them."""
    known = json.loads(kept.read_text()) if kept.is_file() else {}
    for folder in sorted((study / "cells").iterdir()):
        weights = folder / "weights" / "best.pt"
        if folder.name not in known and (folder / "metrics.json").is_file():
            known[folder.name] = scorer.views(load_model(weights).eval())[1]
            with atomic_write(kept, "w") as file:
                json.dump(known, file)
    table: dict[str, dict[int, Sequence[float]]] = {}
    for name, views in known.items():
        arm, _, seed = name.rpartition("_seed")
        table.setdefault(arm, {})[int(seed)] = views
    return table


def pooled_spreads(table: Table) -> dict[str, np.ndarray]:
    """By the name of the score: the variance of each arm's paired differences, in points²."""
    found: dict[str, list[float]] = {}
    for arm, seeds in table.items():
        pairs = sorted(set(seeds) & set(table.get(PLAIN, {})))
        if arm != PLAIN and len(pairs) > 1:
            own = [named("usual", seeds[seed]) for seed in pairs]
            plain = [named("usual", table[PLAIN][seed]) for seed in pairs]
            for name in own[0]:
                gaps = [float(a[name]) - float(b[name]) for a, b in zip(own, plain, strict=True)]  # type: ignore[arg-type]
                found.setdefault(name, []).append(float(np.var(gaps, ddof=1)) * 1e4)
    return {name: np.array(values) for name, values in found.items()}


def report(table: Table) -> str:
    """The table in Markdown.

    There is no interval of the ratios: all pairs have the plain graph's runs in common, so that
    resampled arms would give far too narrow ones.
    """
    variances = pooled_spreads(table)
    if not variances:
        return "no arm has two seeds in common with the plain graph\n"
    usual = variances["usual"]
    rows = [
        [
            name, f"{np.sqrt(own.mean()):.2f}", f"{np.sqrt(np.median(own)):.2f}",
            f"{np.sqrt(own.mean() / usual.mean()):.2f}",
        ]
        for name, own in variances.items()
    ]  # fmt: skip
    heads = ["score", "sd of a pair, pooled", "median over arms", "of the usual"]
    return f"{counted(len(usual), 'arm')}\n\n{markdown_rows(heads, rows)}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Score what is not scored yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--imgsz", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="file of the scores, JSON")
    flags = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(report(score_cells(flags.study, Scorer(flags.data, flags.imgsz), flags.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
