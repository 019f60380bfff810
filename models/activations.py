"""The activations that a graph may name, built from their text without evaluating it."""

from __future__ import annotations

import ast
import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.text import shown


class SiLU(nn.SiLU):
    """x * sigmoid(x).

    It works in place only where no gradient is needed: with autograd, PyTorch would have to copy
    the input first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[...] -> [...], elementwise."""
        return F.silu(x, inplace=not torch.is_grad_enabled())


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "SiLU": SiLU,
    "Identity": nn.Identity,
    **{
        kind.__name__: kind
        for kind in (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU)
    },
    **{
        kind.__name__: kind
        for kind in (nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.Mish, nn.Softplus)
    },
}


def make_activation(text: str) -> nn.Module:
    """Make the activation that text such as `nn.LeakyReLU(0.1)`, `SiLU()` or `ReLU` describes.

    The name is looked up in ACTIVATIONS and nothing is evaluated. Arguments are numbers or
    True/False, by position or keyword. Raises ValueError saying what is accepted.
    """
    match = re.fullmatch(r"(?:torch\.)?(?:nn\.)?(\w+)\s*(?:\((.*)\))?", text.strip())
    if not match or match[1] not in ACTIVATIONS:
        raise ValueError(
            "no such activation; known are"
            f" {', '.join('nn.' + name + '()' for name in ACTIVATIONS)}"
        )
    values: list[float] = []
    options: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in (match[2] or "").split(","))):
        name, equals, number = part.rpartition("=")
        value = _literal(number.strip())
        if equals:
            options[name.strip()] = value
        else:
            values.append(value)
    try:
        return ACTIVATIONS[match[1]](*values, **options)
    except TypeError as error:
        raise ValueError(f"nn.{match[1]} does not take these arguments ({error})") from None


def _literal(text: str) -> float:
    # literal_eval accepts constants only, so text from a file cannot run code.
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(
            f"{shown(text)} is not a number; an activation takes numbers, as in nn.LeakyReLU(0.1)"
        )
    return value
