"""A user's mistake is one line and exit status 2; any other error is a bug, with its traceback.

A fault of the environment, such as a full disk, counts as a mistake that the user can fix.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable

from utils.endings import ENDINGS, signals_as_exceptions
from utils.output import drop_output, lost_stream, open_streams, say
from utils.signals import BROKEN_PIPE, StopRequested
from utils.text import printable, without_secrets

# What a disk reports while it is written, without the name of the file.
DISK_FAULTS = (errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", 0))

# What libraries say where the processor or a GPU has no memory left.
LACKS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "STATUS_ALLOC_FAILED",
    "Storage size calculation overflowed",
)

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


def run_main(
    main: Callable[[list[str] | None], object],
    argv: list[str] | None = None,
    lower: str = "--batch-size or --imgsz",
) -> int:
    """Call main(argv) and return the exit status: the int that main returns, else 0.

    The status is 2 after a UserError, and after a fault of a file or of our own output. It is 129
    if the terminal was closed, 130 after Ctrl-C, 141 if the reader of our output has ended, and 143
    after SIGTERM.

    Args:
        main: The program.
        argv: Its words; None stands for those of the command line.
        lower: The flags that need less memory if they are smaller.
    """
    open_streams()
    try:
        with signals_as_exceptions():
            status = _status_of(main, argv, lower)
            lost = lost_stream()
            if lost and status == 0:  # a library may have ignored it
                raise lost[1]
    except StopRequested as request:
        status = request.status
        say(ENDINGS.get(status, "stopped"))
    except OSError as error:
        status = _fault(error)
    drop_output()
    return status


def _status_of(
    main: Callable[[list[str] | None], object], argv: list[str] | None, lower: str
) -> int:
    try:
        status = main(argv)
    except UserError as error:
        print(f"error: {without_secrets(printable(error, LONGEST_LINE))}", file=sys.stderr)
        return 2
    except SystemExit as end:
        status = end.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        print(ENDINGS[130], file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        reason = lack_of_memory(error)
        say(f"error: the memory is too small ({reason}); use a smaller {lower}")
        return 2
    return status if isinstance(status, int) else 0


def lacks_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether an error says that more memory was asked for than there is."""
    # PyTorch has a class for a GPU's memory, and only words for that of the processor. Its module
    # takes seconds to import, so that the class is known by its name here.
    is_named = type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError)
    return is_named or any(word in str(error) for word in LACKS)


def lack_of_memory(error: MemoryError | RuntimeError) -> str:
    """What such an error says, without torch's account of who has the rest of the memory."""
    words = re.sub(r"^\[enforce fail at [^]]*\][ .]*(err == 0\. )?", "", str(error))
    words = re.split(r"\.?\n|\. (?:Including|Process|Of the|If reserved)", words)[0]
    return printable(words or "Python has none left", 300)


def _fault(error: OSError) -> int:
    """Say what failed, and return the exit status; an error that may be a bug is raised again."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, StopRequested):
        cause = cause.__context__
    if isinstance(cause, StopRequested):  # the last lines could not be printed on the way out
        say(ENDINGS.get(cause.status, "stopped"))
        return cause.status
    lost = lost_stream()
    if isinstance(lost[1] if lost else error, BrokenPipeError):
        return BROKEN_PIPE
    if lost:
        say(f"error: {lost[0]}: cannot be written ({lost[1].strerror})")
    elif error.filename is not None:
        path = printable(os.fsdecode(error.filename), 300)
        say(f"error: {without_secrets(path)}: {error.strerror}; check this path")
    elif error.errno in DISK_FAULTS:
        say(f"error: {error.strerror}; free some space, or choose another place")
    else:
        raise error
    return 2
