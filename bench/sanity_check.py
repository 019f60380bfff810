"""Whether heat maps depend on weights: a table over the methods, and a map that must fail.

    python -m bench.sanity_check --weights yolov5n.pt --source images/ --imgsz 320

For the best object of each image, or its class, engine/explain/sanity.py compares the map with the
one of the mirrored image, with those of networks of random weights, and these among each other. The
columns "apart" and "changed" count the images in which the map passes its two tests. The rows of
edges are a control: the edges of an image depend on no weight, so they must never pass.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from bench.explained_images import read_given
from bench.markdown_table import markdown_rows
from engine.explain.checks import first_goal, mapper
from engine.explain.explainer import subject_of
from engine.explain.heat import choose_rows
from engine.explain.sanity import (
    Likeness,
    MapOf,
    Sanity,
    compare_networks,
    edges_of,
    mean_likeness,
)
from engine.explain.settings import METHODS, PER, ExplainConfig
from models.yolo import DetectionModel

HEADERS = (
    "method",
    "explained",
    "images",
    "apart",
    "changed",
    "rank correlation",
    "within boxes",
    "SSIM",
)
ORDER = "Three numbers: mirrored image / random networks / random networks among each other."


def results_of(
    model: DetectionModel, images: list[Tensor], config: ExplainConfig, map_of: MapOf
) -> list[Sanity]:
    """The comparison for each image in which the model finds something."""
    found = []
    for x in images:
        first = first_goal(model, x, config)
        if first is not None:
            found.append(compare_networks(model, x, *first, map_of))
    return found


def row_of_table(name: str, per: str, results: list[Sanity]) -> list[str]:
    """The cells of a table's row: means over the images, and how many passed."""
    told = [one for one in results if one.mirrored is not None]
    columns = [
        mean_likeness([one.mirrored for one in told if one.mirrored]),
        mean_likeness([mean_likeness(one.random) for one in told]),
        mean_likeness([mean_likeness(one.peers) for one in told]),
    ]
    passed = [str(sum(one.is_apart for one in told)), str(sum(one.is_changed for one in told))]
    cells = [
        " / ".join(f"{getattr(one, field):.2f}" for one in columns) for field in Likeness._fields
    ]
    return [name, per, str(len(told)), *passed, *cells]


def main() -> None:
    """Compare with every method and target, and print a Markdown table."""
    model, frames, side = read_given("Do heat maps depend on weights?")
    model.requires_grad_(False)
    images = [subject_of(model, frame, (side,)).x for frame in frames]
    rows = []
    for per in PER:
        config = replace(ExplainConfig(), per=per, imgsz=(side,))
        numbers = choose_rows(model, config.layers, per)
        maps = {name: mapper(numbers, method) for method, name in METHODS.items()}
        for name, map_of in {**maps, "edges (control)": edges_of}.items():
            results = results_of(model, images, config, map_of)
            if results:
                rows.append(row_of_table(name, per, results))
    print(markdown_rows(HEADERS, rows))
    print(ORDER)


if __name__ == "__main__":
    main()
