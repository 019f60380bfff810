"""Fine-tuning from YOLOv5's COCO weights, beside YOLOv5: python -m bench.finetune …

    python -m bench.finetune --weights yolov5n.pt --yolov5-python yolov5/bin/python \\
        --sets neudet.yaml:224 data/bccd.yaml:320 --out runs/finetune

Both programs get the same flags, the same file of hyperparameters and the same images with YOLO
labels, and compute in float32. One run is made at a time, and those of one seed stand side by
side, so that an interrupted comparison is fair too. A run whose result exists is not made again.
best.pt of each run is scored by both programs. --out receives results.json, table.md and
curves.png.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.beside.machine import ask_versions, cores, processor_name
from bench.beside.programs import OURS, YOLOV5, Program, make_programs
from bench.finetune_report import draw_curves, result_table
from bench.finetune_runs import FinetuneRun, FinetuneSet, FinetuneSettings, Result, make_run
from utils.errors import UserError, run_main
from utils.files import ROOT, atomic_write
from utils.tables import format_seconds


def parse_finetune_flags(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--weights", required=True, help="YOLOv5's checkpoint to start from")
    parser.add_argument("--graph", default="yolov5n", help="YOLOv5's name of its graph")
    parser.add_argument("--yolov5-python", required=True, help="Python that has yolov5==7.0.14")
    parser.add_argument(
        "--sets", nargs="+", required=True, help="data set YAMLs of any format, as FILE:PIXELS"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--threads", type=int, default=cores(), help="of each program")
    parser.add_argument(
        "--hyp",
        type=Path,
        default=ROOT / "data/hyps/hyp.scratch-low.yaml",
        help="hyperparameters of both programs; the default has YOLOv5's own values",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and results")
    return parser.parse_args(argv)


def read_set(text: str) -> FinetuneSet:
    """A data set from FILE:PIXELS; raises UserError if the text has another form."""
    file, _, imgsz = text.rpartition(":")
    if not file or not imgsz.isdecimal():
        raise UserError(f"--sets {text}: write FILE:PIXELS, such as data/bccd.yaml:320")
    return FinetuneSet(Path(file).stem, file, int(imgsz))


def planned_runs(sets: Sequence[FinetuneSet], seeds: Sequence[int]) -> list[FinetuneRun]:
    """All runs, data set after data set, both programs of a seed side by side."""
    return [
        FinetuneRun(one, program, seed)
        for one in sets
        for seed in seeds
        for program in (OURS, YOLOV5)
    ]


def remaining_seconds(runs: Sequence[FinetuneRun], results: Sequence[Result]) -> float:
    """Seconds that the runs without a result will take, by those of the same data set and program.

    Where there is none of these yet, all finished runs are the measure; 0 if there is no run at
    all.
    """
    total = 0.0
    for run in runs[len(results) :]:
        alike = [done.seconds for done in results if done.like(run)]
        known = alike or [done.seconds for done in results]
        total += sum(known) / len(known) if known else 0.0
    return total


def main(argv: Sequence[str] | None = None) -> int:
    flags = parse_finetune_flags(argv)
    out = flags.out.resolve()
    programs = make_programs({YOLOV5: flags.yolov5_python}, out / "programs", flags.threads, "")
    settings = FinetuneSettings(
        Path(flags.weights).resolve(),
        flags.hyp.resolve(),
        flags.graph,
        flags.epochs,
        flags.batch_size,
        flags.workers,
    )
    sets = [read_set(text) for text in flags.sets]
    runs, results = planned_runs(sets, flags.seeds), list[Result]()
    for number, run in enumerate(runs):
        results.append(make_run(run, settings, programs, out))
        left = format_seconds(remaining_seconds(runs, results))
        print(f"{number + 1} of {len(runs)} runs are made; the others take about {left}")
        write_report(out, header_of_finetuning(programs, settings), results)
    print((out / "table.md").read_text())
    return 0


def header_of_finetuning(programs: dict[str, Program], settings: FinetuneSettings) -> str:
    """What holds for all runs."""
    versions = "; ".join(map(ask_versions, programs.values()))
    return (
        f"{settings.weights.name}, {settings.epochs} epochs, batch {settings.batch},"
        f" {settings.hyp.name}, float32 in both programs; {processor_name()}; {versions}"
    )


def write_report(out: Path, header: str, results: Sequence[Result]) -> None:
    """Write results.json, table.md and curves.png of the runs made so far.

    Args:
        out: The folder.
        header: What holds for all runs.
        results: The results.
    """
    lines = ",\n ".join(one.to_json() for one in results)
    for name, text in (
        ("results.json", f"[{lines}]\n"),
        ("table.md", f"{header}\n\n{result_table(results)}\n"),
    ):
        with atomic_write(out / name, "w") as file:
            file.write(text)
    draw_curves(results, out / "curves.png")


if __name__ == "__main__":
    sys.exit(run_main(main))
