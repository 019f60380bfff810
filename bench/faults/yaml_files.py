"""YAML that is damaged or forged: `python -m bench.faults.yaml_files`.

Every program gets YAML bombs, and the readers get damaged copies of a model, a data set and
hyperparameters. A case is refused with one line, or read; a damaged copy that is valid YAML of
another meaning is legal. There must be no traceback, and a refusal takes at most 5 s and 300 MB.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

import ablate
import detect
import export
import val
from api import YOLO
from bench.faults.measured import MeasuredCall, measured_call
from bench.faults.yaml_bombs import YamlBomb, make_bombs
from bench.faults.yaml_damage import damaged
from data import convert
from data.dataset_yaml import read_dataset_yaml
from engine.training.plan import plan
from models import command
from models.graph.load import load_graph
from models.lint.fix import lint
from models.yolo import DetectionModel
from utils.config import choose_hyp
from utils.families import V5
from utils.files import ROOT
from utils.tables import text_table

MOST_SECONDS, MOST_MEGABYTES = 5.0, 300.0
COLUMNS = (
    "cases", "refused", "read equal", "read changed", "tracebacks", "over 5 s", "over 300 MB",
)  # fmt: skip
MODEL = str(ROOT / "models/yolov5n.yaml")
SMALL = ("--imgsz", "64", "--device", "cpu")
Program = Callable[[str], object]


def sound_files(folder: Path) -> dict[str, str]:
    """A small data set in the folder, and the text of a sound YAML of each kind."""
    import cv2

    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"images/{number}.png"), np.full((64, 64, 3), 90, np.uint8))
        (folder / f"labels/{number}.txt").write_text(f"{number % 2} 0.5 0.5 0.4 0.5\n")
    data = f"path: {folder}\ntrain: images\nval: images\nnames: [red, green]\n"
    return {
        "data": data + "nc: 2\ndefaults:\n  imgsz: 64\n  hyp:\n    mosaic: 0.5\n",
        "model": (ROOT / "models/yolov5s_CBAM.yaml").read_text(),
        "hyp": (ROOT / "data/hyps/hyp.scratch-low.yaml").read_text(),
        "study": "settings: {data: other.yaml}\nseeds: [5]\nbaseline_seeds: [5]\ncode: [a]\n",
    }


def _train(data: str = "data.yaml", cfg: str = MODEL, **more: object) -> object:
    given = {"data": data, "cfg": cfg, "imgsz": 64, "device": "cpu", "workers": 0, **more}
    return plan({**given, "noplots": True, "cache": "no"}).setup.folder


def _ablate(file: str, kind: str) -> object:
    data, cfg = (file if kind == "data" else "data.yaml"), (file if kind == "model" else MODEL)
    flags = ["--data", data, "--cfg", cfg, "--attention", "SimAM", "--seeds", "1", *SMALL]
    if kind == "hyp":
        flags += ["--train", f"--hyp {file}"]
    if kind != "study":
        return ablate.main([*flags, "--dry-run"])
    folder = Path("runs/ablate/study")
    folder.mkdir(parents=True)
    Path(file).rename(folder / "study.yaml")
    return ablate.main(flags)


def _convert(file: str) -> object:
    convert.main(["--data", file, "--out", "converted"])
    return "converted"


def _val(weights: str, data: str) -> object:
    val.main(["--weights", weights, "--data", data, "--workers", "0", "--noplots", *SMALL])
    return "scores"


def _detect(weights: str, *flags: str) -> object:
    return detect.main(["--weights", weights, "--source", "images", *flags, *SMALL])


PROGRAMS_OF: Mapping[tuple[str, str], Program] = MappingProxyType(
    {
        ("data", "train"): _train,
        ("data", "val"): partial(_val, MODEL),
        ("data", "detect"): lambda file: _detect(MODEL, "--data", file),
        ("data", "ablate"): partial(_ablate, kind="data"),
        ("data", "convert"): _convert,
        ("data", "api train"): lambda file: YOLO(MODEL).train(data=file, epochs=1, imgsz=64),
        ("data", "api val"): lambda file: YOLO(MODEL).val(data=file, imgsz=64),
        ("model", "train"): lambda file: _train(cfg=file),
        ("model", "val"): lambda file: _val(file, "data.yaml"),
        ("model", "detect"): _detect,
        ("model", "export"): lambda file: export.main(["--weights", file]),
        ("model", "yolo"): lambda file: command.main(["--cfg", file]),
        ("model", "lint"): lambda file: command.main(["--lint", file]),
        ("model", "lint --fix"): lambda file: command.main(["--lint", file, "--fix"]),
        ("model", "ablate"): partial(_ablate, kind="model"),
        ("model", "api"): YOLO,
        ("hyp", "train"): lambda file: _train(hyp=file),
        ("hyp", "ablate"): partial(_ablate, kind="hyp"),
        ("study", "ablate"): partial(_ablate, kind="study"),
    }
)


def _build(file: str) -> str:
    """A model and what lint says about it, without memory for the weights."""
    lines = [str(finding) for finding in lint(file)]
    with torch.device("meta"):
        return repr([DetectionModel(load_graph(file)).graph, lines])


READERS: Mapping[str, Program] = MappingProxyType(
    {
        "model": _build,
        "data": lambda file: repr(read_dataset_yaml(file)),
        "hyp": lambda file: repr(choose_hyp(file, {}, "", V5)),
    }
)


def run_bomb(bomb: YamlBomb, folder: Path, sound: Mapping[str, str]) -> MeasuredCall:
    """Give a bomb to its program, in a new folder beside a sound data set."""
    (folder / "data.yaml").write_text(sound["data"])
    (folder / "images").symlink_to(folder.parent / "images")
    bomb.write(folder / "forged.yaml", sound[bomb.file])

    def call() -> object:
        os.chdir(folder)
        return PROGRAMS_OF[bomb.file, bomb.program]("forged.yaml")

    return measured_call(call)


def run_damage(kind: str, number: int, folder: Path, sound: str) -> MeasuredCall:
    """Read the number-th damaged copy; number -1 stands for the sound text."""
    data = sound.encode()
    (folder / f"{kind}.yaml").write_bytes(damaged(data, number) if number >= 0 else data)

    def call() -> object:
        os.chdir(folder)
        return READERS[kind](f"{kind}.yaml")

    return measured_call(call)


def count_calls(title: str, calls: list[MeasuredCall], equal: str = "") -> tuple[object, ...]:
    """A row of the table; equal is the text that a sound copy gives."""
    ends = [call.how for call in calls]
    same = sum(call.how == "read" and call.text == equal for call in calls)
    return (
        title,
        len(calls),
        ends.count("refused"),
        same,
        ends.count("read") - same,
        ends.count("traceback") + ends.count("killed"),
        sum(call.seconds > MOST_SECONDS for call in calls if call.how != "read"),
        sum(call.megabytes > MOST_MEGABYTES for call in calls if call.how != "read"),
    )


def _say(title: str, call: MeasuredCall) -> None:
    """Print a case that does not hold."""
    beyond = call.seconds > MOST_SECONDS or call.megabytes > MOST_MEGABYTES
    if call.how in ("traceback", "killed") or (beyond and call.how != "read"):
        text = call.text[-1500:] if call.how == "traceback" else call.text[:300]
        print(f"{title}: {call.how}, {call.seconds:.1f} s, {call.megabytes:.0f} MB: {text}")


def main(argv: list[str] | None = None) -> int:
    """Run the campaign and print the table. Returns 1 if a case does not hold."""
    parser = argparse.ArgumentParser(description="Programs that read damaged and forged YAML.")
    parser.add_argument("--bombs", type=int, default=100, help="YAML bombs")
    parser.add_argument("--damaged", type=int, default=1000, help="damaged copies of each file")
    parser.add_argument("--verbose", action="store_true", help="print the end of every bomb")
    flags = parser.parse_args(argv)
    torch.set_num_threads(1)  # threads of the parent do not exist in a forked child
    rows = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        sound = sound_files(root)
        bombs = make_bombs(flags.bombs)
        calls = [run_bomb(bomb, _new(root, n), sound) for n, bomb in enumerate(bombs)]
        for bomb, call in zip(bombs, calls, strict=True):
            title = f"{bomb.construction} as {bomb.key} of {bomb.file} in {bomb.program}"
            _say(title, call)
            if flags.verbose:
                print(f"{title}: {call.how} {call.seconds:.1f} s: {call.text[:200]}")
        rows.append(count_calls("YAML bombs", calls))
        print(f"{len(calls)} bombs done", flush=True)
        for kind in READERS:
            (root / "warm.yaml").write_text(sound[kind])
            READERS[kind](str(root / "warm.yaml"))  # so that no child imports anything
            equal = run_damage(kind, -1, _new(root, kind), sound[kind])
            folder = root / kind
            calls = [run_damage(kind, n, folder, sound[kind]) for n in range(flags.damaged)]
            for number, call in enumerate(calls):
                _say(f"damaged {kind} {number}", call)
            rows.append(count_calls(f"damaged {kind}", calls, equal.text))
    print(text_table(("file", *COLUMNS), rows))
    return int(any(sum(map(int, map(str, row[-3:]))) for row in rows))


def _new(root: Path, name: object) -> Path:
    folder = root / str(name)
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
