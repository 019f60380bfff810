"""State dicts and outputs of forks, made with the original program of YOLOv5.

Weights are drawn from their keys, so that the files hold shapes and outputs only.
"""

from __future__ import annotations

import copy
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.weights.load import from_checkpoint
from models.weights.upstream.adopt import with_graph
from utils.checkpoint import Checkpoint


def drawn(key: str, shape: list[int]) -> Tensor:
    """The tensor of a key."""
    value = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    value = value * 0.1
    kind = key.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if kind == "running_var":
        value = abs(value) + 0.5
    elif len(shape) > 1:
        value = value * 1.4
    elif kind == "weight":
        value = 1 + value
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def written(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The graph and the state dict of a case, whose anchors are those of its graph."""
    graph = copy.deepcopy(case["graph"])
    state = {key: drawn(key, shape) for key, shape in case["shapes"].items()}
    (anchors,) = (key for key in state if key.endswith("anchors"))
    strides = torch.tensor([8.0, 16.0])
    pixels = torch.tensor(graph["anchors"], dtype=torch.float32).view(2, -1, 2)
    state[anchors] = pixels / strides.view(-1, 1, 1)
    return graph, state


def check_outputs(
    graph: dict[str, Any], state: dict[str, Tensor], outputs: np.ndarray, tolerance: float = 1e-6
) -> None:
    """Assert that the network of a state dict gives the outputs of the original program."""
    checkpoint = with_graph(Checkpoint({}, {}, state), graph, "state.pt")
    model = from_checkpoint(checkpoint).eval().double()
    generator = np.random.Generator(np.random.PCG64(7))
    x = torch.from_numpy(generator.random((1, 3, 64, 64), dtype=np.float32))
    with torch.no_grad():
        found = model(x.double())[0]
    expected = torch.from_numpy(outputs)
    assert float(expected[..., 4:].std()) > 0.05
    # Pixels of boxes count as shares of the image.
    unit = torch.tensor([64.0] * 4 + [1.0] * 4)
    torch.testing.assert_close(
        found.float() / unit, expected / unit, rtol=tolerance, atol=tolerance
    )
