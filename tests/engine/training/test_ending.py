"""However a run ends, its state is saved where that is possible, and one line says how to go on."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

import train
from engine.training import ending, finish, logbook
from engine.training.build import prepare_run
from engine.training.dist import World
from engine.training.ending import quiet_writers
from engine.training.run import Progress, Run
from tests.processes import look_often
from tests.tiny import run_flags, write_data, write_graph
from utils.checkpoint import read
from utils.config import TrainConfig
from utils.errors import UserError, run_main
from utils.files import read_results
from utils.hyperparameters import Hyperparameters
from utils.signals import StopSignal


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("material")
    material = run_flags(write_graph(folder), write_data(folder), "--cache", "no")
    return [*material, "--epochs", "2", "--noplots", "--name", "run"]


@pytest.fixture(scope="module")
def whole(flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    train.main([*flags, "--project", str(folder)])
    return folder / "run"


def start(flags: list[str], folder: Path) -> tuple[int, Path]:
    """Train; return the exit status, also that of sys.exit, and last.pt."""
    last = folder / "run" / "weights" / "last.pt"
    try:
        return run_main(train.main, [*flags, "--project", str(folder)]), last
    except SystemExit as end:
        return int(end.code or 0), last


def check_resumed(last: Path, whole: Path) -> None:
    """Resume, and compare every weight and row with those of the undisturbed run."""
    assert run_main(train.main, ["--resume", str(last)]) == 0
    ours, theirs = read(last).state, read(whole / "weights/last.pt").state
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert (last.parents[1] / "results.csv").read_text() == (whole / "results.csv").read_text()


def call_at(number: int, act: Callable[[], None], then: Callable) -> Callable:
    """A function that calls another, and acts before the call of this number."""
    calls: list[int] = []

    def acting(*arguments, **options):
        calls.append(1)
        if len(calls) == number:
            act()
        return then(*arguments, **options)

    return acting


def fail(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGPIPE, 141), (signal.SIGTERM, 143)],
)
def test_each_signal_saves_the_batch_and_has_its_status(
    flags: list[str],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    status: int,
) -> None:
    """Two within milliseconds are one."""

    def twice() -> None:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(train, "check_loss", call_at(2, twice, train.check_loss))
        ended, last = start(flags, tmp_path)
    assert ended == status
    assert (read(last).training or {})["progress"]["batch"] == 2
    assert (
        f"stopped in epoch 0, batch 2; continue with: python train.py --resume {last}"
        in capsys.readouterr().out
    )
    check_resumed(last, whole)


def test_a_signal_during_a_save_does_not_interrupt_it(
    flags: list[str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the next one, long after; the run stops after the next batch."""
    clock = [0.0]
    monkeypatch.setattr("utils.signals.time.monotonic", lambda: clock[0])

    def press() -> None:
        for clock[0] in (0.0, 5.0):
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ending, "save_last", call_at(1, press, ending.save_last))
        ended, last = start(flags, tmp_path)
    assert ended == 130
    assert (read(last).training or {})["progress"]["epoch"] == 1
    check_resumed(last, whole)


def test_an_impatient_signal_in_a_batch_leaves_the_last_checkpoint(
    flags: list[str],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = [0.0]
    monkeypatch.setattr("utils.signals.time.monotonic", lambda: clock[0])

    def press() -> None:
        for clock[0] in (0.0, 2.0):
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(train, "step", call_at(2, press, train.step))
        ended, last = start(flags, tmp_path)
    assert ended == 130
    assert f"{last} is the last good checkpoint" in capsys.readouterr().out
    check_resumed(last, whole)


PLACES = {
    "the charts before the first batch": (train, "save_start", 1),
    "results.csv": (train, "write_epoch", 2),
    "last.pt": (ending, "save_last", 1),
    "the validation": (train, "validate", 2),
    "best.pt": (train.checkpoints, "save", 3),
    "the final scoring": (finish, "evaluate", 1),
    "metrics.json": (finish, "write_metrics", 1),
    "TensorBoard": (logbook.ResultsLog, "add", 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_full_disk_is_one_line_that_names_the_checkpoint(
    flags: list[str],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    """Wherever it is noticed; what was saved before is whole, and the run can go on."""
    owner, name, number = PLACES[place]
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, call_at(number, fail(full), getattr(owner, name)))
        ended, last = start(flags, tmp_path)
    error = capsys.readouterr().err.splitlines()[-1]
    assert ended == 2
    assert error.startswith("error: ")
    assert "No space left on device" in error
    if place != "the charts before the first batch":  # which is the first save
        assert f"continue with: python train.py --resume {last}" in error
        check_resumed(last, whole)


def test_a_dead_worker_is_named_and_the_finished_batches_are_saved(
    flags: list[str],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In training and in validation."""
    import multiprocessing

    def kill() -> None:
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, signal.SIGKILL)

    look_often(monkeypatch)
    for name, saved in (("check_loss", 1), ("validate_epoch", 3)):
        folder = tmp_path / name
        with monkeypatch.context() as patch:
            patch.setattr(train, name, call_at(1, kill, getattr(train, name)))
            ended, last = start([*flags, "--workers", "1"], folder)
        assert ended == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert "is killed by signal: Killed" in error
        assert f"stopped in epoch 0, batch {saved}; continue with" in error
        check_resumed(last, whole)


def test_a_second_run_starts_anew_in_a_folder_of_a_former_one(
    flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """Nothing of the former run counts for a run of the same folder that is killed at its start."""
    _, last = start(flags, tmp_path)
    assert (last.parents[1] / "metrics.json").exists()
    config = TrainConfig(
        cfg=flags[1], data=flags[3], imgsz=64, batch_size=4, workers=0, device="cpu", epochs=2,
        project=str(tmp_path), name="run", exist_ok=True, noplots=True, cache="no",
    )  # fmt: skip
    run: Run = prepare_run(config, Hyperparameters())
    train.save_start(run)
    assert not (last.parents[1] / "metrics.json").exists()
    saved = read(last)
    assert saved.training is not None
    assert (saved.epoch, saved.training["progress"]["batch"]) == (0, 0)
    check_resumed(last, whole)


def test_a_lost_peer_is_one_line(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("[/x/gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    monkeypatch.setattr(train, "check_loss", call_at(2, fail(error), train.check_loss))
    with pytest.raises(UserError, match="another process of this training has ended; stopped in"):
        train.main([*flags, "--project", str(tmp_path)])
    monkeypatch.setattr(train, "check_loss", fail(RuntimeError("a bug")))
    with pytest.raises((RuntimeError, TypeError)):
        train.main([*flags, "--project", str(tmp_path)])


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_process_that_torchrun_stops_since_another_was_killed_says_how_to_go_on(
    rank: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = SimpleNamespace(world=World(rank, 3, rank), last=tmp_path / "last.pt")
    setup.last.touch()
    state = SimpleNamespace(model=torch.nn.Identity(), progress=Progress(epoch=5))
    keeper = ending.Keeper(cast(Run, SimpleNamespace(setup=setup, state=state)), StopSignal())
    keeper.is_whole = rank > 0  # but only the main process can save it
    keeper.stop.request(143)
    with pytest.raises(SystemExit, match="143"), ending.safe_ending(keeper):
        raise RuntimeError("[/x/gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    said = capsys.readouterr().err
    assert ("has ended; stopped in epoch 5; " in said) == (rank < 2)
    assert (f"the last good checkpoint; continue with: python train.py --resume {setup.last}\n"
        in said) == (rank < 2)  # fmt: skip


@pytest.mark.parametrize(("last_step", "noted"), [(13, False), (12, True)])
def test_gradients_of_one_process_alone_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_step: int, noted: bool
) -> None:
    """A peer is lost between two batches whose gradients are added up, in the fourth of epoch 2."""
    saved: list[Run] = []
    monkeypatch.setattr(ending, "save_last", saved.append)
    setup = SimpleNamespace(
        world=World(0, 2, 0), last=tmp_path / "last.pt", loaders=([None] * 5, [])
    )
    progress = Progress(epoch=2, batch=4, last_step=last_step)
    state = SimpleNamespace(model=torch.nn.Identity(), progress=progress)
    keeper = ending.Keeper(cast(Run, SimpleNamespace(setup=setup, state=state)), StopSignal())
    with pytest.raises(UserError, match="stopped in epoch 2, batch 4"), ending.safe_ending(keeper):
        raise RuntimeError("[/x/gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    assert len(saved) == 1
    assert progress.notes == [ending.ONE_SHARE] * noted


def test_damaged_results_are_a_note_and_no_traceback(
    flags: list[str],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(train, "validate", call_at(2, fail(KeyboardInterrupt()), train.validate))
        _, last = start(flags, tmp_path)
    folder = last.parents[1]
    (folder / "results.csv").write_bytes(b"\xff\x00epoch,\r" * 9)
    (folder / "opt.yaml").write_bytes(b"\x00: [")
    assert run_main(train.main, ["--resume", str(last)]) == 0
    assert [row["epoch"] for row in read_results(folder / "results.csv")] == [1]
    (note,) = json.loads((folder / "metrics.json").read_text())["notes"]
    assert "results.csv was damaged: it lacks the rows of epochs 0" in note


def test_a_writer_in_a_thread_prints_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is a bug is still reported."""
    heard: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda found: heard.append(found.exc_type))
    with quiet_writers():
        for error in (OSError(28, "full"), ValueError("a bug")):
            thread = threading.Thread(target=fail(error))
            thread.start()
            thread.join()
    assert heard == [ValueError]


@pytest.mark.parametrize("status", [2, 141])
def test_a_finished_run_whose_last_lines_could_not_be_written_says_so_elsewhere(
    status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = SimpleNamespace(folder=tmp_path, world=World())
    stop = StopSignal()
    keeper = ending.Keeper(cast(Run, SimpleNamespace(setup=setup)), stop)
    ending.end_unread(keeper)  # nothing has failed
    stop.request(status, "standard output cannot be written")
    line = f"standard output cannot be written; the run is finished, its results are in {tmp_path}"
    with pytest.raises(UserError if status == 2 else SystemExit) as caught:
        ending.end_unread(keeper)
    assert str(caught.value) == (line if status == 2 else "141")
    assert (line in capsys.readouterr().out) == (status == 141)
