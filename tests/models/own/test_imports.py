"""Imports of a person's file: what it gets, and that nothing else changes."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models import common
from models.graph.own_files import use_modules
from models.own.adapter import own_kind
from models.own.imports import guarded_lines
from models.own.registry import OWN
from models.own.source import read_classes
from utils.errors import UserError

Write = Callable[..., Path]
CLASS = "class Mine(nn.Module):\n    {}\n"
BODY = (
    "def __init__(self, c1, c2):\n        super().__init__()\n        {}\n"
    "    def forward(self, x):\n        {}\n        return x"
)


def mine(write: Write, imports: str, init: str = "", forward: str = "") -> Any:
    text = BODY.format(init or "pass", forward or "pass")
    use_modules(write(f"{imports}\n{CLASS.format(text)}"))
    return own_kind(OWN["Mine"])


@pytest.mark.parametrize(
    ("imports", "conv"),
    [
        ("from .conv import Conv", "Conv"),
        ("from ...nn.modules.conv import Conv as Other", "Other"),
        ("from . import conv", "conv.Conv"),
        ("import ultralytics.nn.modules.conv", "ultralytics.nn.modules.conv.Conv"),
        ("import ultralytics.nn.modules.conv as m", "m.Conv"),
        ("from ultralytics.nn import modules", "modules.Conv"),
        ("from models import common", "common.Conv"),
        ("import models.common", "models.common.Conv"),
        ("from models.common import *", "Conv"),
        ("from nets.layers import Conv", "Conv"),
    ],
)
def test_ways_to_import(write: Write, imports: str, conv: str) -> None:
    module = mine(write, imports, f"self.cv = {conv}(c1, c2, 3, s=2)")(4, 8)
    assert type(module.cv) is common.Conv


def test_nothing_else_changes(write: Write) -> None:
    before = (set(sys.modules), list(sys.meta_path), list(sys.path), sys.path_hooks[:])
    mine(write, "from .conv import Conv\nimport ultralytics, einops, no_such_package")(4, 8)
    added = set(sys.modules) - before[0]
    assert [one for one in added if not one.startswith("_own_")] == []
    assert (list(sys.meta_path), list(sys.path), sys.path_hooks[:]) == before[1:]
    with pytest.raises(ModuleNotFoundError):
        __import__("ultralytics")


def test_a_yolo_program_that_is_installed_is_not_imported(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("ultralytics", "raise SystemExit"), ("einops", "rearrange = 'installed'")):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "site")
    imports = "from ultralytics import Conv\nfrom einops import rearrange"
    try:
        module = mine(write, imports, "self.found = rearrange; self.cv = Conv(c1, c2)")(4, 8)
    finally:
        sys.modules.pop("einops", None)
    assert module.found == "installed"
    assert "ultralytics" not in sys.modules


@pytest.mark.parametrize(
    ("imports", "use", "said"),
    [
        ("from .x import Scan", "Scan(8)", "line 3 imports Scan from .x, which this project does"),
        ("from .x import scan", "scan(8)", "line 3 imports scan from .x, which this project does"),
        ("import ultralytics", "ultralytics.nn.Far(1)", "imports Far from ultralytics.nn, which"),
        (
            "import pywt",
            "pywt.Wavelet('db1')",
            r"from pywt, which is not installed; pip install PyW",
        ),
        (
            "from einops import einsum",
            "einsum(8)",
            "from einops, which is not .*pip install einops",
        ),
    ],
)
def test_what_is_missing_fails_where_it_is_used(
    write: Write, imports: str, use: str, said: str
) -> None:
    with pytest.raises(UserError, match=rf"^my_attention.py: Mine\(4, 8\): ImportError: .*{said}"):
        mine(write, imports, use)(4, 8)
    with pytest.raises(UserError, match=said):
        mine(write, f"{imports}  #", "", use)(4, 8)(torch.zeros(1, 4, 2, 2, device="meta"))


def test_a_base_class_that_is_missing(write: Write) -> None:
    text = "from .x import Base, base\nclass A(Base):\n    pass\nclass B(base):\n    pass\n"
    use_modules(write(text + CLASS.format("pass")))
    for name, base in (("A", "Base"), ("B", "base")):
        with pytest.raises(
            UserError, match=rf"imports {base} from .x, which .*; paste {base} into"
        ):
            own_kind(OWN[name])(4)


def test_a_try_decides_at_once(write: Write) -> None:
    content = (
        b"try:\n    import a\n    from b import (\n        c,\n    )\n"
        b"except ImportError:\n    import d\n"
        b"try:\n    import e\nexcept (OSError, KeyError):\n    pass\n"
        b"try:\n    import f\nexcept:\n    pass\n"
    )
    assert guarded_lines(content) == {2, 3, 4, 5, 13}
    assert guarded_lines(b"def (") == set()


def test_without_names_only_installed_packages(write: Write) -> None:
    read_classes(write("import json\n" + CLASS.format("pass")))
    with pytest.raises(
        UserError, match=r"imports Conv from .conv, which this project does not have"
    ):
        read_classes(write("from .conv import Conv\nConv()\n", "b.py"))


def test_two_files_of_one_name(write: Write, tmp_path: Path) -> None:
    path = write("from .conv import Conv\n" + CLASS.format("side = 1"))
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / path.name
    other.write_text(path.read_text())
    (first,), (second,) = (read_classes(one)[1] for one in (path, other))
    assert first is not second
    assert sys.modules[first.__module__] is not sys.modules[second.__module__]
    assert read_classes(path)[1] == [first]


def test_copies_and_pickles(write: Write) -> None:
    kind = mine(write, "from .conv import Conv", "self.cv = Conv(c1, c2)", "return self.cv(x)")
    module, x = kind(4, 8).eval(), torch.rand(1, 4, 2, 2)
    stored = io.BytesIO()
    pickle.dump(module, stored)
    for twin in (copy.deepcopy(module), pickle.loads(stored.getvalue())):
        assert type(twin) is kind
        assert torch.equal(twin(x), module(x))
        assert twin.cv.conv.weight is not module.cv.conv.weight
