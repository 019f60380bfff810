"""Text of strangers, made harmless before it is shown: class names, file names, values of YAML.

A class name or a file name may hold escape sequences that change a terminal, line breaks that fake
a line of output, marks that turn the direction of writing, or bytes that are not UTF-8.
"""

from __future__ import annotations

import os
import re
import reprlib
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # several scripts and emoji need them
URL = re.compile(r"[a-z][a-z0-9+.-]*://\S*|\b(?:rtsps?|rtmps?|https?):\S+", re.IGNORECASE)
# Signs that a file system may refuse or a terminal obeys. Bytes that are not UTF-8 may stay, since
# the name of a file may hold them.
UNSAFE = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udc7f\udd00-\udfff]'
)
RESERVED = {"con", "prn", "aux", "nul"}.union(
    f"{kind}{n}" for kind in ("com", "lpt") for n in "123456789"
)
WITHOUT_WIDTH = ("Mn", "Me", "Cf")  # marks above and below letters, and signs of format
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


def counted(count: int, singular: str, plural: str = "") -> str:
    """A number with what it counts: `1 image`, `1,234 images`.

    Args:
        count: How many there are.
        singular: The words after 1.
        plural: The words after any other number; "" adds an s to the singular.
    """
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def csv_cell(value: object) -> str:
    """Text for a cell of a CSV file, which no spreadsheet takes for a formula.

    A text that starts as a formula gets an apostrophe in front, as spreadsheets themselves quote
    it. Numbers stay as they are.
    """
    text = printable(value)
    is_number = isinstance(value, (int, float))
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not is_number else text


def display_width(text: str) -> int:
    """Number of columns that a text takes in a terminal.

    Wide characters (Chinese, Japanese, Korean) take two columns; combining ones, joiners and the
    second and third letter of a Korean syllable in parts take none.
    """
    return len(text) if text.isascii() else sum(map(_sign_width, text))


def _sign_width(sign: str) -> int:
    if unicodedata.category(sign) in WITHOUT_WIDTH or "\u1160" <= sign <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def fit(text: str, width: int, align: str = "<") -> str:
    """Pad text to width columns, with `align` "<" on the right and ">" on the left.

    Longer text is returned unchanged.
    """
    blanks = " " * max(width - display_width(text), 0)
    return blanks + text if align == ">" else text + blanks


def public_url(url: str) -> str:
    """A URL as scheme://host/path, without what may be a secret.

    User name, password, query and fragment are left out, and so is the part of a path that sets a
    value, as in `/user=admin&password=…`. After a password with an unquoted slash or question mark
    nobody can tell where the host begins, so that only the scheme is shown.
    """
    scheme, mark, rest = re.split("(:/*)", url, maxsplit=1)
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    if "@" in path:
        return f"{scheme}{mark}…"
    path = re.split("[?#]", path, maxsplit=1)[0]
    before, sets, _ = path.partition("=")
    if sets:
        path = before.rpartition("/")[0] + "/…"
    # After a forgotten host, what looks like a port is a password.
    host = re.sub(r":(?!\d*$)[^\]]*$", "", authority.rpartition("@")[2])
    return f"{scheme}{mark}{host}{path}"


def without_secrets(text: str) -> str:
    """A text with every URL in it as public_url() shows it."""
    return URL.sub(lambda found: public_url(found[0]), text) if ":" in text else text


def _writable_sign(sign: str) -> str:
    """A sign, or its number where the system's names of files have no such sign."""
    try:
        os.fsencode(sign)
    except UnicodeEncodeError:
        return f"u{ord(sign):04x}"
    return sign


def file_name(text: str, fallback: str = "_", limit: int = 200) -> str:
    """A stranger's text as one part of a path on every system, which names no other folder.

    Args:
        text: For example the name of a class, or an address.
        fallback: What stands for a text without any usable sign.
        limit: Bytes from which on the text is cut; 0 for no limit.
    """
    name = "".join(map(_writable_sign, UNSAFE.sub("_", text).strip(" .")))
    content = os.fsencode(name)
    if limit and len(content) > limit:
        name = content[:limit].decode("utf-8", errors="ignore")
    is_reserved = name.partition(".")[0].strip().casefold() in RESERVED
    return (f"_{name}" if is_reserved else name) or fallback


def unquoted(line: str) -> str:
    """A line of a list without the quotes around it."""
    quoted = len(line) > 1 and line[0] in "\"'" and line[-1] == line[0]
    return line[1:-1].strip() if quoted else line
