"""A call in a process of its own: what it gave, its processor time, and its memory.

The parent has imported everything, so that a call costs milliseconds and its memory is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.faults.common import Child, Ended, scratch_folder
from utils.errors import lacks_memory

LONGEST = 60  # seconds on the clock after which a call that waits or computes is killed
MOST_MEGABYTES = 2000  # beyond those of the parent, at which it is killed
ERROR = "error: "  # what a refusal begins with


@dataclass(frozen=True)
class MeasuredCall:
    """The end of a call.

    Attributes:
        how: "read", "refused", "traceback" or "killed".
        text: what the call returned, the line of the error, or the traceback.
        seconds: of the processor, since other programs may share it; on the clock if it was killed.
        megabytes: the largest memory in use, beyond that at the start.
    """

    how: str
    text: str
    seconds: float
    megabytes: float


def measured_call(call: Callable[[], object]) -> MeasuredCall:
    """Run a call in a process of its own and return how it ended."""
    with scratch_folder() as folder:
        answer = folder / "answer"

        def answered() -> None:
            try:
                given = str(call())
            except (MemoryError, RuntimeError) as error:
                if lacks_memory(error):  # for a user that is one line; here it shows no bound
                    raise AssertionError("asked for more memory than there is") from error
                raise
            answer.write_text(given, encoding="utf-8", errors="backslashreplace")

        ended = Child(answered, folder).wait(LONGEST, MOST_MEGABYTES)
        given = answer.read_text(encoding="utf-8") if answer.is_file() else ""
    how, text = _told(ended, given)
    return MeasuredCall(how, text, ended.busy_s or ended.seconds, ended.peak_mb)


def _told(ended: Ended, given: str) -> tuple[str, str]:
    """How a call ended, and the text that tells more."""
    if ended.limit:
        return "killed", f"beyond the limit of its {ended.limit}"
    if ended.exception:
        return "traceback", ended.err
    if ended.status == 2:
        return "refused", _refusal(ended.messages)
    if ended.status > 2:
        return "killed", f"status {ended.status}: {ended.err}"
    return "read", given or f"exit status {ended.status}"


def _refusal(messages: list[str]) -> str:
    """The message from its first line on, without the notes and warnings before it."""
    starts = [number for number, line in enumerate(messages) if line.startswith(ERROR)]
    first = starts[0] if starts else len(messages) - 1
    return "\n".join(messages[first:]).removeprefix(ERROR)
