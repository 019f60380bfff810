"""Attention modules: one file, one module, one paper. Adding one is adding a file here; nothing
else is edited.

Files whose name begins with an underscore are machinery; all others are imported, and so
registered, right here.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from torch import nn

from models.attention._identity import start_as_identity
from models.attention._registry import ATTENTION, options
from utils.errors import UserError

INITS = ("paper", "identity")

for _file in pkgutil.iter_modules(__path__):
    if not _file.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_file.name}")


def names() -> list[str]:
    """Names that a YAML row may use, aliases included, sorted."""
    return sorted(ATTENTION)


def build_attention(
    name: str, channels: int, *, init: str = "paper", **arguments: object
) -> nn.Module:
    """Make the attention module called name for maps of so many channels.

    init: paper, or identity to start bit-equal to no module at all (models/attention/_identity.py).
    Raises UserError for a name or an argument that does not exist, or a value that the module
    refuses.
    """
    if name not in ATTENTION:
        raise UserError(f"{name}: no such attention module{closest(name, names())}")
    kind = ATTENTION[name]
    for argument in arguments:
        if argument not in options(kind):
            known = ", ".join([*options(kind), "init"])
            hint = closest(argument, options(kind))
            raise UserError(f"{argument}: {name} has no such argument; it takes {known}{hint}")
    if init not in INITS:
        raise UserError(f"init: {init!r}: must be {' or '.join(INITS)}")
    try:
        module = kind(channels, **arguments)
        return start_as_identity(module) if init == "identity" else module
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error


def closest(word: str, known: list[str]) -> str:
    """ "; did you mean X?" for the known name nearest to word, or nothing."""
    lower = {name.lower(): name for name in reversed(known)}
    found = difflib.get_close_matches(word.lower(), lower, n=1)
    return f"; did you mean {lower[found[0]]}?" if found else ""
