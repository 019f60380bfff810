"""How much each module changes at the start, and what it loses: a measurement and a picture.

    python -m bench.evidence.change --weights yolov5n.pt

measures the modules of the main studies that start as in their papers, on images of the study's
data set, and writes docs/studies/change.csv. The page and its picture are made of that file.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from bench.evidence.languages import ENGLISH, Language
from bench.evidence.literature import FEWEST, rank_correlation
from bench.evidence.picture import COLORS
from bench.evidence.studies import FOLDER, Study, read_studies
from bench.evidence.words import label, signed
from bench.markdown_table import markdown_rows
from data.dataset_yaml import read_dataset_yaml
from data.scanning.load import load_dataset
from engine.drawing.figures import INK, make_figure, save_figure, style_axes
from engine.training.start_change import head_change, some_images
from models.graph.load import load_graph
from models.graph.sites import insert
from models.weights.load import find_weights, read_weights
from models.weights.transfer import transfer
from models.yolo import DetectionModel
from utils.errors import run_main
from utils.files import atomic_write

FILE = "change.csv"
GRAPH = "models/yolov5n.yaml"  # of the studies
IMAGES, SEEDS = 16, 3
LEVEL = 0.9  # changes above it are named apart
Changes = Mapping[tuple[str, str], float]  # data set, module


def measure(study: Study, weights: str) -> dict[str, float]:
    """The change of each module of a study, averaged over seeds of its initial weights."""
    file = f"data/{study.data}.yaml"
    names, source = read_dataset_yaml(file).names, read_weights(find_weights(weights))
    images = some_images(load_dataset(file, "train"), int(study.facts["imgsz"]), 3, IMAGES)
    found = {}
    for name, row in study.modules.items():
        graph = insert(load_graph(GRAPH), [f"{name}@{row.place}"], study.start)
        changes = []
        for seed in range(SEEDS):
            model = DetectionModel(graph, class_count=len(names), names=names, seed=seed)
            transfer(model, source, ("anchors",))
            changes.append(head_change(model, images))
        found[name] = fmean(value for value in changes if value is not None)
        print(f"{study.data} {name} {found[name]:.3f}", flush=True)
    return found


def read_changes(folder: Path = FOLDER) -> dict[tuple[str, str], float]:
    """The content of change.csv; {} if it is missing."""
    if not (folder / FILE).is_file():
        return {}
    with open(folder / FILE, encoding="utf-8", newline="") as file:
        return {(row["data"], row["module"]): float(row["change"]) for row in csv.DictReader(file)}


def measured(studies: Sequence[Study], changes: Changes) -> list[Study]:
    """The studies whose modules' changes are known: main ones that start as in the papers."""
    known = {data for data, _ in changes}
    return [one for one in studies if one.is_main and one.start == "paper" and one.data in known]


def pairs_of(study: Study, changes: Changes) -> list[tuple[float, float, str]]:
    """The change, the difference in points and the name of each module of a study."""
    return [
        (changes[study.data, name], row.difference, name)
        for name, row in study.modules.items()
        if (study.data, name) in changes
    ]


def order_of(pairs: Sequence[tuple[float, float, str]]) -> str:
    """How well the changes order the losses: a rank correlation, "" for fewer than four modules."""
    if len(pairs) < FEWEST:
        return ""
    rho, _ = rank_correlation([-x for x, _, _ in pairs], [y for _, y, _ in pairs])
    return signed(rho)


def change_table(studies: Sequence[Study], changes: Changes, language: Language = ENGLISH) -> str:
    """For each study: rank correlations, and mean differences by the size of the change."""
    rows = []
    for study in measured(studies, changes):
        pairs = pairs_of(study, changes)
        rho = order_of(pairs)
        groups = (
            [y for x, y, _ in pairs if x < 0.01],
            [y for x, y, _ in pairs if 0.01 <= x < LEVEL],
            [y for x, y, _ in pairs if x >= LEVEL],
        )
        cells = [f"{signed(fmean(own))} ({len(own)})" if own else "" for own in groups]
        within = order_of([pair for pair in pairs if pair[0] >= LEVEL])
        rows.append([label(study, language), str(len(pairs)), rho, *cells, within])
    return markdown_rows(language.heads["change"], rows)


def starts_table(studies: Sequence[Study], language: Language = ENGLISH) -> str:
    """For each data set with both starts: the differences of the modules that have both."""
    rows = []
    main = [study for study in studies if study.is_main]
    for data in dict.fromkeys(study.data for study in main):
        own = {study.start: study.modules for study in main if study.data == data}
        if {"paper", "identity"} <= own.keys():
            names = own["paper"].keys() & own["identity"].keys()
            cells = []
            for start in ("paper", "identity"):
                values = [own[start][name].difference for name in names]
                hurt = sum(own[start][name].verdict == "hurts" for name in names)
                cells += [signed(fmean(values)), signed(min(values)), str(hurt)]
            rows.append([data, str(len(names)), *cells])
    return markdown_rows(language.heads["starts"], rows) if rows else ""


def draw_change(studies: Sequence[Study], changes: Changes, path: Path) -> Path:
    """Draw each module's difference over its change, a panel for each study.

    Args:
        studies: all studies.
        changes: the measured changes.
        path: the picture to write.

    Returns:
        path.
    """
    shown = measured(studies, changes)
    figure = make_figure(6.6 * len(shown), 4.6, dpi=120)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, study in zip(panels, shown, strict=True):
        style_axes(axes, label(study, ENGLISH), "change of what the head gets, at the start")
        axes.set_ylabel("mAP50-95 minus plain, points")
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.margins(x=0.1)
        pairs = sorted(pairs_of(study, changes))
        for kind, marker in (("hurts", "v"), ("helps", "^"), ("no evidence", "o")):
            own = [(x, y) for x, y, name in pairs if study.modules[name].verdict == kind]
            if own:
                axes.plot(
                    *zip(*own, strict=True), marker=marker, linewidth=0, markersize=5,
                    color=COLORS["paper"], label=kind,
                    markerfacecolor="white" if kind == "no evidence" else COLORS["paper"],
                )  # fmt: skip
        name_some(axes, pairs)
        axes.legend(loc="lower left", fontsize=8, frameon=False)
    return save_figure(figure, path)


def name_some(axes: object, pairs: Sequence[tuple[float, float, str]]) -> None:
    """Write the names of well-known modules and of the lowest one beside their points."""
    chosen = {"SE", "CBAM", "CoordAttention", "SimAM", "GAM", "ECA", "MHSA", "DoubleAttention"}
    chosen |= {"ShuffleAttention", min(pairs, key=lambda one: one[1])[2]}
    for x, y, name in pairs:
        if name in chosen and math.isfinite(y):
            axes.annotate(  # type: ignore[attr-defined]
                name, (x, y), xytext=(5, 3), textcoords="offset points", fontsize=7.5, color=INK
            )


def main(argv: list[str] | None = None) -> None:
    """Measure the changes of all main studies that start as in the papers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", required=True, help="the studies' pretrained weights")
    flags = parser.parse_args(argv)
    rows = [
        {"data": study.data, "module": name, "change": f"{change:.4f}"}
        for study in read_studies()
        if study.is_main and study.start == "paper"
        for name, change in measure(study, flags.weights).items()
    ]
    with atomic_write(FOLDER / FILE, "w") as file:
        writer = csv.DictWriter(file, ("data", "module", "change"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(run_main(main))
