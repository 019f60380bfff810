"""Own classes come before ours, which is said, and checkpoints ask for them by name and hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from models.attention import ATTENTION
from models.graph.layers import layer_named
from models.own.registry import OWN, own_named, require, say, use
from utils.errors import UserError

Write = Callable[..., Path]
GATE = "class {}(nn.Module):\n    def forward(self, x):\n        return x * 2\n"
BLOCK = (
    "class {}(nn.Module):\n    def __init__(self, c1, c2):\n        super().__init__()\n"
    "        self.cv = nn.Conv2d(c1, c2, 1)\n    def forward(self, x):\n        return self.cv(x)\n"
)


def test_attention_takes_the_place_of_ours_in_both_tables(write: Write) -> None:
    ours = ATTENTION["SimAM"]
    path = write(GATE.format("SimAM") + GATE.format("C3"))
    assert use([path], {"SimAM", "C3"}) == [
        f"my_attention.py: its {name} takes the place of this project's {name} in every row"
        for name in ("SimAM", "C3")
    ]
    assert ATTENTION["SimAM"] is not ours
    assert ATTENTION["C3"].__name__ == "C3"
    assert layer_named("C3") is None
    assert layer_named("C3x") is not None


def test_a_block_hides_attention_of_ours(write: Write) -> None:
    use([write(BLOCK.format("CBAM"))])
    assert "CBAM" not in ATTENTION
    assert "CBAM" not in list(ATTENTION)
    with pytest.raises(KeyError):
        ATTENTION["CBAM"]
    layer = layer_named("CBAM")
    assert layer is not None
    assert layer.rule == "own"


def test_the_head_stays_ours(write: Write) -> None:
    assert use([write(BLOCK.format("Detect"))], {"Detect"}) == [
        "my_attention.py: Detect is not used: the head stays this project's"
    ]
    assert own_named("Detect") is None


def test_files_among_each_other(write: Write) -> None:
    first, second = write(GATE.format("A"), "a.py"), write(GATE.format("A"), "b.py")
    assert use([first]) == []
    kind = OWN["A"].person
    assert use([first]) == []  # the same content is not imported again
    assert OWN["A"].person is kind
    assert use([second]) == ["b.py: its A takes the place of a.py's A in every row"]
    write(GATE.format("A") + "# changed\n", "b.py")
    assert use([second]) == ["b.py: its A takes the place of the former A in every row"]


def test_a_checkpoint_asks_for_its_classes(write: Write) -> None:
    use([write(GATE.format("A"))])
    entry: dict[str, object] = {
        "file": "my_attention.py",
        "sha256": OWN["A"].file.sha256,
        "classes": ["A"],
    }
    assert require("best.pt", [entry]) == []
    with pytest.raises(
        UserError,
        match=r"best.pt: its graph uses B of my_attention.py, .*; add --modules my_attention.py$",
    ):
        require("best.pt", [{**entry, "classes": ["A", "B"]}])
    (warning,) = require("best.pt", [{**entry, "sha256": "0" * 64}])
    assert "my_attention.py has changed since the training (SHA-256 000000000000…, now" in warning


@pytest.mark.parametrize(
    "entry",
    [
        "a.py",
        {},
        {"file": "a.py", "sha256": "0", "classes": []},
        {"file": "a.py", "sha256": "0", "classes": "A"},
        {"file": "\x1b[2Ja.py", "sha256": "0", "classes": ["A"]},
        {"file": "a.py", "sha256": "0", "classes": ["A", 3]},
    ],
)
def test_an_entry_of_another_form_is_refused(entry: object) -> None:
    with pytest.raises(UserError, match=r"best.pt: its modules is not as this project writes it"):
        require("best.pt", [entry])


def test_a_line_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    say("a")
    say("b")
    say("a")
    assert capsys.readouterr().out == "a\nb\n"
