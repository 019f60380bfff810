"""The processes of the scan keep the order, and end, whatever happens to one of them."""

import errno
import gc
import os
import signal
import subprocess
import sys
import time
import weakref

import pytest

from data.scanning.processes import FileProcesses
from utils.errors import UserError
from utils.files import ROOT

if sys.platform != "linux":
    pytest.skip("processes are forked on Linux only", allow_module_level=True)

PATHS = [f"{number}.jpg" for number in range(50)]
INTERRUPTED = """
import os, signal, sys, time
from data.scanning.processes import FileProcesses
from utils.errors import run_main
def work(numbers, begin):
    if numbers.start == 0:
        main = sys.argv[1] == "main"
        os.kill(os.getppid() if main else 0, signal.SIGTERM if main else signal.SIGINT)
    time.sleep(60)
def main(argv):
    list(FileProcesses(work, list("abcd"), 1).results(2))
sys.exit(run_main(main))
"""


class Cycle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def children() -> list[str]:
    """The processes that this one has started and that have not ended."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return file.read().split()


def test_results_come_in_order_and_every_process_ends():
    before = children()

    def work(numbers, begin):
        time.sleep(0.002 * (numbers.start % 3))
        return os.getpid(), [str(number) * 2 for number in numbers]

    parts = list(FileProcesses(work, PATHS, 7).results(3))
    assert [one for _, part in parts for one in part] == [str(number) * 2 for number in range(50)]
    assert len({process for process, _ in parts}) == 3
    assert os.getpid() not in {process for process, _ in parts}
    assert children() == before


def test_garbage_of_the_main_process_is_not_collected_in_others():
    collected = []
    garbage = [weakref.finalize(one := Cycle(), collected.append, number) for number in range(3)]
    del one

    def work(numbers, begin):
        gc.collect()
        return sum(not end.alive for end in garbage)

    gc.disable()
    assert list(FileProcesses(work, PATHS[:2], 1).results(2)) == [0, 0]
    gc.enable()
    gc.collect()
    assert sorted(collected) == [0, 1, 2]


def test_fewer_parts_than_processes():
    assert list(FileProcesses(lambda numbers, begin: len(numbers), PATHS[:3], 2).results(4)) == [
        2,
        1,
    ]
    assert list(FileProcesses(lambda numbers, begin: 0, [], 2).results(2)) == []


def test_a_file_that_never_answers_is_named(monkeypatch):
    monkeypatch.setenv("YOLO_WORKER_TIMEOUT", "0.2")
    before = children()

    def work(numbers, begin):
        for number in numbers:
            begin(number)
            if number == 3:
                time.sleep(20)

    with pytest.raises(UserError, match=r"3\.jpg: was waited for 0.2 seconds"):
        list(FileProcesses(work, PATHS[:6], 2).results(2))
    assert children() == before


def test_a_killed_process_is_one_line():
    def work(numbers, begin):
        if numbers.start == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return numbers.start

    results = FileProcesses(work, PATHS[:6], 1).results(2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(
        UserError, match=r"was ended by SIGKILL: memory may be short; .*start again"
    ):
        next(results)


def test_a_system_without_further_processes_is_one_line(monkeypatch):
    before, fork, started = children(), os.fork, []

    def forking_once():
        if started:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        started.append(fork())
        return started[0]

    monkeypatch.setattr(os, "fork", forking_once)
    with pytest.raises(UserError, match=r"no further process .*temporarily unavailable.*ulimit -u"):
        list(FileProcesses(lambda numbers, begin: time.sleep(9), PATHS, 7).results(2))
    assert children() == before


def test_a_mistake_in_the_work_is_shown_and_does_not_hang(capfd):
    def work(numbers, begin):
        raise KeyError("what is wrong")

    with pytest.raises(RuntimeError, match="process has failed"):
        list(FileProcesses(work, PATHS, 5).results(2))
    assert "KeyError: 'what is wrong'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("target", "status", "line"),
    [("main", 143, "stopped by SIGTERM\n"), ("group", 130, "interrupted\n")],
)
def test_a_signal_ends_all_with_one_line(target, status, line):
    """A terminal sends Ctrl-C to the whole group of processes, kill to the main one."""
    command = [sys.executable, "-c", INTERRUPTED, target]
    child = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=30, start_new_session=True
    )
    # Pipes of stdout and stderr would stay open, and run() wait, if a process were left.
    assert (child.returncode, child.stdout, child.stderr) == (status, "", line)
