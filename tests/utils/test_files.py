"""Files: a write is whole or absent at every point of failure, run folders never collide."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from utils import files
from utils.errors import UserError
from utils.files import (
    ROOT,
    atomic_write,
    check_path,
    expand_user,
    find_file,
    make_folder,
    next_folder,
    plain_path,
    save_yaml,
    with_gaps,
)
from utils.yaml_file import load_yaml


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_atomic_write_replaces(tmp_path):
    target = tmp_path / "last.pt"
    for content in (b"old", b"new and longer"):
        with atomic_write(target) as file:
            file.write(content)
        assert target.read_bytes() == content
    assert list(tmp_path.iterdir()) == [target]


def test_text_is_utf8(tmp_path):
    with atomic_write(tmp_path / "note.txt", "w") as file:
        file.write("größe ×2")
    assert (tmp_path / "note.txt").read_bytes() == "größe ×2".encode()


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
def test_every_failing_step_leaves_the_old_file(tmp_path, monkeypatch, step):
    target = tmp_path / "best.pt"
    target.write_bytes(b"old")
    if step == "open":
        monkeypatch.setattr("utils.writing._Disk.__init__", refuse)
    elif step != "write":
        monkeypatch.setattr(files.os, step, refuse)
    message = r"best\.pt: cannot be written \(No space left on device\).*another place"
    with pytest.raises(UserError, match=message), atomic_write(target) as file:
        file.write(b"half")
        if step == "write":
            refuse()
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_of_the_writer_passes_through(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "x") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(handle: int) -> None:
        if os.fstat(handle).st_mode & 0o040000:
            refuse()
        synced.append(handle)
        real(handle)

    monkeypatch.setattr(files.os, "fsync", fsync)
    with atomic_write(tmp_path / "x") as file:
        file.write(b"all")
    assert (tmp_path / "x").read_bytes() == b"all"
    assert len(synced) == 1


def test_the_file_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            files.os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1]
        )
    with atomic_write(tmp_path / "x") as file:
        file.write(b"all")
    assert calls[:2] == ["fsync", "replace"]


def test_kill_during_writes_never_leaves_a_part(tmp_path):
    target = tmp_path / "state"
    target.write_bytes(b"0" * 300_000)
    program = (
        "from utils.files import atomic_write\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        f"    with atomic_write({str(target)!r}) as file:\n"
        "        for _ in range(30): file.write(str(number % 10).encode() * 10_000)\n"
    )
    for delay in (0.1, 0.13, 0.17):
        child = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
        before = target.stat().st_mtime_ns
        while target.stat().st_mtime_ns == before and child.poll() is None:
            time.sleep(0.005)
        time.sleep(delay)
        child.kill()
        child.wait()
        content = target.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1


def test_missing_folder_is_a_users_mistake(tmp_path):
    with (
        pytest.raises(UserError, match="No such file or directory"),
        atomic_write(tmp_path / "absent" / "x") as file,
    ):
        file.write(b"")


def test_run_folders_are_numbered_as_yolov5_numbers_them(tmp_path):
    names = [next_folder(tmp_path / "runs/train", "exp").name for _ in range(4)]
    assert names == ["exp", "exp2", "exp3", "exp4"]
    (tmp_path / "runs/train/exp2").rmdir()
    assert next_folder(tmp_path / "runs/train", "exp").name == "exp2"


def test_exist_ok_takes_the_folder_that_is_there(tmp_path):
    first = next_folder(tmp_path, "exp")
    (first / "results.csv").write_text("kept")
    assert next_folder(tmp_path, "exp", exist_ok=True) == first
    assert (first / "results.csv").read_text() == "kept"


def test_exist_ok_steps_aside_for_a_file(tmp_path):
    (tmp_path / "exp").write_text("")
    assert next_folder(tmp_path, "exp", exist_ok=True).name == "exp2"


def test_runs_that_start_together_get_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: next_folder(tmp_path, "exp"), range(24)))
    assert len(set(folders)) == 24


def test_a_project_below_a_file_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --project"):
        next_folder(tmp_path / "file", "exp")


def test_yaml_round_trip_keeps_order(tmp_path):
    save_yaml(tmp_path / "opt.yaml", {"zebra": 1, "apple": [1, 2], "größe": "ä"})
    assert list(load_yaml(tmp_path / "opt.yaml").items()) == [
        ("zebra", 1),
        ("apple", [1, 2]),
        ("größe", "ä"),
    ]


def test_find_file_looks_beside_us_then_in_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_file("data/hyps/hyp.VOC.yaml") == ROOT / "data/hyps/hyp.VOC.yaml"
    assert find_file("hyp.VOC.yaml", "data/hyps") == ROOT / "data/hyps/hyp.VOC.yaml"
    (tmp_path / "hyp.VOC.yaml").write_text("")
    assert find_file("hyp.VOC.yaml", "data/hyps") == Path("hyp.VOC.yaml")


def test_find_file_refuses_none_and_several(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ROOT", tmp_path)
    with pytest.raises(UserError, match="is a folder; name a file in it"):
        find_file(str(tmp_path))
    with pytest.raises(UserError, match=r"x\.yaml: no such file"):
        find_file("x.yaml", "models")
    for folder in ("models/a", "models/b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.yaml").write_text("")
    with pytest.raises(UserError, match=r"several files have this name .*a.*b"):
        find_file("x.yaml", "models")


def test_a_path_that_is_no_regular_file_is_called_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "one.pt").symlink_to("two.pt")
    (tmp_path / "two.pt").symlink_to("one.pt")
    for name, words in {
        tmp_path / "pipe.pt": "is a named pipe; give a regular file",
        tmp_path / "one.pt": "is a link that leads to no file",
        tmp_path: "is a folder; name a file in it",
        Path("/dev/zero"): "is a device; give a regular file",
        tmp_path / ("x" * 300): "cannot be read",
    }.items():
        with pytest.raises(UserError, match=words):
            find_file(name)


IMPOSSIBLE = ["nul\0x", "\ud800"]


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_path_that_no_file_can_have_is_a_users_mistake(tmp_path, name):
    def write(path: Path) -> None:
        with atomic_write(path):
            pass

    for use in (find_file, check_path, lambda p: next_folder(tmp_path, p), write, make_folder):
        with pytest.raises(UserError, match="is not a path; check its signs"):
            use(tmp_path / name)


def test_a_name_that_is_too_long_is_a_users_mistake(tmp_path):
    for use in (find_file, check_path, lambda p: next_folder(tmp_path, p), make_folder):
        for name in ("x" * 256, "a/" * 2100 + "x"):
            with pytest.raises(UserError, match="File name too long"):
                use(tmp_path / name)


def test_an_unknown_user_is_a_users_mistake():
    with pytest.raises(UserError, match=r"^path: ~nosuchuser/x: there is no such user"):
        expand_user("~nosuchuser/x", "path: ")
    assert expand_user("~") == Path.home()
    assert expand_user("a/~b") == Path("a/~b")


def test_a_library_gets_a_name_that_is_text(tmp_path):
    strange = tmp_path / "\udcb3.mp4"
    strange.write_bytes(b"content")
    with plain_path(strange) as path:
        assert path.isascii()
        assert path.endswith(".mp4")
        assert Path(path).read_bytes() == b"content"
    assert not os.path.lexists(path)
    with plain_path(tmp_path / "é.mp4") as path:
        assert path == str(tmp_path / "é.mp4")


def test_epochs_without_a_validation_have_no_scores():
    """--noval validates the last epoch only, and YOLOv5's results.csv has zeros for the others."""
    scored = {"epoch": 1.0, "train/box_loss": 0.2, "metrics/recall": 0.0, "val/box_loss": 0.1}
    skipped = {**scored, "epoch": 0.0, "val/box_loss": 0.0}
    first, second, other = with_gaps([skipped, scored, {"epoch": 0.0}])
    assert (first["epoch"], first["train/box_loss"]) == (0.0, 0.2)
    assert math.isnan(first["metrics/recall"])
    assert math.isnan(first["val/box_loss"])
    assert (second, other) == (scored, {"epoch": 0.0})  # a network that finds nothing scores 0
