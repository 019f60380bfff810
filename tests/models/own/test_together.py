"""Files that are given together may import each other, in either order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from models.graph.own_files import use_modules
from models.own.adapter import own_kind
from models.own.registry import OWN

Write = Callable[..., Path]
LAYER = (
    "from .conv import Conv\n__all__ = ['Layer']\nclass Layer(Conv):\n    pass\n"
    "def half(c):\n    return c // 2\n"
)
BLOCK = (
    "from {module} import {names}\nclass Block(nn.Module):\n    def __init__(self, c1, c2):\n"
    "        super().__init__()\n        self.cv = Layer(c1, c2)\n"
    "    def forward(self, x):\n        return self.cv(x)\n"
)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("module", "names"),
    [(".my_layer", "Layer, half"), ("ultralytics.nn.extra.my_layer", "*"), ("my_layer", "*")],
)
def test_a_class_of_the_other_file(write: Write, module: str, names: str, first: bool) -> None:
    files = [write(LAYER, "my_layer.py"), write(BLOCK.format(module=module, names=names), "b.py")]
    use_modules(files if first else files[::-1])
    block = own_kind(OWN["Block"])(4, 8)
    assert isinstance(block.cv, OWN["Layer"].person)


def test_a_file_with_the_name_of_what_it_imports(write: Write) -> None:
    text = "from models.common import Conv, C3\nclass Wider(C3):\n    pass\n"
    use_modules(write(text, "common.py"))
    assert own_kind(OWN["Wider"])(8, 8).cv1.conv.in_channels == 8


def test_only_files_that_were_named_are_read(write: Write) -> None:
    write("raise SystemExit('ran')\n", "my_layer.py")
    use_modules(write(BLOCK.format(module=".my_layer", names="Layer"), "b.py"))
    assert list(OWN) == ["Block"]
