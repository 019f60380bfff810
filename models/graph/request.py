"""Parse requests such as `--attention SimAM:e_lambda=1e-4@neck.P3+index.9`, without a graph."""

from __future__ import annotations

from dataclasses import dataclass

from models.attention import ATTENTION, ATTENTION_INITS, options
from models.attention._names import same_meaning
from models.graph.values import as_number, shorten
from models.own.attention import options_of
from models.own.registry import own_named
from utils.errors import UserError

SPELLED_CONSTANTS = {"true": True, "false": False, "none": None, "null": None}


@dataclass(frozen=True, slots=True)
class Request:
    """One module at one or more places.

    Attributes:
        text: the request as written, for errors.
        module: name of the attention module.
        arguments: of the module, by name.
        places: names of places, not looked up yet.
    """

    text: str
    module: str
    arguments: dict[str, object]
    places: tuple[str, ...]


def read_request(text: str, init: str = "") -> Request:
    """Parse `Name:argument=value,…@place+place`.

    Args:
        text: the request.
        init: how the module starts if the text has no `init`, paper or identity; "" leaves that
            to the graph.

    Returns:
        The request, its places not looked up yet.

    Raises:
        UserError: The text has another form, or an unknown name in it.
    """
    where = f"--attention {shorten(text)}"
    what, at, wanted = text.rpartition("@")
    name, _, listed = what.partition(":")
    name = name.strip()
    if not at or not wanted.strip() or not name:
        raise UserError(
            f"{where}: write module@place, such as SimAM@neck or"
            " CBAM:reduction=8@backbone.P5+index.9"
        )
    if name not in ATTENTION and not own_named(name):
        raise UserError(
            f"{where}: {name}: no such attention module{same_meaning(name, (), sorted(ATTENTION))}"
        )
    arguments = _read_arguments(where, name, listed)
    if init:
        # The init in the text takes precedence over the one for all modules.
        arguments.setdefault("init", init)
    if arguments.get("init", ATTENTION_INITS[0]) not in ATTENTION_INITS:
        raise UserError(
            f"{where}: init={arguments['init']}: must be {' or '.join(ATTENTION_INITS)}"
        )
    return Request(text, name, arguments, tuple(place.strip() for place in wanted.split("+")))


def _read_arguments(where: str, name: str, listed: str) -> dict[str, object]:
    """The values of `argument=value,argument=value`, which the module called name takes."""
    arguments: dict[str, object] = {}
    known = [*_options(name), "init"]
    for part in filter(None, listed.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in known:
            raise UserError(
                f"{where}: {shorten(part)}: {name} takes argument=value, with {', '.join(known)}"
            )
        if key in arguments:
            raise UserError(f"{where}: {key}: is given twice; remove one of the two")
        arguments[key] = SPELLED_CONSTANTS.get(value.lower(), as_number(value))
    return arguments


def _options(name: str) -> list[str]:
    """What a module takes by name, a person's block too."""
    own = own_named(name)
    return [one.name for one in options_of(own)] if own else options(ATTENTION[name])
