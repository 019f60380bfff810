"""Conventions follow from the names of parameters, else from a trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from models.own.convention import announce, convention_of
from models.own.registry import OWN, say, use

Write = Callable[..., Path]
SAME, DOUBLE = "x", "torch.cat((x, x), 1)"


def build(write: Write, parameters: str, body: str = "pass", result: str = SAME) -> None:
    use(
        [
            write(
                f"class Mine(nn.Module):\n    def __init__(self{parameters}):\n"
                f"        super().__init__()\n        {body}\n"
                f"    def forward(self, x):\n        return {result}\n"
            )
        ]
    )


@pytest.mark.parametrize(
    ("parameters", "style", "repeats"),
    [
        ("", "none", False),
        (", e_lambda=1e-4", "none", False),
        (", no_spatial=False, kernel_size=7", "none", False),
        (", gamma: float", "none", False),
        (", *, groups=8", "none", False),
        (", channel=512, reduction=16", "first", False),
        (", dim, heads=8", "first", False),
        (", channels, *, reduction=16", "first", False),
        (", in_channels, ratio", "first", False),
        (", c1, c2, n=1, shortcut=True", "both", True),
        (", c1, c2, number=1", "both", True),
        (", c1, c2, repeats", "both", True),
        (", c1, c2, k=1, n=1", "both", False),
        (", inp, oup, reduction=32", "both", False),
        (", in_channels, out_channels=None, rate=4", "both", False),
        (", inplanes, planes", "both", False),
        (", channel, n=1", "first", False),
    ],
)
def test_by_names(write: Write, parameters: str, style: str, repeats: bool) -> None:
    build(write, parameters)
    found = convention_of(OWN["Mine"])
    assert (found.style, found.repeats) == (style, repeats)
    assert found.is_attention == (style != "both")


@pytest.mark.parametrize(
    ("parameters", "body", "result", "style", "attention"),
    [
        (", size", "self.c = nn.Conv2d(size, size, 1)", "self.c(x)", "first", True),
        (", a, b", "self.c = nn.Conv2d(a, b, 1)", "self.c(x)", "both", False),
        (
            ", a, b",
            "self.c = nn.Conv2d(a, a, b + 1 - b % 2)",
            "x + self.c(x).mean()",
            "first",
            True,
        ),
        (", k=3", "self.c = nn.Conv2d(64, 64, k)", "x + self.c(x).mean()", "none", True),
        (", embed=512", "self.c = nn.Conv2d(embed, embed, 1)", "self.c(x)", "first", True),
        (", k=2", "self.p = nn.MaxPool2d(k)", "self.p(x)", "none", False),
        (", dim", "pass", DOUBLE, "first", False),
        ("", "pass", "torch.cat(x, 1)", "none", False),
        (", dim", "pass", "x[0] + x[1]", "first", False),
    ],
)
def test_by_trial(
    write: Write, parameters: str, body: str, result: str, style: str, attention: bool
) -> None:
    build(write, parameters, body, result)
    found = convention_of(OWN["Mine"])
    assert (found.style, found.is_attention) == (style, attention)


def test_one_line_says_what_was_taken(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    say.cache_clear()
    build(write, ", c1, c2, n=1")
    announce(OWN["Mine"])
    announce(OWN["Mine"])
    assert capsys.readouterr().out == (
        "note: my_attention.py: Mine(c1, c2, n=1): takes channels in and out, and a row's first"
        " argument is those out, its number the third (told by its parameters); rows of it are"
        " blocks\n"
    )
