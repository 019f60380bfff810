"""Checks of the options of attention modules.

Each raises ValueError with the option's name, its value and what it must be. build_attention turns
that into the one line that users read.
"""

from __future__ import annotations


def is_count(value: object) -> bool:
    """Whether value is a whole number from 1 on; true and false are not numbers here."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def check_count(name: str, value: object, example: int | None = None) -> int:
    """Return value if it is a whole number from 1 on; `example` completes the message."""
    if not isinstance(value, int) or not is_count(value):
        such = "" if example is None else f", such as {example}"
        raise ValueError(f"{name}={value!r}: must be a whole number from 1 on{such}")
    return value


def check_odd(name: str, value: object) -> int:
    """Return the side of a kernel, in positions, if it is odd, which keeps the size of the map."""
    side = check_count(name, value)
    if side % 2 == 0:
        raise ValueError(f"{name}={side}: must be odd, such as {side + 1}, to keep the map's size")
    return side


def check_flag(name: str, value: object) -> bool:
    """Return value if it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: must be true or false")
    return value


def check_reduction(name: str, value: object, channels: int, usual: int) -> int:
    """Return the factor by which hidden channels are fewer than the channels of the map.

    Args:
        name: of the option.
        value: of the option, a whole number from 1 on.
        channels: of the map. A larger factor is refused: it is most likely a channel count from a
            tutorial's list of arguments.
        usual: the default, which is allowed for any number of channels.

    Returns:
        The value.

    Raises:
        ValueError: the value is no whole number from 1 on, or above both channels and usual.
    """
    factor = check_count(name, value, usual)
    if factor > max(channels, usual):
        raise ValueError(
            f"{name}={factor}: is more than the {channels} channels; write {{{name}: {usual}}}"
        )
    return factor


def choose_divisor(name: str, value: object, total: int, usual: int, what: str) -> int:
    """Return how many equal groups the channels form.

    Args:
        name: of the option.
        value: of the option; None stands for the largest divisor of total that is at most usual.
        total: number of channels that are grouped.
        usual: number of groups in the paper or in the authors' code.
        what: the words for total in the message, such as "the 64 channels".

    Returns:
        A divisor of total.

    Raises:
        ValueError: the value does not divide total.
    """
    fitting = [count for count in range(1, total + 1) if total % count == 0]
    if value is None:
        return max(count for count in fitting if count <= usual)
    if not isinstance(value, int) or isinstance(value, bool) or value not in fitting:
        near = ", ".join(map(str, fitting[:8]))
        raise ValueError(f"{name}={value!r}: must divide {what}, such as {near}")
    return value
