"""A user's mistake is one line and exit status 2; any other error is a bug, with its traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from utils.text import printable

LONGEST_LINE = 2000  # characters of an error; a value of a file may have millions


class UserError(Exception):
    """Something that the user can fix.

    The message names the file, the row, the value and the remedy, in one line.
    """


def check_setting(condition: bool, name: str, value: object, remedy: str) -> None:
    """Raise UserError unless a condition holds.

    Args:
        condition: Whether the setting is acceptable.
        name: The setting's name, as the user writes it.
        value: Its value.
        remedy: What the user must change.
    """
    if not condition:
        raise UserError(f"{name}={value}: {remedy}")


def run_main(main: Callable[[list[str] | None], object], argv: list[str] | None = None) -> int:
    """Call main(argv) and return the exit status: the int that main returns, else 0.

    The status is 2 after a UserError, and 130 after Ctrl-C.
    """
    try:
        status = main(argv)
    except UserError as error:
        print(f"error: {printable(error, LONGEST_LINE)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has ended, as in `... | head`
        # Python would report the failed flush of stdout there when it exits.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return status if isinstance(status, int) else 0
