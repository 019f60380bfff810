"""The campaign of full disks notices each end that is not one line and status 2."""

from __future__ import annotations

import os
import sys

import pytest

from bench.faults.common import Ended, measured
from bench.faults.disk import (
    PAGE,
    ended_wrong,
    hide_tensorboard,
    main,
    pages_of,
    remount,
    small_disk,
)
from utils.errors import UserError

FULL = "error: run/last.pt: cannot be written (No space left on device); free some space\n"


def test_one_line_and_status_2_are_right_and_so_is_a_run_that_fits():
    assert ended_wrong(Ended(2, "", FULL, 0.1)) == []
    assert ended_wrong(Ended(0, "Results in run\n", "", 0.1)) == []


@pytest.mark.parametrize(
    ("ended", "kinds"),
    [
        (Ended(1, "", FULL, 0.1), ["status"]),
        (Ended(0, "", FULL, 0.1), ["status"]),
        (Ended(2, "", "", 0.1), ["words"]),
        (Ended(2, "", FULL + FULL, 0.1), ["words"]),
        (Ended(2, "", "killed\n", 0.1), ["words"]),
        (Ended(1, "", "Traceback (most recent call last):\nOSError: a\n", 0.1),
         ["status", "traceback", "words"]),
        (Ended(137, "", "", 120.0, limit="time"), ["hung"]),
    ],
)  # fmt: skip
def test_a_wrong_end_is_noticed(ended, kinds):
    assert [text.partition(":")[0] for text in ended_wrong(ended)] == kinds


def test_a_run_needs_the_pages_of_its_files_and_the_largest_twice(tmp_path):
    for name, size in (("a", 1), ("b", 3 * PAGE), ("c", 0)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert pages_of(tmp_path) == 1 + 3 + 4


def test_tensorboard_is_hidden_from_a_process():
    def program() -> None:
        hide_tensorboard()
        with pytest.raises(ImportError):
            import torch.utils.tensorboard  # noqa: F401

    assert measured(program, 20, 1000).status == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
def test_a_small_disk_is_full_and_can_be_made_read_only(tmp_path):
    if os.geteuid():
        with pytest.raises(UserError, match="unshare"), small_disk(tmp_path, str(PAGE)):
            pass
        return
    try:
        with small_disk(tmp_path, str(2 * PAGE)):
            with pytest.raises(OSError, match="No space left"):
                (tmp_path / "a").write_bytes(bytes(3 * PAGE))
            remount(tmp_path, "ro")
            with pytest.raises(OSError, match="Read-only"):
                (tmp_path / "b").touch()
    except UserError:
        pytest.skip("nothing may be mounted here")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_trainings_on_full_disks_end_as_one_that_had_room():
    assert main(["--count", "6"]) == 0
