"""How a person's class wants its channels: from its constructor's names, else by trying it.

Forks build rows in two ways. Some prepend the channels of the map to the row's arguments, as this
project does for attention. Others give the channels in and out, the row's first argument being
those that go out, and blocks of several repeats get their number as third argument. Classes
without weights often take no channels at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from models.own.adapter import output_shape
from models.own.registry import OwnClass, say
from utils.errors import UserError

Style = Literal["none", "first", "both"]
# Names in use for the channels of the incoming map and of the output, without underscores.
INCOMING_NAMES = (
    "c c1 cin inc inch inchan inchans inchannel inchannels inputchannel inputchannels channelin"
    " channelsin ch chin chn channel channels numchannel numchannels nchannels nc dim dims indim"
    " indims inputdim dmodel embeddim inp inplane inplanes inplaces infeature infeatures feature"
    " features nfeat nfeats numfeat numfeats nf infilters filters gatechannel gatechannels inputs"
    " insize inputsize"
)
OUTGOING_NAMES = (
    "c2 cout out outc outch outchan outchans outchannel outchannels outputchannel outputchannels"
    " channelout channelsout chout dimout outdim outdims outputdim oup ouc outp outplane outplanes"
    " planes places outfeature outfeatures outfilters outputs"
)
INCOMING, OUTGOING = frozenset(INCOMING_NAMES.split()), frozenset(OUTGOING_NAMES.split())
REPEATS = frozenset({"n", "repeats", "number"})
CHANNELS, OTHER, SIDE = 64, 32, 32  # of the maps on which a class is tried
SAID = {
    "none": "takes no channels, only a row's arguments",
    "first": "takes the map's channels, then a row's arguments",
    "both": "takes channels in and out, and a row's first argument is those out",
}


@dataclass(frozen=True)
class Convention:
    """How rows of a class are built.

    Attributes:
        style: which channels come first: none, those of the map, or both in and out.
        repeats: whether the row's number is the third argument.
        keeps: whether the class works on one map and keeps its shape, as attention does.
        source: what says so.
    """

    style: Style
    repeats: bool
    keeps: bool
    source: str

    @property
    def is_attention(self) -> bool:
        """Whether rows of the class are attention: they keep the map, and base rows their keys."""
        return self.keeps and self.style != "both"

    @property
    def text(self) -> str:
        """One sentence for the person, with what it follows from."""
        extra = ", its number the third" if self.repeats else ""
        kind = "attention" if self.is_attention else "blocks"
        return f"{SAID[self.style]}{extra} ({self.source}); rows of it are {kind}"


@cache
def convention_of(own: OwnClass) -> Convention:
    """The convention of a class, found once."""
    style, source = _style(own)
    names = [_plain(one) for one in own.parameters]
    repeats = style == "both" and names[2:3] != [] and names[2] in REPEATS
    return Convention(style, repeats, style != "both" and _keeps(own, style), source)


def announce(own: OwnClass) -> None:
    """Print the convention of a class, once."""
    say(f"note: {own.file.name}: {own.name}{own.signature}: {convention_of(own).text}")


def _plain(parameter: inspect.Parameter) -> str:
    return parameter.name.lower().replace("_", "")


def _style(own: OwnClass) -> tuple[Style, str]:
    """The style, and what it was told by."""
    named = "told by its parameters"
    parameters = own.parameters
    if not parameters:
        return "none", "it has none"
    first = parameters[0]
    if _plain(first) in INCOMING:
        both = len(parameters) > 1 and _plain(parameters[1]) in OUTGOING
        return "both" if both else "first", named
    if not _may_count(first):
        return "none", named
    return _tried(own), "told by a trial"


def _may_count(parameter: inspect.Parameter) -> bool:
    """Whether default and annotation allow that a parameter is a number of channels."""
    default, empty = parameter.default, inspect.Parameter.empty
    is_count = isinstance(default, int) and not isinstance(default, bool)
    if parameter.kind == parameter.KEYWORD_ONLY or not (default is empty or is_count):
        return False
    return parameter.annotation in (empty, int, "int", "")


def _tried(own: OwnClass) -> Style:
    """The style of a class whose first parameter has a name that says nothing."""
    required = [one for one in own.parameters if one.default is one.empty]
    if not required and _shape(own, []):
        return "none"
    if len(required) < 2 and _shape(own, [CHANNELS]):
        return "first"
    given = _shape(own, [CHANNELS, OTHER]) if len(own.parameters) > 1 else ()
    if given and given[1] == OTHER:
        return "both"
    return "first" if required else "none"


def _keeps(own: OwnClass, style: Style) -> bool:
    """Whether a class keeps the shape of a map. If it cannot be tried, it is expected to."""
    args = [CHANNELS] if style == "first" else []
    shape = _shape(own, args)
    if shape:
        return shape == (1, CHANNELS, SIDE, SIDE)
    # One that fails for a map may want a list of them.
    lists = ([[CHANNELS] * 2], args) if style == "first" else (args,)
    return not any(_shape(own, one, maps=2) for one in lists)


def _shape(own: OwnClass, args: Sequence[object], maps: int = 0) -> tuple[int, ...]:
    """The output's shape for a map of CHANNELS, or for a list of maps; () if the class fails."""
    shapes = [(1, CHANNELS, SIDE, SIDE)] * max(maps, 1)
    try:
        return tuple(output_shape(own, args, {}, shapes, as_list=maps > 0))
    except UserError:
        return ()
