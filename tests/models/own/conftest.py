"""Files with own classes, as people write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of own classes: the imports that all need in two lines, then the given text."""

    def file(text: str, name: str = "my_attention.py") -> Path:
        path = tmp_path / name
        path.write_text(f"import torch\nfrom torch import nn\n{text}")
        return path

    return file
