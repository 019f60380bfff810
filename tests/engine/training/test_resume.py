"""Which run --resume continues, and from which of its checkpoints."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from engine.training.resume import newest_last, read_for_resume, read_interrupted
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint, previous_of
from utils.errors import UserError
from utils.writing import temporary_beside


def example(value: float, training: dict | None) -> Checkpoint:
    return Checkpoint(
        graph={"nc": 1}, names={0: "a"}, state={"w": torch.full((2, 2), value)}, training=training
    )


def add_run(root: Path, name: str, started: float, *files: str) -> Path:
    """A folder of a run with empty files, whose opt.yaml is this old."""
    folder = root / "train" / name
    (folder / "weights").mkdir(parents=True)
    for file in ("opt.yaml", *files):
        (folder / file).touch()
    os.utime(folder / "opt.yaml", (started, started))
    return folder


def test_the_newest_run_is_the_one_that_was_started_last(tmp_path: Path) -> None:
    """A longer run may have saved later; runs of a study do not count."""
    older = add_run(tmp_path, "exp", 1000, "weights/last.pt")
    newest = add_run(tmp_path, "exp2", 2000, "weights/last.pt")
    cell = add_run(tmp_path, "study/cells/plain_seed0", 3000, "weights/last.pt")
    (cell.parents[1] / "study.yaml").touch()
    os.utime(older / "weights/last.pt", (5000, 5000))
    assert newest_last(tmp_path) == newest / "weights/last.pt"


@pytest.mark.parametrize(
    ("files", "why"),
    [((), r"has no weights/last\.pt"), (("weights/last.pt", "metrics.json"), "is finished")],
)
def test_resume_never_goes_on_with_an_older_run_in_silence(
    tmp_path: Path, files: tuple[str, ...], why: str
) -> None:
    add_run(tmp_path, "exp", 1000, "weights/last.pt", "metrics.json")
    older = add_run(tmp_path, "exp2", 2000, "weights/last.pt")
    newest = add_run(tmp_path, "exp3", 3000, *files)
    with pytest.raises(UserError, match=why) as caught:
        newest_last(tmp_path)
    assert str(newest) in str(caught.value)
    assert f"--resume {older / 'weights/last.pt'}" in str(caught.value)


def test_no_run_at_all_is_one_line_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no run below {tmp_path}; .*--project"):
        newest_last(tmp_path)


def test_a_damaged_last_falls_back_to_the_state_before_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoints.save(example(1.0, {}), path, keep_previous=True)
    checkpoints.save(example(2.0, {}), path, keep_previous=True)
    checkpoint, notes = read_for_resume(path)
    assert (checkpoint.state["w"].max(), notes) == (2.0, ())
    path.write_bytes(path.read_bytes()[:1000])
    checkpoint, (note,) = read_for_resume(path)
    assert checkpoint.state["w"].max() == 1.0
    assert "damaged" in note
    assert "resumed from" in note
    path.unlink()
    assert read_for_resume(path)[0].state["w"].max() == 1.0
    path.with_name("last.previous.pt").write_bytes(b"")
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"last\.pt.*; and .*last\.previous\.pt"):
        read_for_resume(path)


def test_a_finished_run_says_so(tmp_path: Path) -> None:
    checkpoints.save(example(1.0, None), tmp_path / "last.pt")
    with pytest.raises(UserError, match="finished"):
        read_for_resume(tmp_path / "last.pt")


def test_best_is_no_state_to_resume_from(tmp_path: Path) -> None:
    checkpoints.save(example(1.0, None), tmp_path / "best.pt")
    with pytest.raises(UserError, match=r"without the state of a run; give the last\.pt beside it"):
        read_for_resume(tmp_path / "best.pt")


def test_a_missing_run_is_one_line(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "none.pt"):
        with pytest.raises(UserError, match=r"no such file"):
            read_interrupted(str(name))


def test_what_kills_left_is_removed_when_the_run_is_resumed_or_has_been_finished(
    tmp_path: Path,
) -> None:
    """A kill between the last two steps of a run leaves last.previous.pt, one in a write more."""
    last = add_run(tmp_path, "exp", 1000, "metrics.json") / "weights" / "last.pt"
    checkpoints.save(example(1.0, {}), last, keep_previous=True)
    checkpoints.save(example(1.0, None), last, keep_previous=True)
    child = subprocess.Popen(["true"])
    child.wait()
    abandoned = temporary_beside(last).name.replace(f"-{os.getpid()}-", f"-{child.pid}-")
    last.with_name(abandoned).touch()
    assert newest_last(tmp_path) == last
    with pytest.raises(UserError, match="is finished"):
        read_interrupted(str(last))
    assert os.listdir(last.parent) == ["last.pt"]
    with pytest.raises(UserError, match="is finished"):
        newest_last(tmp_path)


def test_the_only_undamaged_file_of_a_finished_run_is_kept(tmp_path: Path) -> None:
    last = tmp_path / "last.pt"
    last.touch()
    checkpoints.save(example(1.0, None), previous_of(last))
    with pytest.raises(UserError, match="is finished"):
        read_for_resume(last)
    assert previous_of(last).exists()
