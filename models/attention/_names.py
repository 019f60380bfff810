"""Names close to a name, for errors about a module that does not exist.

Names of modules are mostly abbreviations, so that a name one letter away is usually another module:
SEAM and SCAM, GSConv and DSConv. A suggestion must mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SHORTEST = 5  # letters of a name in which one wrong letter still shows what was meant


def same_meaning(word: str, blocks: Iterable[str], attention: Iterable[str]) -> str:
    """Return "; did you mean X?" for a known name that must be what was meant, or nothing.

    It differs from word in capitals, underscores, or the word Attention; or by two letters that
    changed places; or by one small letter of a long name.

    Args:
        word: the name that does not exist.
        blocks: known names of blocks.
        attention: known names of attention modules.

    Returns:
        The end of an error's sentence, or "".
    """
    known = [*((name, _plain) for name in blocks), *((name, _stem) for name in attention)]
    for is_same in (_equal, _is_slip):
        for name, short in known:
            if is_same(short(word), short(name)):
                return f"; did you mean {name}?"
    return ""


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", name.removeprefix("torch.").removeprefix("nn."))


def _stem(name: str) -> str:
    """The part of an attention module's name that distinguishes it."""
    plain = _plain(name)
    return re.sub("attention|attn|att$|module|layer", "", plain, flags=re.IGNORECASE) or plain


def _equal(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _is_slip(one: str, other: str) -> bool:
    """Whether two names differ by one slip of the keyboard."""
    if one[:1].lower() != other[:1].lower() or re.sub(r"\D", "", one) != re.sub(r"\D", "", other):
        return False
    # The letters of abbreviations such as RFAConv and RFCAConv decide, not those of Conv.
    letters = [re.sub("conv", "", name, flags=re.IGNORECASE) for name in (one, other)]
    if min(map(len, letters)) >= SHORTEST and _is_one_letter(one, other):
        return True
    return any(
        _equal(one[:place] + one[place + 1 : place + 2] + one[place] + one[place + 2 :], other)
        for place in range(len(one) - 1)
    )


def _is_one_letter(one: str, other: str) -> bool:
    """Whether two texts differ by one letter: another, one too many, or one too few.

    A capital is the initial of a word, and so not a slip.
    """
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) == len(longer):
        pairs = [pair for pair in zip(one, other, strict=True) if not _equal(*pair)]
        return len(pairs) == 1 and not "".join(pairs[0]).isupper()
    return any(
        _equal(longer[:place] + longer[place + 1 :], shorter) and not longer[place].isupper()
        for place in range(len(longer))
    )
