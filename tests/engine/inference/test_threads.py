"""Threads beside the main one: order, limits, errors, and an end at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from engine.inference.threads import Crew, ReadAhead, WriteBehind


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def wait_until(condition) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


class Counted:
    """Numbers from 0; `given` of them have been asked for."""

    def __init__(self, end: int, error: BaseException | None = None) -> None:
        self.end, self.error, self.given, self.closed = end, error, 0, False

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self.end):
                self.given += 1
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


def test_reading_ahead_keeps_the_order_and_a_limit():
    numbers = Counted(100)
    ahead = ReadAhead(numbers, depth=3)
    assert numbers.given == 0  # nothing is read before somebody asks
    found = iter(ahead)
    assert next(found) == 0
    wait_until(lambda: numbers.given == 4)  # the one in use, and three that wait
    time.sleep(0.02)
    assert numbers.given == 4
    assert list(found) == list(range(1, 100))
    assert numbers.closed
    ahead.close()


def test_what_nobody_wants_any_more_is_closed_by_its_thread():
    numbers = Counted(100)
    ahead = ReadAhead(iter(numbers), depth=1)
    assert next(iter(ahead)) == 0
    ahead.close()
    assert numbers.closed


def test_an_error_of_reading_comes_after_what_was_read():
    ahead = ReadAhead(Counted(3, OSError("gone")), depth=2)
    seen = []
    with pytest.raises(OSError, match="gone"):
        for number in ahead:
            seen.append(number)
    assert seen == [0, 1, 2]
    ahead.close()


def test_reading_ends_at_once_and_closes_its_files():
    numbers = Counted(10**9)
    ahead = ReadAhead(numbers, depth=2)
    next(iter(ahead))
    ahead.close()
    assert numbers.closed
    assert numbers.given <= 4
    ReadAhead(numbers, depth=2).close()  # that was never asked for anything


def test_what_is_inserted_takes_no_place():
    def told() -> Iterator[str]:
        for number in range(4):
            ahead.insert(f"before {number}")
            yield str(number)

    ahead = ReadAhead[str](told(), depth=1)
    assert list(ahead) == [text for n in range(4) for text in (f"before {n}", str(n))]
    ahead.close()


def test_writing_behind_keeps_the_order_and_a_limit():
    written, go_on = [], threading.Event()

    def write(number: int) -> None:
        go_on.wait(5)
        written.append(number)

    writer = WriteBehind(write, depth=2)
    assert writer(0)
    assert writer(1)
    blocked = threading.Thread(target=writer, args=(2,))
    blocked.start()
    time.sleep(0.02)
    assert blocked.is_alive()
    go_on.set()
    blocked.join()
    writer.close()  # waits until all is written
    assert written == [0, 1, 2]


def test_an_error_of_writing_ends_the_next_call():
    written = []

    def write(number: int) -> None:
        if number == 2:
            raise OSError("full")
        written.append(number)

    writer = WriteBehind(write, depth=1)
    with pytest.raises(OSError, match="full"):
        for number in range(100):
            writer(number)
    writer.close()  # the error is said once
    assert written == [0, 1]


def test_an_error_of_the_last_item_is_raised_at_the_end():
    def write(number: int) -> None:
        raise OSError("full")

    writer = WriteBehind(write, depth=1)
    writer(0)
    with pytest.raises(OSError, match="full"):
        writer.close()


def test_a_crew_works_at_once_and_answers_in_order():
    both = threading.Barrier(2, timeout=5)  # broken unless two threads are in work at once

    def work(number: int) -> int:
        both.wait()
        time.sleep(0.002 * (number % 3))
        return number * number

    begun = []
    crew = Crew(2, work, lambda: begun.append(threading.current_thread().name))
    numbers = Counted(20)
    results = crew.results(numbers)
    assert next(results) == 0
    assert numbers.given == 3  # one more than there are threads
    assert list(results) == [number * number for number in range(1, 19)] + [361]
    crew.close()
    assert begun == ["worker", "worker"]


def test_an_error_of_a_crew_comes_at_its_place():
    crew = Crew(3, lambda number: 12 // (5 - number))
    seen = []
    with pytest.raises(ZeroDivisionError):
        for result in crew.results(range(10)):
            seen.append(result)
    assert seen == [12 // (5 - number) for number in range(5)]
    crew.close()
