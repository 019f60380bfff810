"""Run a study of arms and seeds: which attention helps on my data, and what does it cost?

    python ablate.py --data D --cfg models/yolov5n.yaml --attention SimAM CBAM GAM \
        --at neck backbone.P5 --seeds 5

main has the order of a study: flags, arms and cells, then either a dry run or the runs, then
scores, verdicts, costs, causes and the report. The same command continues an interrupted study,
whose progress is kept in its folders only.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

if __name__ == "__main__":  # before the other imports, which take seconds
    from ablation.config import STUDY_LINE
    from utils.opening import open_program

    open_program(STUDY_LINE)

from ablation import folder as study_folder
from ablation.board import Board
from ablation.causes import explain_arm
from ablation.config import StudyConfig, join_train, read_config
from ablation.costs import add_training, measure_costs
from ablation.engines import ENGINES
from ablation.estimate import estimate_seconds, measure_pace
from ablation.looks import judge_looks, run_looks
from ablation.report.write import write_report
from ablation.results import (
    StudyResult,
    is_due,
    read_cells,
    read_failures,
    read_scores,
    set_damaged_aside,
    state,
)
from ablation.setup import check_arms, fill_in, make_slots
from ablation.statistics.planning import baseline_seeds, futile
from ablation.statistics.scores import noise
from ablation.statistics.sequential import MOST_TIMES, Looks
from ablation.statistics.verdicts import ArmVerdict, compare_arms
from ablation.study import PLAIN, Arm, Cell, make_arms, make_cells
from models.graph.own_files import use_modules
from utils.errors import run_main
from utils.signals import StopRequested
from utils.tables import format_seconds, text_table
from utils.text import counted


def main(argv: list[str] | None = None) -> StudyResult | None:
    """Run a study, or continue it, and write its report.

    Exits with 1 if some runs failed, and with 130 or 143 if it was stopped.
    """
    argv = join_train(sys.argv[1:] if argv is None else argv)
    config = read_config(argv)
    use_modules(config.modules)
    config = fill_in(config)
    arms = make_arms(config)
    check_arms(config, arms)
    config = dataclasses.replace(
        config, baseline_seeds=config.baseline_seeds or choose_baseline_seeds(config, arms)
    )
    if config.dry_run:
        print(preview(config, arms, make_cells(config, arms)))
        return None
    cells = make_cells(config, arms, MOST_TIMES if config.adaptive else 1)
    # A dry run has ended above, so it leaves no folder.
    with study_folder.locked(config.folder):
        study = study_folder.open_study(config)
        try:
            stopped, looks = run_study(config, arms, cells)
        except StopRequested as request:
            print(f"\nstopped; continue with: {shlex.join(['python', 'ablate.py', *argv])}")
            sys.exit(request.status)
        facts = study_folder.provenance(config, study, argv)
        if stopped:
            facts["stopped"] = ", ".join(sorted(stopped))
        result = evaluate_study(config, arms, cells, facts, looks, stopped)
        write_report(result, config.folder)
    if result.failed:
        sys.exit(1)
    return result


def choose_baseline_seeds(config: StudyConfig, arms: Sequence[Arm]) -> int:
    """The number of baseline runs for a study whose user did not choose one."""
    return baseline_seeds(sum(bool(arm.attention) for arm in arms), config.seeds)


def run_study(
    config: StudyConfig, arms: Sequence[Arm], cells: Sequence[Cell]
) -> tuple[set[str], Looks | None]:
    """Run what is not done yet. Returns what run_cells returns, and the looks if there are any.

    Args:
        config: the flags.
        arms: the baseline first.
        cells: the cells that may be needed.
    """
    if not config.looks:
        return run_cells(config, cells), None
    for sentence in set_damaged_aside(cells):
        print(sentence)
    planned = len(make_cells(config, arms))
    board = Board(planned, sum(state(cell) == "done" for cell in cells), config.epochs)
    try:
        run = partial(ENGINES[config.engine], config=config, board=board)
        return set(), run_looks(config, arms, cells, run, board.say)
    finally:
        board.close()


def run_cells(config: StudyConfig, cells: Sequence[Cell]) -> set[str]:
    """Run the cells that are not done yet, seed by seed if --futility is given.

    Returns the names of arms that were stopped for futility. A finished cell that is damaged is run
    again.
    """
    for sentence in set_damaged_aside(cells):
        print(sentence)
    hopeless: set[str] = set()
    controls = [cell.arm.name for cell in cells if cell.arm.is_aa]
    board = Board(len(cells), sum(state(cell) == "done" for cell in cells), config.epochs)
    try:
        for number, block in enumerate(seed_blocks(config, cells)):
            due = [cell for cell in block if is_due(cell) and cell.arm.name not in hopeless]
            if due:
                ENGINES[config.engine](due, config, board)
            known = read_scores(cell for cell in cells if cell.seed <= config.first_seed + number)
            # If the baseline's runs failed, there is nothing to compare with yet.
            if config.futility and known.get(PLAIN):
                found = futile(known, PLAIN, config.margin, config.seeds, controls) - hopeless
                hopeless |= found
                for name in sorted(found):
                    board.say(
                        f"{name}: stopped after {counted(number + 1, 'seed')}, because it has"
                        " hardly a chance"
                        " left of being shown to help"
                    )
    finally:
        board.close()
    return hopeless


def seed_blocks(config: StudyConfig, cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """The cells in blocks of one seed if arms may be stopped, else in a single block.

    Arms are stopped between blocks only, so that it does not matter which cell ends first.
    """
    if not config.futility:
        yield list(cells)
        return
    for seed in sorted({cell.seed for cell in cells}):
        yield [cell for cell in cells if cell.seed == seed]


def evaluate_study(
    config: StudyConfig,
    arms: Sequence[Arm],
    cells: Sequence[Cell],
    facts: Mapping[str, str],
    looks: Looks | None = None,
    stopped: Collection[str] = (),
) -> StudyResult:
    """Evaluate the finished cells: scores, verdicts, costs and causes.

    Args:
        config: the flags.
        arms: the baseline first.
        cells: the cells of all arms, finished or not.
        facts: what is needed to repeat the study, by name.
        looks: the looks taken; None if the study is judged once.
        stopped: names of arms that were stopped for futility.

    Raises:
        UserError: a finished cell is damaged.
    """
    results, scores = read_cells(cells), read_scores(cells)
    controls = [arm.name for arm in arms if arm.is_aa]
    verdicts: list[ArmVerdict] = []
    if looks:
        verdicts = judge_looks(config, cells, looks, controls)
    elif scores.get(PLAIN):
        verdicts = compare_arms(scores, PLAIN, config.margin, controls=controls)
    by_name = {verdict.arm: verdict for verdict in verdicts}
    costs = measure_costs(config, arms, config.folder / "costs.json")
    return StudyResult(
        config,
        arms,
        results,
        failed=read_failures(cells),
        verdicts=verdicts,
        noise=noise(scores, PLAIN, controls) if verdicts else None,
        costs=add_training(costs, results),
        causes={
            arm.name: explain_arm(arm, results, by_name.get(arm.name), config.weights)
            for arm in arms
        },
        provenance=facts,
        looks=looks,
        stopped=stopped,
    )


def preview(config: StudyConfig, arms: Sequence[Arm], cells: Sequence[Cell]) -> str:
    """The text of --dry-run: the arms, their costs, and the time that all runs would take.

    Args:
        config: the flags.
        arms: the baseline first.
        cells: the cells of all arms.
    """
    slots = make_slots(config)
    costs = measure_costs(config, arms)
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
        ["arm", "runs", "parameters", "GFLOPs", "latency ms", "ratio", "time a run"], rows
    )
    total = format_seconds(estimate_seconds(config, cells, costs, pace))
    return (
        f"{table}\n\n{'at most ' * bool(config.looks)}{counted(len(cells), 'run')} of"
        f" {counted(config.epochs, 'epoch')},"
        f" {config.imgsz} px, batch"
        f" {config.batch_size}, {len(slots)} at a time: about {total}.\nEstimated from a few"
        f" batches of the baseline ({pace.device}; {1000 * pace.train:.1f} ms an image) times"
        " each arm's latency ratio, with a forward pass for each image of validation. The start of"
        " a run is not counted, nor how much runs at the same time slow each other down. Nothing"
        " was trained."
    )


if __name__ == "__main__":
    sys.exit(run_main(main))
