"""Half precision with a scaler: single steps are skipped, a run in which none is left ends."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import train
from engine.training.build import prepare_run
from engine.training.diagnose import NotFiniteError
from engine.training.logbook import StepTiming
from engine.training.run import Progress, Run, restore, snapshot
from engine.training.skips import add_terms, note_skips
from tests.tiny import write_data, write_graph
from utils.config import TrainConfig
from utils.hyperparameters import Hyperparameters

Spoil = Callable[[torch.Tensor], torch.Tensor]


def start(folder: Path) -> Run:
    """A run in fp16 with a scaler, each of whose batches ends with a step."""
    config = TrainConfig(
        cfg=str(write_graph(folder)), data=str(write_data(folder)), imgsz=64, batch_size=4,
        workers=0, device="cpu", project=str(folder), noplots=True, cache="no", precision="fp16",
    )  # fmt: skip
    run = prepare_run(config, Hyperparameters(nominal_batch=4, warmup_iterations=0))
    train.start_epoch(run.setup, run.state)
    return run


def spoil(run: Run, how: Spoil) -> Run:
    """The same run with a loss whose first map is changed before."""
    inner = run.setup.loss

    def loss(raw: list[torch.Tensor], *others: object) -> object:
        return inner([how(raw[0]), *raw[1:]], *others)  # type: ignore[arg-type]

    loss.names = inner.names  # type: ignore[attr-defined]
    return Run(dataclasses.replace(run.setup, loss=loss), run.state)  # type: ignore[arg-type]


def infinite(gradient: bool) -> Spoil:
    """Spoils the value of a map, or its gradient alone."""
    if not gradient:
        return lambda level: level * math.nan
    # The root's slope at 0 is infinite, its value is not.
    return lambda level: level + (level * 0).sum().sqrt()


def learn(run: Run, batches: int = 1) -> None:
    batch = next(iter(run.setup.loaders[0]))
    for _ in range(batches):
        train.train_batch(run, batch, StepTiming())


@pytest.mark.parametrize("gradient", [False, True])
def test_a_batch_that_overflows_is_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gradient: bool
) -> None:
    run = start(tmp_path)
    state, progress = run.state, run.state.progress
    learn(run)
    sums, scale = progress.loss_sums, state.scaler.get_scale()
    weights = [value.clone() for value in state.model.parameters()]
    mean = next(iter(state.model.buffers()))
    if not gradient:
        mean[0] = math.inf  # as an infinite activation leaves it
    capsys.readouterr()
    learn(spoil(run, infinite(gradient)), 2)
    said = capsys.readouterr().out
    assert said.startswith("epoch 0, batch 1: a gradient is not finite in fp16, so the step is sk")
    assert said.count("skipped") == 1
    assert (progress.skips, progress.skips_in_a_row, state.ema.updates) == (2, 2, 3)
    assert state.scaler.get_scale() == scale / 4
    assert all(map(torch.equal, weights, state.model.parameters()))
    assert all(value.isfinite().all() for value in state.model.buffers())
    assert all(value.isfinite().all() for value in state.ema.module.buffers())
    if not gradient:
        assert progress.loss_sums == pytest.approx([3 * total for total in sums])
    learn(run)
    assert (progress.skips, progress.skips_in_a_row) == (2, 0)
    assert not all(map(torch.equal, weights, state.model.parameters()))


def test_the_counts_and_the_scale_are_resumed(tmp_path: Path) -> None:
    run = start(tmp_path)
    learn(spoil(run, infinite(gradient=True)), 3)
    saved, scale = snapshot(run), run.state.scaler.get_scale()
    other = start(tmp_path)
    assert other.state.scaler.get_scale() == 8 * scale
    state = restore(other.setup, other.state, saved)
    assert state.scaler.get_scale() == scale
    assert (state.progress.skips, state.progress.skips_in_a_row) == (3, 3)


def test_twenty_in_a_row_end_the_run_with_what_overflows_in_fp16(tmp_path: Path) -> None:
    run = start(tmp_path)
    weight = run.state.model.get_parameter("model.1.conv.weight")
    weight.data.fill_(1e5)  # finite in float32, and in bf16
    learn(run)
    progress = run.state.progress
    assert (progress.skips, progress.skips_in_a_row) == (1, 1)
    progress.skips = progress.skips_in_a_row = 19
    with pytest.raises(NotFiniteError) as caught:
        learn(run)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("epoch 0, batch 1 (")
    assert (
        "): 20 steps in a row were skipped, this one at a loss multiplied by 3.3e+04: the loss is"
        " nan; first not finite: layer model.1.conv; no epoch was completed, so start again;"
        " lower lr0 in --hyp, or use --precision fp32"
    ) in said


def test_twenty_infinite_gradients_name_the_first(tmp_path: Path) -> None:
    run = start(tmp_path)
    run.state.progress.skips = run.state.progress.skips_in_a_row = 19
    parameter = run.state.model.get_parameter("model.3.conv.weight")
    parameter.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NotFiniteError, match=r"the gradient of model\.3\.conv\.weight is not"):
        learn(run)


def test_terms_that_are_not_finite_count_as_the_mean() -> None:
    progress = Progress(batch=2, loss_sums=[4.0, 6.0])
    add_terms(progress, [math.nan, 1.0])
    assert progress.loss_sums == [6.0, 7.0]


def test_more_skips_than_usual_are_a_note(tmp_path: Path) -> None:
    state = start(tmp_path).state
    state.ema.updates, state.progress.skips = 4000, 18
    note_skips(state)
    assert state.progress.notes == []
    state.progress.skips = 19
    note_skips(state)
    assert state.progress.notes[0].startswith("19 of 4000 steps were skipped, since a gradient")
    plain = dataclasses.replace(state, scaler=torch.amp.GradScaler("cpu", enabled=False))
    note_skips(plain)
