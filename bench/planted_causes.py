"""Does "Why did it drop?" name a cause that was planted, and none where there is none?

    python -m bench.planted_causes --out runs/planted --markdown runs/planted/table.md

Small studies are trained on generated shapes from weights of a short training of the same graph,
with one fault each (bench/planted_faults.py, bench/planted_modules.py), or with none. Runs that are
done are kept, so that the same command goes on. One core takes about half an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import train
from ablation.causes import explain_arm
from ablation.results import CellResult, read_cells
from ablation.statistics.verdicts import compare_arms
from ablation.study import PLAIN, Arm, Cell
from bench.markdown_table import markdown_rows
from bench.planted_cases import FIRST_SEED, HALVES, HEALTHY, MARKS, PLANTED, Case
from data.dataset_yaml import read_dataset_yaml
from data.synthetic.shapes import generate
from models.graph.own_files import use_modules
from utils.files import ROOT, save_yaml
from utils.yaml_file import load_yaml

MODULES = Path(__file__).with_name("planted_modules.py")
BASE_HALF = "dev"  # on whose images the base is trained
SWAPPED = {"1": "3", "3": "1"}  # ring and triangle


@dataclass(frozen=True)
class Sizes:
    """Sizes of the trainings.

    Attributes:
        base_images, images: of the base's training, and of the arms'.
        base_val, val: of their validations.
        base_epochs, epochs: of the base and of the arms.
        imgsz: side of the images, pixels.
        seeds: runs of each baseline and of each arm with a fault. Arms without one have a single
            run, since faults are judged by the first.
        cfg: the graph.
    """

    base_images: int = 400
    images: int = 64
    base_val: int = 64
    val: int = 32
    base_epochs: int = 20
    epochs: int = 3
    imgsz: int = 128
    seeds: int = 3
    cfg: str = str(ROOT / "models/yolov5n.yaml")


def run_training(folder: Path, sizes: Sizes, *flags: object) -> None:
    """Train into a folder unless it is finished; what is printed goes to a log beside it."""
    if (folder / "metrics.json").is_file():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    fixed = (
        f"--imgsz {sizes.imgsz} --batch-size 16 --workers 0 --device cpu --noplots --exist-ok"
        " --cache ram --precision fp32"
    ).split()
    place = ["--project", str(folder.parent), "--name", folder.name]
    with (
        open(folder.with_name(f"{folder.name}.log"), "w") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        train.main([*map(str, flags), *fixed, *place])


def make_data(folder: Path, seed: int, sizes: Sizes) -> None:
    """Draw the images, and write base.yaml, data.yaml with fewer images, and swapped.yaml."""
    images = generate(folder / "shapes", seed, sizes.base_images, sizes.base_val)
    swapped = folder / "swapped"
    if not swapped.is_dir():
        shutil.copytree(images / "images/val", swapped / "images/val")
        (swapped / "labels/val").mkdir(parents=True)
        for file in sorted((images / "labels/val").glob("*.txt")):
            rows = [line.split(" ", 1) for line in file.read_text().splitlines()]
            text = "".join(f"{SWAPPED.get(name, name)} {rest}\n" for name, rest in rows)
            (swapped / "labels/val" / file.name).write_text(text)
    for name, place, count in (
        ("few", images / "images/train", sizes.images),
        ("few_val", images / "images/val", sizes.val),
        ("few_swapped", swapped / "images/val", sizes.val),
    ):
        few = sorted(place.iterdir())[:count]
        (folder / f"{name}.txt").write_text("".join(f"{file}\n" for file in few))
    shapes = load_yaml(ROOT / "data/shapes.yaml")
    common = {"names": shapes["names"]}
    hyp = {**shapes["defaults"]["hyp"], "mosaic": 0.0}
    whole, val = str(images / "images/train"), str(images / "images/val")
    for name, train_images, val_images, more in (
        ("base", whole, val, {}),
        ("data", str(folder / "few.txt"), str(folder / "few_val.txt"), {"lr0": 0.001}),
        ("swapped", str(folder / "few.txt"), str(folder / "few_swapped.txt"), {"lr0": 0.001}),
    ):
        short = {"warmup_epochs": 1.0, "warmup_iterations": 1} if more else {}
        defaults = {"optimizer": "AdamW", "hyp": {**hyp, **more, **short}}
        content = {**common, "train": train_images, "val": val_images, "defaults": defaults}
        save_yaml(folder / f"{name}.yaml", content)
    read_dataset_yaml(str(folder / "data.yaml"))


def prepare(out: Path, half: str, sizes: Sizes) -> Path:
    """Draw a half's images, and train the base on those of the first half.

    Returns the base's best.pt.
    """
    for name in (BASE_HALF, half):
        make_data(out / name, HALVES[name], sizes)
    folder = out / BASE_HALF
    flags = ("--cfg", sizes.cfg, "--data", folder / "base.yaml", "--epochs", sizes.base_epochs)
    run_training(folder / "base", sizes, *flags)
    return folder / "base/weights/best.pt"


def cells_of(out: Path, half: str, arm: Arm, is_swapped: bool, seeds: int) -> list[Cell]:
    """The runs of an arm; the baseline has others where the validation is swapped."""
    place = out / half / ("swapped_cells" if is_swapped else "cells")
    numbers = range(arm.first_seed, arm.first_seed + seeds)
    return [Cell(arm, n, place / f"{arm.folder_name}_seed{n}", n) for n in numbers]


def train_case(out: Path, case: Case, sizes: Sizes) -> None:
    """Train an arm and its baseline."""
    weights = prepare(out, case.half, sizes)
    plain = Case(case.half, "", is_swapped=case.is_swapped)
    for one, arm in ((plain, Arm(PLAIN, (), "", FIRST_SEED[case.half])), (case, case.arm)):
        seeds = sizes.seeds if case.cause or not one.attention else 1
        for cell in cells_of(out, case.half, arm, case.is_swapped, seeds):
            data = out / case.half / ("swapped.yaml" if case.is_swapped else "data.yaml")
            flags = ["--weights", weights, "--data", data, "--epochs", sizes.epochs]
            flags += ["--noval", "--seed", cell.train_seed, f"--modules={MODULES}"]
            if one.attention:
                flags += ["--attention-init", one.init, "--attention", one.attention]
            with one.fault():
                run_training(cell.folder, sizes, *flags)


def explain_case(out: Path, case: Case, seeds: int) -> list[str]:
    """The sentences of the report on an arm."""
    arms = (Arm(PLAIN, (), "", FIRST_SEED[case.half]), case.arm)
    cells: list[CellResult] = []
    for arm in arms:
        cells += read_cells(cells_of(out, case.half, arm, case.is_swapped, seeds))
    scores: dict[str, dict[int, float]] = {}
    for cell in cells:
        scores.setdefault(cell.arm, {})[cell.seed] = cell.score
    verdicts = compare_arms(scores, PLAIN) if len(scores) == len(arms) else []
    weights = str(out / BASE_HALF / "base/weights/best.pt")
    return explain_arm(case.arm, cells, verdicts[0] if verdicts else None, weights)


def named_cause(sentence: str) -> str:
    """The cause that a sentence names, "" if it names none of MARKS."""
    return next((cause for cause, mark in MARKS.items() if mark in sentence), "")


def planted_rows(found: Iterable[tuple[Case, Sequence[str]]]) -> list[list[str]]:
    """A row for each planted study: half, cause, module, the first clue, whether it is right."""
    rows = []
    for case, sentences in found:
        first = sentences[0] if sentences else ""
        is_right = named_cause(first) == case.cause
        rows.append([case.half, case.cause, case.attention, first, "yes" if is_right else "no"])
    return rows


def healthy_rows(found: Iterable[tuple[Case, Sequence[str]]]) -> list[list[str]]:
    """A row for each arm without a fault: half, module, start, and what is named all the same."""
    rows = []
    for case, sentences in found:
        causes = [cause for one in sentences if (cause := named_cause(one))]
        others = len(sentences) - 1 - len(causes)
        named = ", ".join(causes) or "none"
        rows.append([case.half, case.attention, case.init, named, str(others)])
    return rows


def summary(planted: Sequence[Sequence[str]], healthy: Sequence[Sequence[str]]) -> str:
    """One line for each half."""
    lines = []
    for half in HALVES:
        right = [row[-1] == "yes" for row in planted if row[0] == half]
        named = [row[3] != "none" for row in healthy if row[0] == half]
        lines.append(
            f"{half}: the planted cause is first in {sum(right)} of {len(right)} studies; a cause"
            f" is named in {sum(named)} of {len(named)} arms without a fault"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> str:
    """Train what is missing, explain all arms, and print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs/planted")
    parser.add_argument("--markdown", type=Path, help="file for the tables")
    parser.add_argument("--half", choices=tuple(HALVES), help="only this half")
    parser.add_argument("--train-only", action="store_true")
    args = parser.parse_args(argv)
    out = args.out.absolute()
    use_modules(str(MODULES))
    cases = [case for case in (*PLANTED, *HEALTHY) if args.half in (None, case.half)]
    for case in cases:
        train_case(out, case, Sizes())
    if args.train_only:
        return ""
    return report(out, cases, Sizes().seeds, args.markdown)


def report(out: Path, cases: Sequence[Case], seeds: int, markdown: Path | None) -> str:
    """The tables of what the report names in these cases."""
    torch.set_num_threads(1)
    found = [(case, explain_case(out, case, seeds)) for case in cases]
    planted = planted_rows(one for one in found if one[0].cause)
    healthy = healthy_rows(one for one in found if not one[0].cause)
    text = "\n\n".join(
        (
            summary(planted, healthy),
            markdown_rows(["half", "cause", "module", "first clue", "right"], planted),
            markdown_rows(["half", "module", "start", "causes named", "other clues"], healthy),
        )
    )
    print(text)
    if markdown:
        markdown.write_text(text + "\n")
    return text


if __name__ == "__main__":
    main()
