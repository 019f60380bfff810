"""Temporary files: a failed write is one error whatever its writer makes of it, and what killed
writes have left is removed, but never the file of a process that still writes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from utils import writing
from utils.errors import UserError
from utils.files import atomic_write, next_folder
from utils.writing import OutputError, Unwritten, sweep, temporary_beside

CONTENT = {"a": torch.zeros(400, 400), "b": [torch.zeros(9) for _ in range(40)]}


@contextlib.contextmanager
def room(size: int) -> Iterator[None]:
    """Let every write beyond this many bytes of a file fail, as on a full disk."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 70_000, 640_000, 645_000])
def test_a_full_disk_inside_torch_save_is_one_line_and_keeps_the_old_file(tmp_path, size):
    target = tmp_path / "last.pt"
    target.write_bytes(b"old")
    with (
        room(size),
        pytest.raises(OutputError, match=r"last\.pt: cannot be written \(File too"),
        atomic_write(target) as file,
    ):
        torch.save(CONTENT, file)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    with atomic_write(target) as file:  # nothing of the failure is left behind
        torch.save(CONTENT, file)
    assert torch.equal(torch.load(target, weights_only=True)["a"], CONTENT["a"])


def test_a_full_disk_inside_numpys_writer_and_at_the_last_flush(tmp_path):
    for write in (lambda file: np.savez(file, a=np.zeros(9999)), lambda file: file.write(b"x" * 9)):
        with room(5), pytest.raises(OutputError), atomic_write(tmp_path / "x") as file:
            write(file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [248, 255])
def test_a_long_name_needs_no_longer_one(tmp_path, length):
    with atomic_write(tmp_path / ("x" * length), "w") as file:
        file.write("fits")
    assert [path.name for path in tmp_path.iterdir()] == ["x" * length]


def test_a_name_that_is_too_long_is_named_with_a_remedy(tmp_path):
    with (
        pytest.raises(OutputError, match=r"name too long.*shorter name") as caught,
        atomic_write(tmp_path / ("x" * 256)),
    ):
        pass
    assert caught.value.is_own
    assert list(tmp_path.iterdir()) == []


def test_a_clean_up_that_fails_does_not_hide_why_the_write_failed(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("utils.files.Path.unlink", refuse)
    monkeypatch.setattr("utils.files.os.replace", refuse)
    with (
        pytest.raises(OutputError, match=r"last\.pt: cannot be written \(Read-only file system\)"),
        atomic_write(tmp_path / "last.pt") as file,
    ):
        file.write(b"new")


def test_a_folder_that_vanishes_during_a_write_is_one_line(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with (
        pytest.raises(OutputError, match=r"last\.pt: cannot be written \(No such file"),
        atomic_write(folder / "last.pt") as file,
    ):
        file.write(b"new")
        shutil.rmtree(folder)


def test_text_with_bytes_that_are_not_utf8_is_written(tmp_path):
    with atomic_write(tmp_path / "x", "w") as file:
        file.write("a\udcb3é")
    assert (tmp_path / "x").read_bytes() == "a?é".encode()


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_leftovers_of_a_killed_write_are_removed_by_the_next_start(tmp_path):
    program = (
        "import os; from utils.files import atomic_write\n"
        f"with atomic_write({str(tmp_path / 'exp/weights/last.pt')!r}) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    (tmp_path / "exp/weights").mkdir(parents=True)
    assert subprocess.run([sys.executable, "-c", program], cwd=writing.__file__[:-17]).returncode
    assert [path.stat().st_size for path in (tmp_path / "exp/weights").iterdir()] == [4]
    assert next_folder(tmp_path, "exp", exist_ok=True) == tmp_path / "exp"
    assert list((tmp_path / "exp/weights").iterdir()) == []


def test_the_first_write_into_a_folder_removes_what_killed_writes_left(tmp_path):
    machine, dead = writing._machine(), dead_process()
    gone = [f".tmp-{machine}-{dead}-0a1b2c3d", f".tmp-{machine}-{dead}-0a1b2c3d.mp4"]
    gone += [f".last.pt.tmp-{dead}", f".last.previous-{dead}", f".v.tmp-{dead}.mp4"]
    kept = [f".tmp-{machine}-{os.getpid()}-0a1b2c3d"]  # still being written
    kept += [f".tmp-00000000-{dead}-0a1b2c3d"]  # of another machine, which shares the folder
    kept += [".tmp-notes", f"tmp-{machine}-{dead}-0a1b2c3d", ".env", ".x.tmp-", ".tmp-1-2-3"]
    for name in (*gone, *kept):
        (tmp_path / name).write_bytes(b"x")
    with atomic_write(tmp_path / "new"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "new"])


def test_a_file_that_no_process_can_still_be_writing_is_removed(tmp_path, monkeypatch):
    other = tmp_path / f".tmp-00000000-{os.getpid()}-0a1b2c3d"
    other.write_bytes(b"x")
    sweep(tmp_path)
    assert other.exists()
    now = time.time()
    monkeypatch.setattr(writing.time, "time", lambda: now + 2 * writing.ABANDONED)
    sweep(tmp_path)
    assert not other.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the state is read from /proc")
def test_a_process_that_its_parent_has_not_asked_for_its_status_has_ended(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    left = tmp_path / f".tmp-{writing._machine()}-{child.pid}-0a1b2c3d"
    left.touch()
    sweep(tmp_path)
    assert not left.exists()
    child.wait()


def test_a_sweep_follows_no_links_and_goes_no_deeper_than_told(tmp_path):
    name = f".tmp-{writing._machine()}-{dead_process()}-0a1b2c3d"
    for folder in ("a", "a/b", "a/b/c", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(b"x")
    (tmp_path / "a/link").symlink_to(tmp_path / "other")
    sweep(tmp_path / "a", depth=1)
    left = {path.parent.name for path in tmp_path.rglob(name)}
    assert left == {"c", "other"}
    sweep(tmp_path / "absent")


def test_two_threads_that_write_one_file_do_not_share_a_temporary(tmp_path):
    assert temporary_beside(tmp_path / "x") != temporary_beside(tmp_path / "x")


def test_files_that_fail_for_their_own_reason_are_counted_and_the_others_go_on(tmp_path):
    unwritten = Unwritten()
    for name in ("a", "x" * 256, "b"):
        with unwritten.allowed(), atomic_write(tmp_path / name):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    with pytest.raises(UserError, match=r"1 file is missing, all others are written: .*too long"):
        unwritten.report()
    with room(0), pytest.raises(OutputError), unwritten.allowed():  # this would go on for all
        raise OutputError(tmp_path / "x", OSError(errno.ENOSPC, "No space left on device"))
    Unwritten().report()
