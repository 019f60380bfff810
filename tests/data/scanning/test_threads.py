"""The threads of the scan keep the order, pass errors on, and never wait for ever."""

import threading
import time

import pytest

from data.scanning.threads import FileThreads
from utils.errors import UserError


def test_results_come_in_order():
    def work(numbers, begin):
        time.sleep(0.002 * (numbers.start % 3))
        return [str(number) * 2 for number in numbers]

    parts = FileThreads(work, [str(number) for number in range(50)], 7).results(4)
    assert [one for part in parts for one in part] == [str(number) * 2 for number in range(50)]


def test_a_file_that_never_answers_is_named(monkeypatch):
    monkeypatch.setenv("YOLO_WORKER_TIMEOUT", "0.2")
    answer = threading.Event()

    def work(numbers, begin):
        for number in numbers:
            begin(number)
            if number == 3:
                answer.wait(20)

    parts = FileThreads(work, [f"{number}.jpg" for number in range(6)], 2).results(2)
    with pytest.raises(UserError, match=r"3\.jpg: was waited for 0.2 seconds"):
        list(parts)
    answer.set()


def test_a_mistake_in_the_work_does_not_hang(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def work(numbers, begin):
        raise KeyError(numbers)

    with pytest.raises(RuntimeError, match="thread has failed"):
        list(FileThreads(work, ["a", "b"], 1).results(2))
    assert {one.exc_type for one in told} == {KeyError}
