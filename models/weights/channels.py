"""The first convolution of a model for colour images, fitted to grey ones, and the reverse.

A grey image in colour has three equal channels, so the sum of a kernel over its input channels
gives the same map for one channel, and a third of a kernel for each of three.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from models.graph.read import read_graph
from models.yolo import parse_model
from utils.checkpoint import Checkpoint


def with_channels_of(checkpoint: Checkpoint, channels: int) -> Checkpoint:
    """A checkpoint as if its model had this number of input channels, where one of both is grey.

    Otherwise the checkpoint itself. Raises UserError if its graph cannot run.
    """
    if 1 not in (channels, theirs := read_graph(checkpoint.graph).channels) or theirs == channels:
        return checkpoint
    graph = {**checkpoint.graph, "ch": channels}
    with torch.device("meta"):
        network, _ = parse_model(read_graph(graph), seed=0)
    wanted = {
        f"model.{key}": value.shape
        for key, value in network.state_dict().items()
        if not nn.parameter.is_lazy(value)
    }
    state = {}
    for key, value in checkpoint.state.items():
        fitted = fit_channels(value, channels) if wanted.get(key) != value.shape else None
        is_right = fitted is not None and fitted.shape == wanted.get(key)
        state[key] = fitted if fitted is not None and is_right else value
    return replace(checkpoint, graph=graph, state=state)


def fit_channels(value: Tensor, channels: int) -> Tensor | None:
    """Weights of a convolution [out, in, h, w] -> [out, channels, h, w] for grey images.

    Returns None unless one of both numbers of channels is 1.
    """
    if value.ndim != 4:
        return None
    if channels == 1:
        return value.sum(1, keepdim=True)
    return (value / channels).expand(-1, channels, -1, -1).clone() if value.shape[1] == 1 else None


def channels_line(theirs: int, mine: int) -> str:
    """What was done to the first convolution of transferred weights; "" if nothing."""
    if theirs == mine or 1 not in (theirs, mine):
        return ""
    how = "added" if mine == 1 else "divided evenly"
    return (
        f"input channels of the weights: {theirs}, of the model: {mine}; the first convolution's"
        f" were {how}, so grey images give the same maps"
    )
