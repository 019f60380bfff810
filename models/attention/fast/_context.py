"""The type of an autograd function's context, under the name that the files here read it by."""

from __future__ import annotations

from models.gradient_context import GradientContext

__all__ = ["GradientContext"]
