"""The first convolution of a model for colour images, fitted to grey ones, and the reverse.

A grey image in colour has three equal channels, so the sum of a kernel over its input channels
gives the same map for one channel, and a third of a kernel for each of three.
"""

from __future__ import annotations

from torch import Tensor


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
