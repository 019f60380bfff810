"""YOLOv5's short names of constructor arguments, for files with a person's own classes.

Such a file was often written for YOLOv5's blocks, `Conv(c1, c2, 3, 1, g=4, act=False)`, and imports
them from models.common here too. Our own calls use the long names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import MappingProxyType
from typing import Any, ParamSpec, cast

P = ParamSpec("P")
SHORT_NAMES = MappingProxyType(
    {
        "c1": "inputs",
        "c2": "outputs",
        "k": "kernel",
        "s": "stride",
        "p": "padding",
        "g": "groups",
        "d": "dilation",
        "n": "repeats",
        "e": "expansion",
    }
)


def short_names(init: Callable[P, None]) -> Callable[P, None]:
    """Let a constructor take its arguments by SHORT_NAMES too. Its signature stays as it is."""

    @wraps(init)
    def build(*args: Any, **options: Any) -> None:
        known = {SHORT_NAMES.get(name, name): value for name, value in options.items()}
        cast(Callable[..., None], init)(*args, **known)

    return build
