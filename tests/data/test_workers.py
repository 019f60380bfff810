"""Worker processes: how many, what Ctrl-C does to them, and which errors they print."""

import gc
import os
import signal
import subprocess
import sys

import pytest

from data import workers
from data.batch_reader import BatchReader
from data.dataset import DatasetSettings
from data.loader import build_loader
from data.workers import choose_workers, forget_deaths, next_or_none, note_deaths
from tests.data.image_files import write_images
from utils.errors import UserError
from utils.files import ROOT

INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.data.image_files import write_images
from data.dataset import DatasetSettings
from data.loader import build_loader
index = write_images(Path({folder!r}))
settings = DatasetSettings(64, augment=True, batch_size=1)
loader = build_loader(index, settings, workers=2, shuffle=True)
try:
    for epoch in range(10**6):
        loader.set_epoch(epoch)
        for k, batch in enumerate(loader):
            if epoch + k == 0:
                print("ready", flush=True)
            time.sleep(0.01)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_ctrl_c_is_silent_in_workers(tmp_path):
    code = INTERRUPTED.format(root=str(ROOT), folder=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "stopped\n"
    assert err == ""
    assert process.returncode == 0


def test_workers_keep_quiet_of_hangups_only(capfd):
    for error in (EOFError(), ConnectionResetError()):
        workers._report_error(type(error), error, None)
    assert capfd.readouterr().err == ""
    workers._report_error(ValueError, ValueError("torn"), None)
    assert "torn" in capfd.readouterr().err


def raising(error):
    yield from ()
    raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ValueError(
                "Caught ValueError in DataLoader worker process 1.\nOriginal Traceback (most recent"
                ' call last):\n  File "x.py", line 1, in read\nValueError: an odd image\n'
            ),
            "ValueError in DataLoader worker process 1 raised ValueError: an odd image: ",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"),
            r"\(pid\(s\) 7\) exited",
        ),
        (ConnectionResetError(), "a DataLoader worker ended"),
        (MemoryError(), r"could not be read \(MemoryError\)"),
        (OSError(24, "Too many open files"), r"could not be read \(.*Too many open files\)"),
    ],
)
def test_a_worker_that_raises_or_ends_is_one_line(error, words):
    with pytest.raises(UserError, match=words) as caught:
        next_or_none(raising(error))
    assert "\n" not in str(caught.value)


def test_an_error_in_the_main_process_keeps_its_traceback():
    with pytest.raises(ValueError, match="a bug"):
        next_or_none(raising(ValueError("a bug")))


def test_a_death_is_told_at_the_next_batch_and_not_in_the_middle_of_one():
    def handler(number, frame):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    former = signal.signal(signal.SIGCHLD, handler)
    try:
        note_deaths()
        os.kill(os.getpid(), signal.SIGCHLD)
        with pytest.raises(UserError, match=r"worker \(pid 7\) is killed by signal: Killed: "):
            next_or_none(iter([1]))
        assert next_or_none(iter([1])) == 1
        os.kill(os.getpid(), signal.SIGCHLD)
        forget_deaths()  # a new loader has other workers
        assert next_or_none(iter([1])) == 1
    finally:
        signal.signal(signal.SIGCHLD, former)


def test_choose_workers(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert [choose_workers(None, device, 16) for device in ("cuda", "mps", "cpu")] == [8, 8, 2]
    assert [choose_workers(99, device, 16) for device in ("cuda", "cpu")] == [8, 8]
    assert choose_workers(8, "cuda", 1) == 0
    assert choose_workers(0, "cuda", 16) == 0
    assert choose_workers(1, "cuda", 16) == 1
    assert choose_workers(8, "cuda", 3) == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose_workers(None, "cuda", 16) == 4
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert choose_workers(None, "cpu", 16) == 1
    assert choose_workers(2, "cpu", 16) == 2


class Closing:
    """Notes which process collects it; what has threads would wait for them there, for ever."""

    def __init__(self, path) -> None:
        self.path, self.itself = path, self  # so only the collector finds it

    def __del__(self) -> None:
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()}\n")


@pytest.mark.skipif(workers.start_method() != "fork", reason="workers have nothing of this process")
def test_garbage_of_the_main_process_is_not_collected_in_workers(tmp_path, monkeypatch):
    read = BatchReader.__getitem__
    monkeypatch.setattr(BatchReader, "__getitem__", lambda *args: (gc.collect(), read(*args))[1])
    loader = build_loader(write_images(tmp_path), DatasetSettings(64, batch_size=5), workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(gc, "isenabled", lambda: False)  # it is not collected before the fork either
        gc.disable()
        Closing(tmp_path / "collected")
        assert len(list(loader)) == 2
    assert not (tmp_path / "collected").exists()
    gc.enable()
    gc.collect()
    assert (tmp_path / "collected").read_text() == f"{os.getpid()}\n"


def test_the_collector_waits_while_workers_start():
    with workers.starting_workers():
        assert not gc.isenabled()
    assert gc.isenabled()
