"""Time of several networks under the same conditions: in turn, round after round.

So a slower minute of the machine affects each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from models.costs.modules import forward_seconds


def seconds_in_turn(
    models: Mapping[str, nn.Module],
    inputs: Mapping[str, Tensor],
    warm_up: int,
    rounds: int,
    is_enough: Callable[[int], bool] = lambda _: False,
) -> dict[str, list[float]]:
    """Time a forward pass of each network in each round.

    Args:
        models: Networks by name.
        inputs: The input of each, [B, C, H, W].
        warm_up: Rounds before the measurement, in which kernels are chosen and memory allocated.
        rounds: The most rounds that are measured.
        is_enough: Whether this number of rounds is enough, asked before each round.

    Returns:
        The seconds of each network in each round.
    """
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(-warm_up, rounds):
        if number >= 0 and is_enough(number):
            break
        for name, model in models.items():
            seconds = forward_seconds(model, inputs[name])
            if number >= 0:
                times[name].append(seconds)
    return times
