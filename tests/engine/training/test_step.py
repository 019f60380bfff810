"""One look at a batch before its gradient changes the weights."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import train
from engine.training.build import prepare_run
from engine.training.diagnose import NotFiniteError
from engine.training.logbook import StepTiming
from engine.training.run import Run
from engine.training.step import read_figures
from tests.tiny import write_data, write_graph
from utils.config import TrainConfig
from utils.hyperparameters import Hyperparameters


def test_figures_are_read_to_the_last_bit() -> None:
    terms = torch.tensor([0.1, 2 / 3, 1e-9])
    total, norm = terms.sum().requires_grad_() * 4, torch.tensor(1 / 7)
    figures = read_figures(total, terms, norm)
    assert (figures.loss, figures.terms, figures.norm) == (
        total.item(),
        terms.tolist(),
        norm.item(),
    )
    assert read_figures(total, terms[:1], None) == (total.item(), terms[:1].tolist(), None)


class SpoiltLoss:
    """A loss that is another one's until a call, in which its value or its gradient is spoilt."""

    def __init__(self, inner, call: int, how: str) -> None:
        self.inner, self.names, self.left, self.how = inner, inner.names, call, how

    def __call__(
        self, raw: list[Tensor], targets: Tensor, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        total, terms = self.inner(raw, targets, image_size)
        self.left -= 1
        if self.left == 0:
            # The root's slope at 0 is infinite, its value is not.
            spoilt = (raw[0] * 0).sum()
            total = total + (spoilt.sqrt() if self.how == "gradient" else spoilt * math.nan)
        return total, terms


@pytest.mark.parametrize(
    ("how", "call", "cause"),
    [
        ("loss", 1, "the loss is nan; first not finite: the loss"),  # a step would follow
        ("loss", 2, "the loss is nan; first not finite: the loss"),  # gradients are added up
        ("gradient", 1, r"the gradient of model\.0\.conv\.weight is not finite"),
    ],
)
def test_what_is_not_finite_stops_at_its_batch_and_changes_no_weight(
    tmp_path: Path, how: str, call: int, cause: str
) -> None:
    config = TrainConfig(
        cfg=str(write_graph(tmp_path)), data=str(write_data(tmp_path)), imgsz=64, batch_size=4,
        workers=0, device="cpu", project=str(tmp_path), noplots=True, cache="no",
    )  # fmt: skip
    run = prepare_run(
        config, Hyperparameters(nominal_batch=16, warmup_epochs=0, warmup_iterations=0)
    )
    loss = SpoiltLoss(run.setup.loss, call, how)
    run = Run(dataclasses.replace(run.setup, loss=loss), run.state)
    run.state.progress.last_step = -4  # so that the first batch ends with a step
    train.start_epoch(run.setup, run.state)
    batches, kept = iter(run.setup.loaders[0]), run.state.model.state_dict()
    for number in range(call):
        kept = {key: value.clone() for key, value in run.state.model.state_dict().items()}
        if number + 1 < call:
            train.train_batch(run, next(batches), StepTiming())
    with pytest.raises(NotFiniteError, match=f"epoch 0, batch {call - 1} .*{cause}"):
        train.train_batch(run, next(batches), StepTiming())
    after = run.state.model.named_parameters()
    assert all(torch.equal(value, kept[key]) for key, value in after)
    assert run.state.progress.batch == call - 1
