"""A user's mistake is one line and exit status 2; anything else is ours and keeps its traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend.

    The message names the file, the row, the value and the remedy, in one line.
    """


def require(condition: bool, name: str, value: object, remedy: str) -> None:
    """Raise UserError, naming a setting and its value, unless condition holds."""
    if not condition:
        raise UserError(f"{name}={value}: {remedy}")


def run_main(main: Callable[[list[str] | None], object], argv: list[str] | None = None) -> int:
    """Call main(argv) and return the exit status: main's own int, else 0; 2 for a UserError, 130 or
    143 for signals.
    """
    try:
        status = main(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away, as in `... | head`
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return status if isinstance(status, int) else 0
