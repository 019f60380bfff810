"""This project beside YOLOv5 and Ultralytics: python -m bench.beside --out table.json …

The programs are started by the commands that users type, in turn, A B A B, so that a slower hour of
the machine affects both, and are timed from outside. Each original needs an environment of its own:
    python -m venv yolov5
    yolov5/bin/pip install "setuptools<80" "numpy<2.3" torch torchvision yolov5==7.0.14
    python -m bench.beside --yolov5-python yolov5/bin/python --yolov5-weights yolov5n.pt \\
        --data coco128.yaml --parts train val --out table.json

--out also writes the table as Markdown, and keeps what the file holds of other parts, cases and
kinds of processor. --isa AVX512_CORE withholds bf16 instructions from all programs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.beside.bench import CONDITIONS, Bench, GraphCase
from bench.beside.comparison import (
    comparison_table,
    merge,
    read_comparisons,
    write_comparisons,
)
from bench.beside.evaluation import evaluation_part
from bench.beside.loader import loader_part
from bench.beside.machine import ask_versions, cores, processor_kind, processor_name
from bench.beside.parts import detect_part, start_part, train_part, val_part
from bench.beside.programs import ULTRALYTICS, YOLOV5, make_programs
from bench.beside.scan import scan_part
from utils.errors import run_main

PARTS = {
    "train": train_part,
    "val": val_part,
    "detect": detect_part,
    "start": start_part,
    "loader": loader_part,
    "scan": scan_part,
    "evaluation": evaluation_part,
}
CASES = ("yolov5n:320:16", "yolov5s:640:8", "yolov8n:320:16")
CONDITION_LEGEND = """\
Every program computes with {threads} threads and may start {workers} loader processes. "float32,
images in memory": this project is given --precision fp32, and all programs --cache ram. "own
defaults": without these flags this project computes in bf16 where the processor multiplies it and
keeps decoded images in memory if they fit; the originals compute in float32 on a processor and read
each image anew. Ultralytics takes one thread less than there are cores, so it is told of one core
more. YOLOv5 gets back two functions that numpy and Pillow have removed. Checkpoints of the
originals are pickled models: TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 for them.
On a busy machine YOLOv5 leaves images of val without boxes, as its suppression has a time limit.
Throughput of a training: the median of its epochs but the first and the last; of val and detect:
from the difference of a long and a short run; of a loader: one thread, no loader processes, by the
processor's time. Scan and evaluation measure themselves after their imports. Memory: the largest
sum over all processes of a program."""


def parse_flags(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.beside", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--yolov5-python", help="Python that has yolov5==7.0.14")
    parser.add_argument("--ultralytics-python", help="Python that has ultralytics")
    parser.add_argument("--yolov5-weights", help="YOLOv5's checkpoint for val and detect")
    parser.add_argument("--ultralytics-weights", help="the same of Ultralytics")
    parser.add_argument("--data", default="data/coco128.yaml", help="data set YAML of any format")
    parser.add_argument(
        "--cases", nargs="+", default=list(CASES), help="graphs, as NAME:PIXELS:BATCH"
    )
    parser.add_argument(
        "--conditions", nargs="+", choices=list(CONDITIONS), default=list(CONDITIONS)
    )
    parser.add_argument("--threads", type=int, default=cores(), help="of each program")
    parser.add_argument("--isa", default="", help="value of ONEDNN_MAX_CPU_ISA for all programs")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program")
    parser.add_argument("--epochs", type=int, default=4, help="of a training, at least 3")
    parser.add_argument("--images", type=int, default=128, help="to train on, or to score")
    parser.add_argument("--frames", type=int, default=500, help="of the film")
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--scanned", type=int, default=20_000, help="images of the scan")
    parser.add_argument("--out", type=Path, help="JSON file for the comparisons")
    flags = parser.parse_args(argv)
    if flags.epochs < 3:
        parser.error("--epochs must be at least 3: the first and the last are not counted")
    return flags


def make_bench(flags: argparse.Namespace, scratch: Path) -> Bench:
    """The comparison that the flags ask for; scratch is a folder for its files."""
    pythons = {YOLOV5: flags.yolov5_python, ULTRALYTICS: flags.ultralytics_python}
    weights = {YOLOV5: flags.yolov5_weights, ULTRALYTICS: flags.ultralytics_weights}
    return Bench(
        make_programs(pythons, scratch, flags.threads, flags.isa),
        processor_kind(flags.isa),
        flags.data,
        [GraphCase.read(text) for text in flags.cases],
        {name: str(Path(file).resolve()) for name, file in weights.items() if file},
        flags.rounds,
        flags.epochs,
        flags.images,
        flags.frames,
        flags.workers,
        flags.scanned,
        tuple(CONDITIONS[name] for name in flags.conditions),
        bool(flags.isa),
    )


def header_of(bench: Bench, flags: argparse.Namespace) -> str:
    """What holds for all rows of the table."""
    lines = [
        f"{processor_name()}, {cores()} cores; measured on {time.strftime('%Y-%m-%d %H:%M')}",
        *map(ask_versions, bench.programs.values()),
    ]
    legend = CONDITION_LEGEND.format(threads=flags.threads, workers=flags.workers)
    return "\n\n".join(("  \n".join(lines), legend))


def main(argv: Sequence[str] | None = None) -> int:
    flags = parse_flags(argv)
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        bench = make_bench(flags, Path(folder))
        header = header_of(bench, flags)
        done = read_comparisons(flags.out) if flags.out else []
        for part in flags.parts:
            for comparison in PARTS[part](bench):
                done = merge(done, [comparison])
                if flags.out:
                    write_comparisons(flags.out, header, done)
    print(header, comparison_table(done), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
