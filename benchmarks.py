"""Export a checkpoint to every format, score and time the files, and print one table.

    python benchmarks.py --weights runs/train/exp/weights/best.pt --data my.yaml

Every format is scored on the same square images of the validation split, in the same precision, by
the loop of val.py, and compared with the checkpoint. With --data there is a line for ONNX in eight
bits too, whose ranges its training images show. Milliseconds are those of the network alone, per
image, after one batch that is not counted. The files and benchmarks.csv stay in a folder below
runs/benchmarks.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # before the other imports, which take seconds
    from engine.export.benchmark_settings import BENCHMARK_LINE
    from utils.opening import open_program

    open_program(BENCHMARK_LINE)

import torch

from data.index import DatasetIndex
from data.scanning.load import load_dataset
from engine.detector_model import DetectorModel, in_half
from engine.evaluation.evaluate import evaluate
from engine.evaluation.settings import ValConfig
from engine.evaluation.tasks import ValidationTask, eval_settings, make_loader
from engine.export.benchmark_settings import BENCHMARK_LINE, BenchmarkConfig
from engine.export.formats import CONVERTERS, EXPORTERS
from engine.export.settings import ExportConfig
from engine.exported.load import load_exported
from export import export, size_mb
from models.graph.own_files import use_modules
from models.weights.load import find_weights, load_model, newest_best
from utils.cli import build
from utils.device import choose_half, describe_device, take_device
from utils.errors import UserError, run_main
from utils.files import atomic_write, next_folder
from utils.sizes import side_step, whole_side
from utils.tables import text_table
from utils.text import counted, csv_cell
from val import check_classes, trained_on

CHECKPOINT, INT8 = "pytorch", "onnx int8"
MOST_APART = 0.001  # mAP50-95
HEADERS = ("format", "MB", "mAP50", "mAP50-95", "difference", "ms per image", "note")


@dataclass(frozen=True)
class FormatRow:
    """A line of the table; None stands for what was not measured.

    Attributes:
        name: The format.
        megabytes: Of its files.
        map50, map: In 0..1.
        apart: Its mAP50-95 less that of the checkpoint.
        milliseconds: Of the network, per image.
        note: Why it could not be made, or what a reader must know.
        failed: Whether a format of this project could not be made or scored.
        exact: Whether its scores should be those of the checkpoint.
    """

    name: str
    megabytes: float | None = None
    map50: float | None = None
    map: float | None = None
    apart: float | None = None
    milliseconds: float | None = None
    note: str = ""
    failed: bool = False
    exact: bool = True

    def cells(self) -> tuple[object, ...]:
        """The values of HEADERS."""
        apart = "" if self.apart is None else f"{self.apart:+.4f}"
        numbers = (self.megabytes, self.map50, self.map)
        rounded = (None if one is None else round(one, 4) for one in numbers)
        return (self.name, *rounded, apart, self.milliseconds, self.note)


class Bench:
    """What all formats share: the checkpoint, the labelled images, the device and the folder."""

    def __init__(self, config: BenchmarkConfig) -> None:
        use_modules(config.modules)
        self.config, self.weights = config, config.weights or str(newest_best())
        self.path = find_weights(self.weights)
        self.device = take_device(config.device)
        self.index, self.val = self._labelled()
        self.model = load_model(self.path, fuse=False)
        self.side = whole_side(config.imgsz, side_step(self.model.stride))
        self.folder = next_folder(config.project, config.name, config.exist_ok)

    def _labelled(self) -> tuple[DatasetIndex | None, ValConfig]:
        """The validation images and the flags of val.py; no images with --test."""
        data = self.config.data or ("" if self.config.test else trained_on(self.weights))
        config = build(
            ValConfig,
            {
                "weights": (self.weights,),
                "data": data,
                "batch_size": self.config.batch_size,
                "workers": self.config.workers,
                "noplots": True,
            },
        )
        return None if self.config.test else load_dataset(data, "val"), config

    def export(self, name: str) -> Path:
        """Write the file of a format, or of INT8, into the folder."""
        int8 = name == INT8
        flags = ExportConfig(
            include=("onnx" if int8 else name,),
            imgsz=(self.side,),
            batch_size=self.config.batch_size,
            device=self.config.device,
            half=self.config.half,
            int8=int8,
            data=self.config.data if int8 else "",
        )
        with torch.inference_mode(False):
            return export(self.model, flags, self.folder / self.path.name)[0]

    @property
    def conditions(self) -> str:
        """What the scores and times of the table were measured on."""
        own = choose_half(self.device) if self.config.half else "fp32"
        theirs = "fp16" if self.config.half else "fp32"
        precision = own if own == theirs else f"{CHECKPOINT} in {own}, the files in {theirs}"
        images = f"{counted(len(self.index or ()), 'image')} of {self.side}x{self.side}"
        threads = counted(torch.get_num_threads(), "thread")
        return f"{images}, batches of {self.config.batch_size}, {precision}, {threads}"

    def score(self, model: DetectorModel, halved: bool = False) -> FormatRow:
        """The scores and milliseconds of a detector on the validation images."""
        assert self.index is not None  # with --test nothing is scored
        model, _ = check_classes(model, self.index, self.val)
        config = dataclasses.replace(self.val, half=halved)
        task = ValidationTask(config, model, "", self.index, self.folder)
        loader = make_loader(task, self.side, square=True)
        images = torch.zeros(self.config.batch_size, model.channels, self.side, self.side)
        with torch.no_grad():
            model(images.to(self.device, next(iter(model.parameters()), images).dtype))
        settings = dataclasses.replace(eval_settings(config, task.precision), quiet=True)
        metrics = evaluate(model, loader, settings)
        time = metrics.speed_ms["inference"]
        return FormatRow("", None, metrics.map50, metrics.map, None, time)


def checkpoint_row(bench: Bench) -> FormatRow:
    """Score the checkpoint itself."""
    size = size_mb(bench.path)
    if bench.config.test:
        return FormatRow(CHECKPOINT, size)
    model = load_model(bench.path, bench.device)
    halved = bench.config.half and in_half(model, bench.device) != "fp32"
    found = bench.score(model, halved)
    return dataclasses.replace(found, name=CHECKPOINT, megabytes=size, apart=0.0)


def format_row(bench: Bench, name: str, reference: FormatRow) -> FormatRow:
    """Export to a format and score the file; a failure becomes the note of the row."""
    try:
        path = bench.export(name)
        size = size_mb(path)
        if bench.config.test:
            return FormatRow(name, size)
        found = bench.score(load_exported(path, bench.device))
    except UserError as error:
        return FormatRow(name, note=str(error), failed=True)
    apart = (found.map or 0.0) - (reference.map or 0.0)
    apart50, exact = (found.map50 or 0.0) - (reference.map50 or 0.0), name != INT8
    notes = [] if exact else ["convolutions in eight bits"]
    if abs(apart) > MOST_APART:
        notes.append(f"differs by more than {MOST_APART}")
    if abs(apart50) > MOST_APART:  # of few objects a tie of two scores is enough
        notes.append(f"mAP50 differs by {apart50:+.4f}")
    return dataclasses.replace(
        found, name=name, megabytes=size, apart=apart, note=", ".join(notes), exact=exact
    )


def benchmark(
    config: BenchmarkConfig, say: Callable[[str], None] = print
) -> tuple[list[FormatRow], Path]:
    """Export, score and time every format.

    Returns the rows and the folder of the files. Raises UserError if the checkpoint or the data set
    cannot be used.
    """
    bench = Bench(config)
    say(describe_device(bench.device))
    rows = [checkpoint_row(bench)]
    for name in formats_of(config):
        rows.append(format_row(bench, name, rows[0]))
    if not config.pt_only:
        rows += [FormatRow(name, note=f"not made here: {how}") for name, how in CONVERTERS.items()]
    write_rows(bench.folder / "benchmarks.csv", rows)
    say(text_table(HEADERS, [row.cells() for row in rows], max_width=70))
    if not config.test:
        say(bench.conditions)
    say(f"Results saved to {bench.folder}")
    return rows, bench.folder


def formats_of(config: BenchmarkConfig) -> list[str]:
    """The formats that the flags ask for; eight bits need --data, and are none of --half."""
    names = [] if config.pt_only else list(EXPORTERS)
    if config.data and not config.half and "onnx" in names:
        names.insert(names.index("onnx") + 1, INT8)
    return names


def write_rows(path: Path, rows: list[FormatRow]) -> None:
    """Write the table as CSV."""
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADERS)
        writer.writerows(map(_csv_cells, rows))


def _csv_cells(row: FormatRow) -> list[object]:
    numbers = (row.megabytes, row.map50, row.map, row.apart, row.milliseconds)
    return [row.name, *("" if one is None else one for one in numbers), csv_cell(row.note)]


def failures(config: BenchmarkConfig, rows: list[FormatRow]) -> list[str]:
    """Why --hard-fail ends with status 1: a line for each reason."""
    lines = [f"{row.name}: {row.note}" for row in rows if row.failed]
    if not config.half:  # a rounded score may swap boxes
        exact = [row for row in rows if row.exact and row.apart is not None]
        wide = [row for row in exact if abs(row.apart or 0) > MOST_APART]
        lines += [f"{row.name}: mAP50-95 differs by {row.apart:+.4f}" for row in wide]
    low = [row for row in rows if row.map is not None and row.map < config.least_map]
    return lines + [f"{row.name}: mAP50-95 is below {config.hard_fail}" for row in low]


def main(argv: list[str] | None = None) -> int:
    """Read the flags and run; return the exit status."""
    config = build(BenchmarkConfig, BENCHMARK_LINE.read(argv))
    rows, _ = benchmark(config)
    lines = failures(config, rows) if config.hard_fail else []
    for line in lines:
        print(f"--hard-fail: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(run_main(main))
