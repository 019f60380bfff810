"""Text of strangers, made harmless before it is shown: class names, file names, values of YAML.

A class name or a file name may hold escape sequences that change a terminal, line breaks that fake
a line of output, marks that turn the direction of writing, or bytes that are not UTF-8.
"""

from __future__ import annotations

import reprlib
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # several scripts and emoji need them
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def printable(text: object, limit: int = 0) -> str:
    r"""One line of text that changes nothing but the line itself.

    Control characters, line breaks and marks of direction become escapes such as `\x1b`; half a
    surrogate pair, which is how Python holds a byte that is not UTF-8, becomes a replacement sign.

    Args:
        text: What is shown, as str() gives it.
        limit: Number of characters from which on the text is cut, with an ellipsis; 0 for no limit.

    Returns:
        The text, which can be encoded as UTF-8.
    """
    whole = str(text)
    cut = limit and len(whole) > limit
    shown = whole[: limit - 1] if cut else whole
    if not shown.isprintable():
        shown = "".join(map(_printable_sign, shown))
    return f"{shown}…" if cut else shown


def _printable_sign(sign: str) -> str:
    if sign.isprintable() or sign in JOINERS or unicodedata.category(sign) == "Zs":
        return sign
    if unicodedata.category(sign) == "Cs":
        return REPLACEMENT
    return sign.encode("unicode_escape").decode("ascii")


class _Bounded(reprlib.Repr):
    """repr() that looks at a few entries of a few levels only."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 3, 6, 6, 6
        self.maxset = self.maxfrozenset = self.maxdeque = self.maxarray = 6
        self.maxstring = self.maxother = self.maxlong = 120

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write out numbers of more than some 4,300 digits.
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"<{x.bit_length()} bits>"


def shown(value: object, limit: int = 120) -> str:
    """A value as in Python, for messages; its cost is bounded whatever the value holds.

    A YAML of a few hundred bytes may stand for lists of 10^9 entries, whose repr() would fill the
    memory.

    Args:
        value: Anything that a file holds.
        limit: Number of characters from which on the text is cut.

    Returns:
        One printable line.
    """
    return printable(_Bounded().repr(value), limit)


def csv_cell(value: object) -> str:
    """Text for a cell of a CSV file, which no spreadsheet takes for a formula.

    A text that starts as a formula gets an apostrophe in front, as spreadsheets themselves quote
    it. Numbers stay as they are.
    """
    text = printable(value)
    is_number = isinstance(value, (int, float))
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not is_number else text
