"""Does this attention help on my data, and what does it cost? Trains arms x seeds, compares them,
and says so.

    python ablate.py --data D --cfg models/yolov5n.yaml --attention SimAM CBAM GAM --at neck backbone.P5 --seeds 5

main reads in the order of a study: flags, arms and cells, a dry run or the runs themselves, scores,
verdicts, costs, causes, the report. The same command started again goes on where the study stands,
which its folders alone say.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ablation import folder as study_folder
from ablation.board import Board
from ablation.causes import explain
from ablation.costs import add_training, measure_costs
from ablation.engines import ENGINES
from ablation.estimate import estimate_seconds, measure_pace
from ablation.report.write import write_report
from ablation.setup import check_arms, make_slots, settle
from ablation.statistics.verdicts import baseline_seeds, compare, futile, noise
from ablation.study import (
    PLAIN,
    Arm,
    Cell,
    StudyConfig,
    StudyResult,
    is_due,
    make_arms,
    make_cells,
    read_cells,
    read_failures,
    read_scores,
    state,
)
from utils.cli import read_flags
from utils.errors import run_main
from utils.signals import StopRequested
from utils.tables import format_seconds, text_table

REFUSED = {
    "--resume": "is not needed; the same command started again goes on with the study",
    "--exist-ok": "is not needed; the same command started again goes on with the study",
    "--no-aa": "use --aa 0",
    "--seed": "use --first-seed and --seeds",
}


def main(argv: list[str] | None = None) -> StudyResult | None:
    """Run a study, or go on with it, and write its report.

    Exits with 1 if some cells failed, 130 or 143 if stopped.
    """
    argv = join_train(sys.argv[1:] if argv is None else argv)
    config = settle(
        StudyConfig(**read_flags(StudyConfig, argv, "Does this attention help?", REFUSED))
    )
    arms = make_arms(config)
    check_arms(config, arms)
    config = dataclasses.replace(
        config, baseline_seeds=config.baseline_seeds or choose_baseline_seeds(config, arms)
    )
    cells = make_cells(config, arms)
    if config.dry_run:
        print(foretell(config, arms, cells))
        return None
    with study_folder.locked(config.folder):
        study = study_folder.open_study(config)
        try:
            stopped = run_cells(config, cells)
        except StopRequested as request:
            print(f"\nstopped; go on with: {shlex.join(['python', 'ablate.py', *argv])}")
            sys.exit(request.status)
        facts = study_folder.provenance(config, study, argv)
        result = summarise(config, arms, cells, {**facts, **stopped})
        write_report(result, config.folder)
    if result.failed:
        sys.exit(1)
    return result


def join_train(argv: Sequence[str]) -> list[str]:
    """--train "--cos-lr" as --train=--cos-lr: what looks like a flag is its value all the same."""
    words = list(argv)
    for place in range(len(words) - 2, -1, -1):
        if words[place] == "--train":
            words[place : place + 2] = [f"--train={words[place + 1]}"]
    return words


def choose_baseline_seeds(config: StudyConfig, arms: Sequence[Arm]) -> int:
    return baseline_seeds(sum(bool(arm.attention) for arm in arms), config.seeds)


def run_cells(config: StudyConfig, cells: Sequence[Cell]) -> dict[str, str]:
    """Run what is not done yet; with --futility seed by seed. {"stopped": names} of arms that were
    given up.

    Raises UserError for a finished cell that is damaged.
    """
    read_cells(cells)  # what is damaged is told before days are spent
    hopeless: set[str] = set()
    controls = [cell.arm.name for cell in cells if cell.arm.is_aa]
    board = Board(len(cells), sum(state(cell) == "done" for cell in cells), config.epochs)
    try:
        for number, block in enumerate(blocks(config, cells)):
            due = [cell for cell in block if is_due(cell) and cell.arm.name not in hopeless]
            if due:
                ENGINES[config.engine](due, config, board)
            known = read_scores(cell for cell in cells if cell.seed <= config.first_seed + number)
            if config.futility and known.get(PLAIN):
                found = futile(known, PLAIN, config.margin, config.seeds, controls) - hopeless
                hopeless |= found
                for name in sorted(found):
                    board.say(
                        f"{name}: stopped after {number + 1} seeds, hardly a chance is left that it"
                        " helps"
                    )
    finally:
        board.close()
    return {"stopped": ", ".join(sorted(hopeless))} if hopeless else {}


def blocks(config: StudyConfig, cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """The cells of one seed after the other if arms may be stopped between them, so that whatever
    is decided does not depend on which cell ends first; else all at once."""
    if not config.futility:
        yield list(cells)
        return
    for seed in sorted({cell.seed for cell in cells}):
        yield [cell for cell in cells if cell.seed == seed]


def summarise(
    config: StudyConfig, arms: Sequence[Arm], cells: Sequence[Cell], facts: dict[str, Any]
) -> StudyResult:
    """What the finished cells say together."""
    results, scores = read_cells(cells), read_scores(cells)
    controls = [arm.name for arm in arms if arm.is_aa]
    verdicts = compare(scores, PLAIN, config.margin, controls=controls) if scores.get(PLAIN) else []
    by_name = {verdict.arm: verdict for verdict in verdicts}
    device = make_slots(config)[0].device
    costs = measure_costs(
        dataclasses.replace(config, device=device), arms, config.folder / "costs.json"
    )
    causes = {
        arm.name: explain(arm, results, by_name.get(arm.name), config.weights) for arm in arms
    }
    return StudyResult(
        config, arms, results, read_failures(cells), verdicts,
        noise(scores, PLAIN, controls) if verdicts else None,
        add_training(costs, results), causes, facts,
    )  # fmt: skip


def foretell(config: StudyConfig, arms: Sequence[Arm], cells: Sequence[Cell]) -> str:
    """The table of --dry-run: arms, their costs, and the time that all cells would take."""
    slots = make_slots(config)
    costs = measure_costs(dataclasses.replace(config, device=slots[0].device), arms)
    pace = measure_pace(config, slots[0])
    rows = []
    for arm in arms:
        cost, own = costs[arm.name], [cell for cell in cells if cell.arm == arm]
        ratio = cost.latency_ratio or 1.0
        rows.append(
            [
                arm.name,
                len(own),
                cost.parameters,
                f"{cost.gflops:.2f}",
                f"{cost.latency_ms or 0:.1f}",
                f"{ratio:.2f}",
                format_seconds(ratio * pace.epoch * config.epochs),
            ]
        )
    table = text_table(
        ["arm", "cells", "parameters", "GFLOPs", "latency ms", "ratio", "time a cell"], rows
    )
    total = format_seconds(estimate_seconds(config, cells, costs, pace))
    return (
        f"{table}\n\n{len(cells)} cells of {config.epochs} epochs, {config.imgsz} px, batch"
        f" {config.batch_size}, {len(slots)} at a time: about {total}.\nEstimated from a few"
        f" batches of the plain graph ({pace.device}; {1000 * pace.train:.1f} ms a image) times"
        " each arm's latency ratio, with a forward pass for each image of validation; left out"
        " is what starting takes, and what cells side by side take from each other. Nothing was"
        " trained."
    )


if __name__ == "__main__":
    sys.exit(run_main(main))
