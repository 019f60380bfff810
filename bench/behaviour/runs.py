"""The weights and figures of the record: three small models are trained, evaluated and applied.

Together the runs use both families, attention, all augmentations, two optimizers, image weights and
multi-scale training. All are on the data set that the project draws.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from bench.behaviour.sandbox import ROOT, Outcome, Sandbox, hash_checkpoint

COMMON = (
    "--data @/shapes.yaml --epochs 2 --imgsz 96 --batch-size 16 --device cpu --workers 0 "
    "--precision fp32 --noplots --project . --name run"
)
RUNS = {
    "yolov5n": "--image-weights --multi-scale",
    "yolov8n": "--hyp @/everything.yaml --close-mosaic 1",
    "yolov5s_SimAM": "--hyp hyp.scratch-high.yaml --optimizer SGD --cos-lr --label-smoothing 0.1",
}
EVERYTHING = (  # replaces these values of hyp.v8.yaml
    "degrees: 10\ntranslate: 0.2\nscale: 0.5\nshear: 5\nperspective: 0.0005\nflipud: 0.3\n"
    "mosaic: 1.0\nmosaic9: 0.3\nmixup: 0.3\ncopy_paste: 0.2\nnominal_batch: 16\n"
)
VAL_FLAGS = (
    "--data @/shapes.yaml --imgsz 96 --device cpu --workers 0 --noplots --save-txt --save-conf "
    "--save-json"
)
DETECT_FLAGS = (
    "--conf-thres 0.0001 --max-det 5 --device cpu --nosave --save-txt --save-conf --save-csv"
)
CLOCKS = {"speed_ms", "memory_mb"}
NUMERIC = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?|nan")


def prepare(sandbox: Sandbox) -> None:
    """Write the inputs that the parts share; the first training draws the images."""
    sandbox.place("inputs")
    text = (ROOT / "data/shapes.yaml").read_text()
    shapes = re.sub(r"(?m)^path: .*", f"path: {sandbox.folder / 'shapes'}", text)
    (sandbox.inputs / "shapes.yaml").write_text(shapes)
    (sandbox.inputs / "everything.yaml").write_text(EVERYTHING)
    # The refusals need a data set that is quick to train on: the validation images, which are few.
    small = re.sub(r"(?m)^train: .*", "train: images/val", shapes)
    (sandbox.inputs / "small.yaml").write_text(small)
    words = f"{COMMON} --data @/small.yaml --epochs 1 --imgsz 64 --cfg yolov5n.yaml".split()
    require(sandbox.run(["train.py", *words], "small"), "the first training")
    shutil.copyfile(sandbox.folder / "small/run/weights/last.pt", sandbox.inputs / "good.pt")
    for number in range(4):
        for name in (f"images/{number:05}.jpg", f"labels/{number:05}.txt"):
            kind, _, file = name.partition("/")
            source = sandbox.folder / "shapes" / kind / "val" / file
            shutil.copyfile(source, sandbox.place(f"inputs/{kind}") / file)


def require(outcome: Outcome, name: str) -> Outcome:
    """Return the outcome of a command that must succeed, or raise SystemExit with its output."""
    if outcome.status:
        raise SystemExit(f"{outcome.text[-3000:]}\n{name} ended with status {outcome.status}")
    return outcome


def measure_runs(sandbox: Sandbox, jobs: int) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """Yield each run's name and its entries as it ends."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(measure_run, sandbox, name): name for name in RUNS}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def measure_run(sandbox: Sandbox, name: str) -> dict[str, dict[str, Any]]:
    """Train, evaluate, detect, and export under the original keys; return the entries."""
    words = f"{COMMON} --cfg {name}.yaml {RUNS[name]}".split()
    require(sandbox.run(["train.py", *words], name), f"training {name}")
    folder = sandbox.folder / name / "run"
    last = folder / "weights/last.pt"
    results = training_results(sandbox, folder)
    results |= measure_scores(sandbox, name, last) | find(sandbox, name, last)
    words = ["export.py", "--weights", str(last), "--save-upstream"]
    require(sandbox.run(words, name), f"exporting {name}")
    files = {
        "last.pt": last,
        "best.pt": folder / "weights/best.pt",
        "last_upstream.pt": last.with_name("last_upstream.pt"),
    }
    return {
        "weights": {f"{name}: {file}": hash_checkpoint(path) for file, path in files.items()},
        "results": {f"{name}: {key}": value for key, value in results.items()},
    }


def training_results(sandbox: Sandbox, folder: Path) -> dict[str, Any]:
    """results.csv, metrics.json without clocks, and the other files that a training leaves."""
    metrics = json.loads((folder / "metrics.json").read_text())
    kept = {key: value for key, value in metrics.items() if key not in CLOCKS}
    files = {f"files: {key}": value for key, value in sandbox.written(folder).items()}
    return {
        "results.csv": (folder / "results.csv").read_text(),
        "metrics.json": json.dumps(kept),
        **files,
    }


def measure_scores(sandbox: Sandbox, name: str, weights: Path) -> dict[str, Any]:
    """val.py's table, and the files that it writes."""
    words = [
        "val.py",
        "--weights",
        str(weights),
        *VAL_FLAGS.split(),
        "--project",
        "val",
        "--name",
        "run",
    ]
    outcome = require(sandbox.run(words, name), f"scoring {name}")
    files = sandbox.written(sandbox.folder / name / "val/run")
    return {
        "val: table": table(outcome.text),
        **{f"val: {key}": value for key, value in files.items()},
    }


def table(text: str) -> str:
    """The rows of a printed table that end in two numbers; the words of other lines may change."""
    rows = [line.split() for line in text.splitlines()]
    numeric = [row for row in rows if len(row) > 2 and all(map(NUMERIC.fullmatch, row[-2:]))]
    return "\n".join(" ".join(row) for row in numeric)


def find(sandbox: Sandbox, name: str, weights: Path) -> dict[str, Any]:
    """detect.py's label files, with confidences, and the table that it writes."""
    words = ["detect.py", "--weights", str(weights), "--source", "@/images", *DETECT_FLAGS.split()]
    require(
        sandbox.run([*words, "--project", "detect", "--name", "run"], name), f"detecting {name}"
    )
    folder = sandbox.folder / name / "detect/run"
    paths = [*sorted((folder / "labels").glob("*.txt")), folder / "predictions.csv"]
    return {f"detect: {path.name}": sandbox.normalise(path.read_text()) for path in paths}
