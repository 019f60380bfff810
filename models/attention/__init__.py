"""Attention modules: one file, one module, one paper.

To add a module, add a file to this folder and nothing else. This file imports, and thereby
registers, all others except those whose names begin with an underscore, which are helpers. The
folder fast/ has faster forms of some modules for a CPU.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from torch import nn

from models.attention._identity import start_as_identity
from models.attention._names import same_meaning
from models.attention._registry import ATTENTION, options
from utils.errors import UserError
from utils.text import printable, shown

ATTENTION_INITS = ("paper", "identity")

for _file in pkgutil.iter_modules(__path__):
    if not _file.ispkg and not _file.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_file.name}")


def names() -> list[str]:
    """Return the names that a YAML row may use, aliases included, sorted."""
    return sorted(ATTENTION)


def attention_of(model: nn.Module) -> dict[str, nn.Module]:
    """The attention modules of a network by name, including those within rows of the graph."""
    kinds = set(ATTENTION.values())
    return {name: module for name, module in model.named_modules() if type(module) in kinds}


def build_attention(
    name: str, channels: int, *, init: str = "paper", **arguments: object
) -> nn.Module:
    """Build an attention module.

    Args:
        name: of the class, or one of its aliases.
        channels: of the maps that it gets.
        init: "paper", or "identity" for a module whose output at the start is bit-equal to its
            input (models/attention/_identity.py).
        **arguments: options of the class.

    Returns:
        The module, with initial weights from PyTorch's global generator.

    Raises:
        UserError: the name or an argument does not exist, or the module refuses a value.
    """
    if name not in ATTENTION:
        raise UserError(f"{name}: no such attention module{same_meaning(name, (), names())}")
    kind = ATTENTION[name]
    for argument in arguments:
        if argument not in options(kind):
            known = ", ".join([*options(kind), "init"])
            hint = closest(argument, options(kind))
            raise UserError(f"{argument}: {name} has no such argument; it takes {known}{hint}")
    if init not in ATTENTION_INITS:
        raise UserError(f"init: {shown(init)}: must be {' or '.join(ATTENTION_INITS)}")
    try:
        module = kind(channels, **arguments)
        return start_as_identity(module) if init == "identity" else module
    except (TypeError, ValueError) as error:
        raise UserError(printable(error, 300)) from error


def closest(word: str, known: list[str]) -> str:
    """Return "; did you mean X?" with the known name nearest to word, or nothing."""
    # Reversed, so that the first of several names that differ only in case is kept.
    lower = {name.lower(): name for name in reversed(known)}
    found = difflib.get_close_matches(word.lower(), lower, n=1)
    return f"; did you mean {lower[found[0]]}?" if found else ""
