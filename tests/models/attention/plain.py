"""Makes every attention module take its plain form, which accelerators and exporters use."""

from __future__ import annotations

import sys

import pytest
from torch import Tensor


def never(x: Tensor, **_: object) -> bool:
    return False


def force_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let use_fast say no, wherever it was imported to."""
    for name, module in list(sys.modules.items()):
        if name.startswith("models.") and hasattr(module, "use_fast"):
            monkeypatch.setattr(module, "use_fast", never)
