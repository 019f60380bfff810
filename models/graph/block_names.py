"""Names such as C3SE, CBAMC3 or C2f_LSKA_Attention: a block with attention inside it.

One rule reads them all. A name is a block of models/graph/layers.py and an attention module of
models/attention in either order, with or without underscores, in any case of letters, and the
attention with or without the word Attention. A name that one of the two tables has itself means
what the table says. The row means its block with `{inside: …, place: …}` (models/graph/inside.py).

Public projects put attention of one name into different places. The place taken is the commonest
one, and `note` says it: before the addition in blocks that have bottlenecks, instead of the
self-attention in C2PSA, on the concatenation in SPPF and SPP, behind a Conv.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from types import MappingProxyType
from typing import Any

import torch

from models.attention import ATTENTION
from models.attention._arguments import by_position, choose_order
from models.attention._names import name_meant
from models.graph.inside import PLACES, places_of
from models.graph.layers import LAYERS, layer_named
from models.graph.values import is_whole, shorten
from utils.errors import UserError

# What public blocks of such names fix otherwise than the modules' own defaults, by block, "" for
# any, and attention.
PUBLIC_OPTIONS: Mapping[tuple[str, str], Mapping[str, object]] = MappingProxyType(
    {
        ("", "CBAM"): {"formula": "plain"},
        ("C3", "ECA"): {"k_size": 3},
        ("SPPF", "LSKA"): {"k_size": 11},
    }
)
TRIAL_WIDTH = 64  # channels of the block that is built to see its places
OPTION_SIZES = range(4, 65)  # a whole number here is a ratio, a kernel or a group count


@dataclass(frozen=True, slots=True)
class BlockName:
    """A name, read.

    Attributes:
        written: the name.
        base: name of the block, a key of LAYERS.
        attention: name of the attention's class.
        place: where it goes, a key of PLACES.
    """

    written: str
    base: str
    attention: str
    place: str

    @property
    def settings(self) -> dict[str, object]:
        """The mapping that means the same in a row of the block."""
        fixed = [PUBLIC_OPTIONS.get((base, self.attention), {}) for base in ("", self.base)]
        return {"inside": self.attention, "place": self.place, **fixed[0], **fixed[1]}

    def note(self, settings: Mapping[str, object]) -> str:
        """What a row of the name is taken for, with the settings of its mapping."""
        place = str(settings["place"])
        usual: Mapping[str, object] = getattr(ATTENTION[self.attention], "list_defaults", {})
        taken = {key: value for key, value in settings.items() if key not in ("inside", "place")}
        given = ", ".join(f"{key} {value}" for key, value in {**usual, **taken}.items())
        return (
            f"{self.written} is read as {self.base} with {self.attention}"
            f"{f' ({given})' if given else ''} {PLACES[place].words}; projects differ in the place,"
            " and {place: …} sets another"
        )


def read_block_name(name: str) -> BlockName | None:
    """The block and the attention that a name joins; None if it joins no two.

    C2fCA is a C2f with CA and not a C2 with FCA: the longest name of a block counts.
    """
    if layer_named(name) or name in ATTENTION:
        return None
    for base, word in _splits(name):
        kind = _attention_called(word)
        if kind is not None:
            return BlockName(name, base, kind.__name__, _usual_place(base))
    return None


def _splits(name: str) -> list[tuple[str, str]]:
    """Every block whose name a name begins or ends with, and what remains of the name.

    Blocks with the longest names come first.
    """
    lower = name.lower()
    found = []
    for base, layer in LAYERS.items():
        if layer.rule == "stack" and base.isidentifier() and len(base) < len(name):
            if lower.startswith(base.lower()):
                found.append((base, name[len(base) :]))
            if lower.endswith(base.lower()):
                found.append((base, name[: -len(base)]))
    return sorted(found, key=lambda split: len(split[1]))


def _attention_called(word: str) -> type[torch.nn.Module] | None:
    """The attention module of a name, in whatever case and with or without underscores.

    Of SK and SKAttention, which are two modules, each is found under its own name.
    """
    word = word.strip("_")
    if _stem(word) in ("", "att"):  # the word for attention of any kind
        return None
    if word in ATTENTION:
        return ATTENTION[word]
    for wanted in (_flat(word), _stem(word)):
        found = {kind for name, kind in ATTENTION.items() if _flat(name) == wanted}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _flat(name: str) -> str:
    return name.replace("_", "").lower()


def _stem(name: str) -> str:
    return _flat(name).removesuffix("attention")


def _usual_place(base: str) -> str:
    """The first place of PLACES that a block has, seen from a small one without data."""
    layer = LAYERS[base]
    with torch.device("meta"):
        try:
            block = layer.kind(TRIAL_WIDTH, TRIAL_WIDTH)
        except (TypeError, ValueError):  # it needs more arguments; every block has an output
            return "output"
    return places_of(block)[0]


def expand_block(name: BlockName, written: list[Any]) -> list[object]:
    """The arguments of the row of the block that means the same as a row of the name.

    The values that the block takes stay its own. What does not fit it, such as the 8 of
    `C2f_EMA, [256, 8]`, whose block takes a switch there, or follows its last argument, as the 11
    of `SPPF_LSKA, [1024, 5, 11]`, are the attention's options in their order. A mapping at the end
    may state the place and any option.

    Args:
        name: of the row, read.
        written: its list of arguments.

    Returns:
        The block's arguments, and the mapping `{inside: …, place: …}` at the end.

    Raises:
        UserError: There are more values than both take, or the mapping names another attention.
    """
    has_mapping = bool(written) and isinstance(written[-1], dict)
    values, given = (written[:-1], written[-1]) if has_mapping else (written, {})
    named = given.get("inside", name.attention)
    if not isinstance(named, str) or ATTENTION.get(named) is not ATTENTION[name.attention]:
        raise UserError(
            f"inside: {shorten(named)}: but the name {name.written} says {name.attention}"
        )
    own, rest = _split_values(name.base, values)
    kind = ATTENTION[name.attention]
    order = choose_order(kind, "", len(rest))
    if len(rest) > len(order):
        raise UserError(
            f"{shorten(values)}: {name.base} takes {shorten(own)} of it and {name.attention} at"
            f" most {len(order)} more ({', '.join(filter(None, order))})"
        )
    taken = by_position(order, rest)
    return [*own, {**name.settings, **taken, **given, "inside": name.attention}]


def _split_values(base: str, values: list[object]) -> tuple[list[object], list[object]]:
    """The values of a row that its block takes, and those after them."""
    layer = LAYERS[base]
    # After self, inputs and outputs, the last of which is the row's first value.
    parameters = list(signature(layer.kind.__init__).parameters.values())[3:]
    defaults = [one.default for one in parameters[layer.repeats :]]
    count = 1
    for value, default in zip(values[1:], defaults, strict=False):
        if _is_option(value, default) and value != values[0]:
            break
        count += 1
    return values[:count], values[count:]


def _is_option(value: object, default: object) -> bool:
    """Whether a value cannot be meant for the block's parameter that has this default.

    Only a whole number in place of a switch or of a share is: anything else, the block refuses.
    """
    takes_other = default is None or isinstance(default, bool | float)
    return takes_other and is_whole(value) and value in OPTION_SIZES


def suggest_inside(name: str) -> str:
    """`; did you mean C3 with {inside: CBAM}?` for a name of this file's kind that is misspelt."""
    for base, word in _splits(name)[:1]:
        meant = name_meant(word, (), ATTENTION)
        if meant:
            return f"; did you mean {base} with {{inside: {meant}}}?"
    return ""
