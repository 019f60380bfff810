"""Command lines made from dataclasses: each field is a flag, and its metadata has the help text."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Generic, NoReturn, TypeVar

from utils.errors import UserError
from utils.known_flags import in_full, why_unknown
from utils.text import printable, shown
from utils.version import __version__

T = TypeVar("T")
MOST = 2**53  # whole numbers beyond it are exact in no float, and overflow in PyTorch and NumPy


def flag(default: object, help: str, **options: object) -> Any:
    """Make a dataclass field that is also a flag.

    Args:
        default: The field's default. False makes a switch, and a list accepts several values.
        help: The flag's text in --help.
        options: kind (the type of a value; the default's own type if left out), aliases, nargs,
            const, choices, action; flag=False keeps the field off the command line.
    """
    if isinstance(default, list):
        value = tuple(default)
        return dataclasses.field(default=value, metadata={"help": help, "nargs": "+", **options})
    return dataclasses.field(default=default, metadata={"help": help, **options})


def names_of(field: dataclasses.Field[object]) -> list[str]:
    """All spellings of a field's flag: with dashes as in YOLOv5, with underscores, and aliases."""
    dashed = "--" + field.name.replace("_", "-")
    spellings = [dashed, "--" + field.name, *field.metadata.get("aliases", ())]
    return list(dict.fromkeys(spellings))


def _help(field: dataclasses.Field[object]) -> str:
    """The flag's help text, with its default if it has one."""
    value = field.default
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
    return field.metadata["help"] + (
        "" if shown in ("", None) or shown is False else f" (default: {shown})"
    )


def _add_field(parser: argparse.ArgumentParser, field: dataclasses.Field[object]) -> None:
    """Add a field's flag to the parser."""
    meta = field.metadata
    common: dict[str, Any] = {
        "dest": field.name,
        "default": argparse.SUPPRESS,  # keeps a flag that was not given out of the result
        "help": _help(field),
    }
    if field.default is False and "nargs" not in meta:
        parser.add_argument(*names_of(field), action="store_true", **common)
        return
    sample = (
        field.default[0] if isinstance(field.default, tuple) and field.default else field.default
    )
    kind = meta.get("kind", type(sample) if sample is not None else str)
    common["type"] = _whole if kind is int else kind
    for key in ("nargs", "const", "choices", "metavar", "action"):
        if key in meta:
            common[key] = meta[key]
    parser.add_argument(*names_of(field), **common)


def _whole(text: str) -> int:
    """A whole number that libraries can count with."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{printable(text, 60)} is no whole number") from None
    if abs(number) > MOST:
        raise argparse.ArgumentTypeError(f"{printable(text, 60)} is too large a number")
    return number


class _Parser(argparse.ArgumentParser):
    """argparse that raises UserError, so that a mistake is one line and exit status 2."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def read_flags(
    kind: type,
    argv: Sequence[str] | None,
    description: str,
    refused: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Read a command line.

    Args:
        kind: A dataclass whose fields were made by flag().
        argv: The words; None takes those of sys.argv.
        description: The first line of --help.
        refused: YOLOv5's flags that this program does not have, each with the sentence that says
            what to use instead.

    Returns:
        Field -> value, for the flags that were given and only those.

    Raises:
        UserError: A flag is unknown, refused or malformed.
    """
    parser = _Parser(
        description=description, epilog=f"Attention YOLO {__version__}", allow_abbrev=False
    )
    for field in dataclasses.fields(kind):
        if field.metadata.get("flag", True) and "help" in field.metadata:
            _add_field(parser, field)
    flags = {name: action.dest for action in parser._actions for name in action.option_strings}
    words = sys.argv[1:] if argv is None else argv
    known, unknown = parser.parse_known_args(
        [in_full(word, flags, refused or {}) for word in words]
    )
    if unknown:
        raise UserError(why_unknown(unknown, flags, refused or {}, parser.prog))
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in vars(known).items()
    }


def build(kind: type[T], values: Mapping[str, object], origin: str = "") -> T:
    """Make a dataclass from values that may come from files.

    Args:
        kind: A dataclass whose fields were made by flag().
        values: Field -> value.
        origin: The file that the values are from, for errors; "" for none.

    Raises:
        UserError: A field is unknown, or a value has the wrong type or is refused by the class.
    """
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    where = f"{origin}: " if origin else ""
    for name, value in values.items():
        if name not in known:
            raise UserError(
                f"{where}{printable(name, 60)}: no such setting; known are {', '.join(known)}"
            )
        default: object = known[name].default
        # An int is fine where a float is wanted. A field whose default is None takes any value.
        fits = type(value) is type(default) or (type(default) is float and type(value) is int)
        if not fits and default is not None:
            raise UserError(
                f"{where}{name}: {shown(value)} is {type(value).__name__}, {type(default).__name__}"
                " is needed"
            )
        if not (isinstance(default, tuple) and isinstance(value, tuple)):
            continue
        for part in value:
            wanted = known[name].metadata.get("kind", type(default[0]) if default else type(part))
            if not isinstance(part, {int: Integral, float: Real}.get(wanted, wanted)):
                raise UserError(
                    f"{where}{name}: {shown(part)} is {type(part).__name__}, {wanted.__name__} is"
                    " needed"
                )
    return kind(**values)


@dataclasses.dataclass(frozen=True)
class CommandLine(Generic[T]):
    """What a program takes on its command line.

    Its module imports nothing that takes long, so that --help and a mistake are answered at once.

    Attributes:
        kind: A dataclass whose fields were made by flag().
        description: The first line of --help.
        refused: YOLOv5's flags that the program does not have, each with what to use instead.
        prepare: Changes the words before they are read.
    """

    kind: type[T]
    description: str
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prepare: Callable[[Sequence[str]], list[str]] = list

    def read(self, argv: Sequence[str] | None = None) -> dict[str, Any]:
        """The flags that were given, as read_flags() returns them; None takes sys.argv's words."""
        words = self.prepare(sys.argv[1:] if argv is None else argv)
        return read_flags(self.kind, words, self.description, self.refused)

    def check(self, argv: Sequence[str] | None = None) -> dict[str, Any]:
        """As read(), but a value that is impossible by itself is refused too."""
        given = self.read(argv)
        build(self.kind, given)
        return given
