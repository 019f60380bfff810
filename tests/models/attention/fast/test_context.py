"""The context's type has one definition."""

from __future__ import annotations

from models import gradient_context
from models.attention.fast import _context


def test_the_type_is_the_one_of_all_models() -> None:
    assert _context.GradientContext is gradient_context.GradientContext
