"""Print a line of JSON for each graph in models/: hashes of its keys, weights, outputs, gradients.

__main__.py starts it as `python -m bench.behaviour.graphs`. Keys are read on the meta device,
at every scale of a graph that has scales. Graphs of up to 8 million parameters are also built and
run forward and backward on a fixed input, so that a change of any initial weight, output or
gradient is found.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from bench.behaviour.sandbox import ROOT, graph_files, hash_tensors
from models.graph.load import load_graph
from models.yolo import DetectionModel

LARGEST = 8_000_000  # parameters


def describe(path: Path) -> dict[str, dict[str, str]]:
    """The entries of one graph file: {"keys": …, "weights": …}, each from a name to a hash."""
    graph, stem = load_graph(path), path.relative_to(ROOT / "models").with_suffix("").as_posix()
    keys: dict[str, str] = {}
    weights: dict[str, str] = {}
    for number, scale in enumerate(graph.get("scales") or [""]):
        content = {**graph, "scale": scale} if scale else graph
        with torch.device("meta"):
            skeleton = DetectionModel(content)
        name = f"{stem} {scale}".strip()
        keys[name] = hash_tensors(skeleton.state_dict())
        size = sum(parameter.numel() for parameter in skeleton.parameters())
        if number == 0 and size <= LARGEST:
            weights |= {f"{name}: {part}": value for part, value in exercise(content).items()}
    return {"keys": keys, "weights": weights}


def exercise(graph: dict[str, Any]) -> dict[str, str]:
    """Hashes of a graph's initial weights, its outputs and its gradients on a fixed input."""
    torch.manual_seed(0)  # only dropout draws from the global generator
    model = DetectionModel(graph).train()
    initial = hash_tensors(model.state_dict())
    side = 2 * int(model.stride.max())
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    maps = model(x)
    torch.stack([level.square().mean() for level in maps]).sum().backward()
    slopes = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    with torch.inference_mode():
        decoded = model.eval()(x)[0]
    outputs = {
        **{f"level {number}": level for number, level in enumerate(maps)},
        "decoded": decoded,
    }
    return {
        "initial weights": initial,
        "outputs": hash_tensors(outputs),
        "gradients": hash_tensors(slopes),
    }


def main() -> None:
    torch.set_num_threads(1)
    for path in graph_files():
        print(json.dumps(describe(path)), flush=True)


if __name__ == "__main__":
    main()
