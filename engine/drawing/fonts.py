"""Fonts of this machine that have the letters of a text, whatever its script.

plates.py and figures.py ask for them. matplotlib brings DejaVu Sans, which has Latin, Greek,
Cyrillic, Arabic and Hebrew letters. For others, such as Chinese, Japanese and Korean, the installed
fonts are searched for the letters themselves, since machines differ in what their fonts are called.
Nothing is downloaded.
"""

from __future__ import annotations

import os
import unicodedata
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np

from utils.output import say

# Words in the names of files that do not hold a font's usual style; such fonts are tried last.
RARE_STYLES = ("bold", "black", "heavy", "light", "thin", "italic", "oblique", "mono", "serif")
# This font of matplotlib shows every character as a box.
PLACEHOLDERS = ("lastresort",)
# Where YOLOv5 and Ultralytics keep the font that they draw such names with.
YOLO_FOLDERS = ("~/.config/Ultralytics", "~/.config/yolov5")
CJK_PREFIXES = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "FULLWIDTH", "IDEOGRAPHIC", "BOPOMOFO")


@cache
def usual_font() -> str:
    """The file of DejaVu Sans, which comes with matplotlib."""
    from matplotlib import get_data_path

    return str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


@cache
def installed_fonts() -> tuple[str, ...]:
    """The files of all fonts that matplotlib knows or that lie in the system's folders.

    Fonts of the usual style come first.
    """
    from matplotlib import font_manager

    # matplotlib keeps its list in a file, so that it does not know what was installed later.
    found = {font.fname for font in font_manager.fontManager.ttflist}
    found.update(font_manager.findSystemFonts())
    for folder in YOLO_FOLDERS:
        found.update(map(str, Path(folder).expanduser().glob("*.tt[cf]")))
    names = {file: Path(file).stem.lower().replace("-", "") for file in found}
    usable = [file for file, name in names.items() if not name.startswith(PLACEHOLDERS)]
    return tuple(
        sorted(usable, key=lambda file: (sum(word in names[file] for word in RARE_STYLES), file))
    )


@cache
def _codes_of(file: str) -> np.ndarray:
    """The sorted code points for which a font has glyphs; none if it cannot be drawn with."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(file)
        # Fonts of coloured images, such as those of emoji, have a single size.
        codes = font.get_charmap() if font.scalable else {}
    except (OSError, RuntimeError):  # a damaged file, or one that was uninstalled
        codes = {}
    return np.array(sorted(codes), dtype=np.uint32)


def _has(file: str, letters: str) -> np.ndarray:
    """[n] whether a font has each of n letters."""
    has: np.ndarray = np.isin(np.array([ord(letter) for letter in letters]), _codes_of(file))
    return has


@lru_cache(maxsize=1024)
def _other_fonts(letters: str) -> tuple[str, ...]:
    """The files of installed fonts that together have the letters, as far as there are any."""
    chosen: list[str] = []
    while letters:
        best, most = "", 0
        for file in installed_fonts():
            count = int(_has(file, letters).sum())
            if count > most:
                best, most = file, count
            if most == len(letters):
                break
        if not best:
            break
        chosen.append(best)
        letters = "".join(
            letter for letter, has in zip(letters, _has(best, letters), strict=True) if not has
        )
    return tuple(chosen)


def fonts_for(text: str) -> tuple[str, ...]:
    """The files of fonts that together have all letters of a text, as far as there are any.

    The first is DejaVu Sans, and others are there only if they are needed.
    """
    letters = "" if text.isascii() else "".join(sorted(set(text)))
    lacking = "".join(
        letter
        for letter, has in zip(letters, _has(usual_font(), letters), strict=True)
        if not has and not letter.isspace()
    )
    return (usual_font(), *_other_fonts(lacking))


def legible(text: str) -> str:
    """A text with "?" for each character that no font of this machine has.

    The first such text is followed by a note on stderr that says what to install.
    """
    if text.isascii():
        return text
    files = fonts_for(text)
    has = np.logical_or.reduce([_has(file, text) for file in files])
    if has.all():
        return text
    lacking = [sign for sign, found in zip(text, has, strict=True) if not found]
    _say_what_to_install(any(map(_is_cjk, lacking)))
    return "".join(sign if found else "?" for sign, found in zip(text, has, strict=True))


def _is_cjk(sign: str) -> bool:
    return unicodedata.name(sign, "").startswith(CJK_PREFIXES)


@cache
def _say_what_to_install(is_cjk: bool) -> None:
    """Say it once for each kind of letters, since many charts have the same names."""
    name = "noto-cjk" if is_cjk else "noto"
    letters = "Chinese, Japanese and Korean letters" if is_cjk else "all letters of the names"
    remedy = (
        f"`apt install fonts-{name}`, or put a font file that has them into ~/.fonts"
        if os.name == "posix"
        else "install a Noto font from fonts.google.com/noto"
    )
    say(f"note: no font on this machine has {letters}, so images and charts show ? there; {remedy}")


def parts_by_font(text: str) -> list[tuple[str, str]]:
    """Split a text where another font is needed: (part, file of its font) in order."""
    if text.isascii():
        return [(text, usual_font())]
    files = fonts_for(text)
    table = np.array([_has(file, text) for file in files])
    chosen = [files[int(place)] for place in table.argmax(0)]
    for at, sign in enumerate(text):
        # A mark is drawn onto the letter before it, which only its own font can do.
        if at and (unicodedata.combining(sign) or sign.isspace()):
            chosen[at] = chosen[at - 1]
    pairs = groupby(zip(text, chosen, strict=True), key=lambda pair: pair[1])
    return [("".join(sign for sign, _ in group), file) for file, group in pairs]


@cache
def _family_of(file: str) -> str:
    """matplotlib's name of a font, which is made known to it if it is not yet."""
    from matplotlib import font_manager

    if all(font.fname != file for font in font_manager.fontManager.ttflist):
        font_manager.fontManager.addfont(file)
    return font_manager.FontProperties(fname=file).get_name()


def families_for(text: str) -> list[str]:
    """matplotlib's names of the fonts that a text needs, in the order of their use."""
    return [_family_of(file) for file in fonts_for(text)]
