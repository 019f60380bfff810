"""What a search leaves: best_hyp.yaml, the table of trials, the chart, and how to confirm it.

Each file is written after every trial, so that a look at them needs no end of the search.
"""

from __future__ import annotations

import csv
import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from engine.tuning.chart import Point, draw_search
from engine.tuning.start import Start
from engine.tuning.study import best_of, current, importance
from utils.files import atomic_write
from utils.tables import text_table
from utils.text import counted, csv_cell

BEST_FILE = "best_hyp.yaml"
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
CONFIRMING_SEEDS = "1 2 3 4 5"
SHOWN = 10  # trials of the table in the terminal


def fitness_of(trial: FrozenTrial) -> float | None:
    """The fitness of a finished trial, or the highest one that another has reached."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    return max(trial.intermediate_values.values(), default=None)


def rows_of(trials: Sequence[FrozenTrial], names: Sequence[str]) -> list[list[object]]:
    """A row for each trial: number, state, fitness, epochs, seconds, note, values."""
    rows = []
    for one in trials:
        seconds = one.duration.total_seconds() if one.duration else None
        epochs = len(one.intermediate_values)
        note = " ".join(str(one.user_attrs.get("note", "")).split())
        values = [one.params.get(name) for name in names]
        rows.append(
            [one.number, STATES[one.state], fitness_of(one), epochs, seconds, note, *values]
        )
    return rows


HEADERS = ("trial", "state", "fitness", "epochs", "seconds", "note")


def write_best(start: Start, best: FrozenTrial) -> Path:
    """Write best_hyp.yaml, which train.py takes as --hyp; return its path."""
    path = start.search.folder / BEST_FILE
    hyp = start.hyp_of(best.params)
    lines = (
        f"The best of the trials so far, number {best.number}: fitness {best.value:.5f} after",
        f"{len(best.intermediate_values)} of {start.config.epochs} epochs. Use it with",
        f"--optimizer {start.config.optimizer}. One run is no proof; see `python tune.py --help`.",
    )
    with atomic_write(path, "w") as file:
        file.write("".join(f"# {line}\n" for line in lines))
        yaml.safe_dump(dataclasses.asdict(hyp), file, sort_keys=False)
    return path


def write_report(start: Start, study: optuna.Study) -> None:
    """Write the table (CSV and text), the best values and the chart of a search."""
    folder, names, trials = start.search.folder, list(start.ranges), current(study)
    rows = rows_of(trials, names)
    with atomic_write(folder / "trials.csv", "w") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADERS, *names])
        writer.writerows([[csv_cell(cell) for cell in row] for row in rows])
    with atomic_write(folder / "trials.txt", "w") as file:
        file.write(text_table([*HEADERS, *names], rows) + "\n")
    best = best_of(study)
    if best is not None:
        write_best(start, best)
    points = [
        Point(one.number, STATES[one.state], value)
        for one in trials
        if one.state.is_finished() and (value := fitness_of(one)) is not None
    ]
    if points and not start.search.noplots:
        draw_search(folder / "tune.png", points, importance(study, start.ranges))


def summary(start: Start, study: optuna.Study) -> str:
    """The final lines: how many trials ended how, the best ones, and the command that confirms."""
    folder, trials, best = start.search.folder, current(study), best_of(study)
    counts = [sum(one.state == state for one in trials) for state in STATES]
    parts = [
        f"{count} {word}" for count, word in zip(counts, STATES.values(), strict=True) if count
    ]
    lines = [f"\n{counted(len(trials), 'trial')}: {', '.join(parts)}"]
    if best is None:
        lines.append(f"No trial was completed; {folder / 'trials.txt'} says why of each.")
        return "\n".join(lines)
    done = sorted(
        (one for one in trials if one.state == TrialState.COMPLETE),
        key=lambda one: (-(one.value or 0.0), one.number),
    )
    lines += [text_table(HEADERS, [row[:6] for row in rows_of(done[:SHOWN], [])]), ""]
    lines.append(f"Best: trial {best.number}, fitness {best.value:.4f}{_beside(trials, best)}")
    lines.append(f"Its hyperparameters: {folder / BEST_FILE}; all trials: {folder / 'trials.txt'}")
    return "\n".join([*lines, *how_to_confirm(start)])


def _beside(trials: Sequence[FrozenTrial], best: FrozenTrial) -> str:
    first = next((one for one in trials if one.user_attrs.get("note") == "starting values"), None)
    if first is None or first.value is None:
        return ""
    if first.number == best.number:
        return "; these are the starting values, so no trial was better than them"
    return f"; the starting values (trial {first.number}) reached {first.value:.4f}"


def how_to_confirm(start: Start) -> list[str]:
    """Why the best trial is no proof, and the commands that show whether it is better."""
    tuned = start.command(str(start.search.folder / BEST_FILE))
    place = f"runs/train/{start.search.name}"
    plain_name, tuned_name = (shlex.quote(f"{start.search.name}-{kind}-") for kind in "ab")
    return [
        "Each trial is one run, and the best of many runs is also the luckiest one: a difference"
        " of one seed is no proof.",
        "Compare both over seeds that the search has not used, a with the starting values and b"
        " with the best:",
        f"  for seed in {CONFIRMING_SEEDS}; do",
        f"    {start.command()} --seed $seed --name {plain_name}$seed",
        f"    {tuned} --seed $seed --name {tuned_name}$seed",
        "  done",
        f"  python compare.py {shlex.quote(place)}-a-* {shlex.quote(place)}-b-*",
    ]
