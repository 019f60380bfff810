"""A file is imported as it was hashed, alone, and its mistakes are one line."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models.own.source import read_classes
from utils.errors import UserError

Write = Callable[..., Path]
EMPTY = "class Mine(nn.Module):\n    pass\n"


def test_the_classes_that_the_file_defines_in_their_order(write: Write) -> None:
    text = (
        "from models.common import Conv\nBorrowed = nn.Conv2d\n"
        f"class B(nn.Module):\n    pass\n{EMPTY}Same = Mine\nclass NoModule:\n    pass\n"
    )
    file, kinds = read_classes(write(text))
    assert [kind.__name__ for kind in kinds] == ["B", "Mine"]
    assert file.name == "my_attention.py"
    assert file.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()


def test_nothing_is_written_beside_it_and_no_name_is_taken(write: Write) -> None:
    path = write(f"{EMPTY}import json as j\n", "json.py")
    _, (kind,) = read_classes(path)
    assert sorted(one.name for one in path.parent.iterdir()) == ["json.py"]
    assert kind.__module__.startswith("_own_")
    assert sys.modules["json"].__file__ != str(path)
    assert str(path.parent) not in sys.path


def test_a_changed_file_is_run_anew(write: Write) -> None:
    first = read_classes(write(f"{EMPTY}    number = 1\n"))
    second = read_classes(write(f"{EMPTY}    number = 2\n"))  # as long, within the same second
    assert [kinds[0].number for _, kinds in (first, second)] == [1, 2]  # type: ignore[attr-defined]
    assert first[0].sha256 != second[0].sha256


def test_dataclasses_find_their_module(write: Write) -> None:
    text = "from dataclasses import dataclass\n@dataclass\nclass Settings:\n    a: 'int' = 1\n"
    assert read_classes(write(text + EMPTY))[1][0].__name__ == "Mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (\n", r"SyntaxError: .*\(line 3\)"),
        ("\nx = 1 / 0\n", r"ZeroDivisionError: division by zero \(line 4\); correct the file"),
        ("class E(Exception):\n    pass\nraise E('no')\n", r"E: no \(line 5\)"),
        ("raise SystemExit(3)\n", r"SystemExit: 3 \(line 3\)"),
        (
            "import no_such_package\nno_such_package.run()\n",
            r"ImportError: line 3 imports run from no_such_package, which is not installed; pip"
            r" install no_such_package, or paste run into this file \(line 4\)",
        ),
        (
            "from .other import X\nX()\n",
            r"ImportError: line 3 imports X from .other, which this project does not have; paste X"
            r" into this file \(line 4\)",
        ),
        ("from models.common import Conv\n", "defines no class that derives from torch.nn.Module"),
    ],
)
def test_a_faulty_file_is_one_line(write: Write, text: str, said: str) -> None:
    before = set(sys.modules)
    with pytest.raises(UserError, match=rf"^--modules .*my_attention.py: {said}") as caught:
        read_classes(write(text))
    assert "\n" not in str(caught.value)
    assert not [name for name in set(sys.modules) - before if name.startswith("_own_")] or (
        "no class" in said
    )


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.py: cannot be read \(No such file"):
        read_classes(tmp_path / "none.py")
    with pytest.raises(UserError, match=r"cannot be read \(is a folder"):
        read_classes(tmp_path)


def test_a_pipe_a_device_and_a_file_of_gigabytes_are_refused(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe.py", tmp_path / "large.py"
    os.mkfifo(pipe)
    with open(large, "wb") as file:
        file.truncate(10 << 30)
    for path, said in ((pipe, "named pipe"), ("/dev/zero", "a device"), (large, "larger than")):
        with pytest.raises(UserError, match=said):
            read_classes(path)
