"""A lack of memory ends a run in one line, which says what to lower and what can be resumed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

import train
from engine.training.memory import memory_error, what_to_lower
from engine.training.run import Run, Setup
from tests.tiny import run_flags, write_data, write_graph
from utils.checkpoint import read
from utils.config import TrainConfig
from utils.errors import run_main

SHORTAGE = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB of"
    " which 1.00 GiB is free. Including non-PyTorch memory, this process has 14 GiB in use."
)


def train_until(
    name: str, error: BaseException, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[int, Path]:
    """The status of a run in which a function of train.py raises an error, and its last.pt."""

    def fail(*_: object, **__: object) -> None:
        raise error

    flags = run_flags(write_graph(folder), write_data(folder), "--epochs", "1", "--noplots")
    with patch.context() as patched:
        patched.setattr(train, name, fail)
        status = run_main(train.main, [*flags, "--project", str(folder), "--name", "run"])
    return status, folder / "run" / "weights" / "last.pt"


def test_a_batch_that_does_not_fit_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, last = train_until("check_loss", SHORTAGE, tmp_path, monkeypatch)
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert status == 2
    assert line == (
        "error: epoch 0, batch 0: the memory of cpu is too small to train 4 images of 64 pixels"
        " (CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
        " of which 1.00 GiB is free); use --batch-size 2 or a smaller --imgsz or --cache no;"
        " no epoch was completed, so start again"
    )
    assert (read(last).training or {})["progress"]["batch"] == 0  # that of the start


def test_a_validation_that_does_not_fit_keeps_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, last = train_until("validate", MemoryError(), tmp_path, monkeypatch)
    line = capsys.readouterr().err
    assert status == 2
    assert "too small to validate 1 image of 64 pixels (" in line
    assert "use a smaller --imgsz or --cache no;" in line
    assert f"the last good checkpoint is {last}: --weights starts from it with other flags" in line
    assert (read(last).training or {})["progress"]["batch"] == 3
    assert run_main(train.main, ["--resume", str(last)]) == 0


def setup_of(device: str, last: Path, size: int = 1, **options: Any) -> Setup:
    setup = SimpleNamespace(
        config=TrainConfig(**options),
        device=torch.device(device),
        world=SimpleNamespace(size=size),
        last=last,
    )
    return cast(Setup, setup)


def test_what_to_lower_depends_on_what_is_in_use(tmp_path: Path) -> None:
    gpus = setup_of("cuda:1", tmp_path / "last.pt", size=2, batch_size=10, multi_scale=True)
    lower = what_to_lower(gpus, 5)
    assert lower[:2] == ["--batch-size 4", "a smaller --imgsz"]
    assert lower[2].startswith("no --multi-scale")
    cpu = setup_of("cpu", tmp_path / "last.pt", cache="no", workers=2)
    assert what_to_lower(cpu, 1) == ["a smaller --imgsz", "--workers 0"]


def test_the_last_good_checkpoint_is_named_if_it_has_learnt(tmp_path: Path) -> None:
    last = tmp_path / "last.pt"
    progress = SimpleNamespace(epoch=3, batch=7)
    run = cast(Run, SimpleNamespace(setup=setup_of("cuda:0", last), state=SimpleNamespace()))
    cast(Any, run).state.progress = progress
    assert str(memory_error(run, MemoryError(), True, False)).endswith("so start again")
    last.touch()
    said = str(memory_error(run, MemoryError(), True, False))
    assert said.startswith("epoch 3, batch 7: the memory of cuda:0 is too small to train 16 images")
    assert said.endswith(
        "--resume goes on with the same ones once other programs have left more memory"
    )
