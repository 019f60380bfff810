"""OpenVINO's runtime, one for the life of the process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino


@functools.cache
def shared_core() -> openvino.Core:
    """The runtime that all OpenVINO models of this process share. Raises ImportError without it.

    A runtime that computes on a processor with AMX gives the main thread another stack for signals,
    and takes it away at its end. Where two of them end in the order in which they began, the thread
    is left with the first one's stack, which is freed, and the next signal, such as Ctrl-C, ends
    the process (seen in OpenVINO 2026.4). This one never ends before the process does.
    """
    import openvino

    return openvino.Core()
