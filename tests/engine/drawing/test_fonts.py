"""Names in any script: a font is found by its letters, mixed texts, and a note where there is none.

The fonts are made here, since machines differ in which are installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager, get_data_path

from engine.drawing import fonts
from engine.drawing.draw import draw_boxes
from engine.drawing.figures import class_labels, make_figure, save_figure

CACHES = (
    fonts.installed_fonts,
    fonts._codes_of,
    fonts._other_fonts,
    fonts._say_what_to_install,
    fonts._family_of,
)


def make_font(path: Path, letters: str) -> Path:
    """A font in which each of the letters is a filled square."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    names = {ord(letter): f"square{number}" for number, letter in enumerate(letters)}
    pen = TTGlyphPen(None)
    for number, point in enumerate(((50, -100), (50, 800), (950, 800), (950, -100))):
        (pen.lineTo if number else pen.moveTo)(point)
    pen.closePath()
    square, blank = pen.glyph(), TTGlyphPen(None).glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    builder.setupGlyf({".notdef": blank, **dict.fromkeys(names.values(), square)})
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names.values()], (1000, 50)))
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=880, usWinAscent=880, usWinDescent=120)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A machine with a Chinese and a Korean font besides those of matplotlib: name -> file."""
    manager = font_manager.fontManager
    own = [font for font in manager.ttflist if font.fname.startswith(get_data_path())]
    monkeypatch.setattr(manager, "ttflist", own)
    made = {
        name: str(make_font(tmp_path / f"{name}.ttf", letters))
        for name, letters in (("ABold", "猫犬"), ("Chinese", "猫犬"), ("Korean", "고양이"))
    }
    (tmp_path / "Damaged.ttf").write_bytes(b"no font")
    found = [*made.values(), str(tmp_path / "Damaged.ttf"), str(tmp_path / "gone.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    monkeypatch.setattr(fonts, "YOLO_FOLDERS", ())
    for cache in CACHES:
        cache.cache_clear()
    yield made
    for cache in CACHES:
        cache.cache_clear()


def test_a_font_is_found_by_its_letters(machine: dict[str, str]) -> None:
    usual = fonts.usual_font()
    assert fonts.fonts_for("cat") == fonts.fonts_for("кот λ قطة") == (usual,)
    assert fonts.fonts_for("猫 0.5") == (usual, machine["Chinese"])  # rather than the bold one
    assert set(fonts.fonts_for("猫고양이")) == {usual, machine["Chinese"], machine["Korean"]}
    assert fonts.families_for("猫") == ["DejaVu Sans", "Chinese"]


def test_a_text_is_split_where_another_font_is_needed(machine: dict[str, str]) -> None:
    usual, chinese = fonts.usual_font(), machine["Chinese"]
    assert fonts.parts_by_font("a猫 犬 0.5") == [("a", usual), ("猫 犬 ", chinese), ("0.5", usual)]
    assert fonts.parts_by_font("e\u0301猫\u0301") == [("e\u0301", usual), ("猫\u0301", chinese)]


def test_letters_without_a_font_get_one_note(
    machine: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fonts.legible("猫고é") == "猫고é"
    assert capsys.readouterr().err == ""
    assert fonts.legible("鳥 0.5") == fonts.legible("馬 0.5") == "? 0.5"
    assert class_labels(["猫", "鳥", "馬"]) == ["猫", "1: ?", "2: ?"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "fonts-noto-cjk" in said or "fonts.google.com" in said


def test_labels_and_charts_show_the_letters(machine: dict[str, str], tmp_path: Path) -> None:
    image, box = np.full((160, 240, 3), 127, np.uint8), np.array([[20, 60, 200, 150]])
    drawn, other = (draw_boxes(image, box, [text], [0]) for text in ("猫猫猫猫", "????"))
    light = [(picture[:60] > 200).all(2).sum() for picture in (drawn, other)]
    assert light[0] > 4 * 100  # four squares in the colour of the text
    assert light[0] > 2 * light[1]
    figure = make_figure(2, 1, dpi=50)
    figure.subplots().set_title("猫 $a$", fontweight="bold")
    assert save_figure(figure, tmp_path / "x.png").stat().st_size  # the fixture fails on a warning
