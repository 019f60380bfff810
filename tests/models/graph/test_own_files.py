"""use_modules() knows which names are ours, and takes one path or several."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.graph.own_files import use_modules
from models.own.registry import OWN
from utils.errors import UserError

CLASS = "from torch import nn\nclass {}(nn.Module):\n    def forward(self, x):\n        return x\n"


def test_paths_and_what_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    files[0].write_text(CLASS.format("SimAM") + CLASS.format("New"))
    files[1].write_text(CLASS.format("Conv"))
    assert use_modules(files[0]) == (str(files[0]),)
    assert use_modules([str(path) for path in files]) == tuple(map(str, files))
    assert capsys.readouterr().out == (
        "note: a.py: its SimAM takes the place of this project's SimAM in every row\n"
        "note: b.py: its Conv takes the place of this project's Conv in every row\n"
    )
    assert set(OWN) == {"SimAM", "New", "Conv"}
    assert use_modules(()) == ()


def test_a_faulty_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--modules .*none.py: cannot be read"):
        use_modules(str(tmp_path / "none.py"))
