"""Figures: names as matplotlib can show them, files written whole or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from engine.drawing.figures import class_colors, class_labels, make_figure, printable, save_figure
from utils.errors import UserError


def test_printable_makes_one_harmless_line() -> None:
    assert printable("traffic\nlight") == "traffic light"
    assert (
        printable("_hidden") == " _hidden"
    )  # matplotlib leaves labels with a leading underscore out of legends
    assert printable(r"$\broken$") == r"\$\broken\$"
    assert printable("Größe кот λ") == "Größe кот λ"
    assert len(printable("x" * 100)) == 24
    assert printable(7) == "7"


def test_characters_without_a_glyph_are_replaced_and_numbered() -> None:
    unknown = "\U000f0000"  # private use, in no font
    assert printable(f"a{unknown}") == "a?"
    assert class_labels(["cat", unknown, unknown]) == ["cat", "1: ?", "2: ?"]


@pytest.mark.parametrize("count", [1, 3, 10, 20, 80])
def test_colours_differ(count: int) -> None:
    assert len({tuple(color) for color in class_colors(count)}) == count


def test_save_is_silent_whatever_the_text(tmp_path: Path) -> None:
    figure = make_figure(3, 2, dpi=50)
    figure.subplots().set_title(printable("类别 $a$ _b \U000f0000"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = save_figure(figure, tmp_path / "x.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        save_figure(make_figure(1, 1, dpi=20), tmp_path / "gone" / "x.png")
