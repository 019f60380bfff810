"""What --resume reads is compared with the run before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from engine.training.optim import make_optimizer
from engine.training.run import Progress, set_random_state
from engine.training.saved_state import check_saved
from models.graph.load import load_graph
from models.yolo import DetectionModel
from tests.tiny import write_graph
from utils.checkpoint import Checkpoint
from utils.config import TrainConfig
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters

KERNEL = "model.0.conv.weight"
LENGTHS = {"loss_sums": 3, "class_ap": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DetectionModel:
    return DetectionModel(
        load_graph(write_graph(tmp_path_factory.mktemp("graph"))), names=["a", "b"]
    )


def optimizer_of(model: DetectionModel, kind: str) -> torch.optim.Optimizer:
    return make_optimizer(model, TrainConfig(optimizer=kind), Hyperparameters())


def saved_by(model: DetectionModel, kind: str) -> dict[str, Any]:
    """What a run of the model saves after a step."""
    optimizer = optimizer_of(model, kind)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {
        "model": model.state_dict(),
        "updates": 1,
        "optimizer": optimizer.state_dict(),
        "scaler": {},
        "progress": {**vars(Progress()), "class_ap": [0.5, 0.5]},
        "gradients": {KERNEL: torch.zeros_like(model.state_dict()[KERNEL])},
        "random": {"cpu": torch.get_rng_state()},
        "data_digests": ["a", "b"],
    }


def check(model: DetectionModel, saved: Any, kind: str = "SGD") -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    checkpoint = Checkpoint(model.graph, model.names, model.state_dict(), training=saved)
    check_saved(checkpoint, model, optimizer_of(model, kind), scaler, Progress, LENGTHS)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_what_a_run_saves_is_accepted(model: DetectionModel, kind: str) -> None:
    check(model, saved_by(model, kind), kind)


def test_a_run_before_its_first_step_is_accepted(model: DetectionModel) -> None:
    check(model, {**saved_by(model, "SGD"), "optimizer": optimizer_of(model, "SGD").state_dict()})


def _with_memory(saved: dict[str, Any], change: Callable[[dict[Any, Any]], Any]) -> dict[str, Any]:
    optimizer = saved["optimizer"]
    state = {number: dict(kept) for number, kept in optimizer["state"].items()}
    change(state)
    return {"optimizer": {**optimizer, "state": state}}


WRONG: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "an optimizer without groups": (
        lambda saved: {"optimizer": {"state": {}, "param_groups": []}},
        "has 0 groups of parameters",
    ),
    "an optimizer of text": (lambda saved: {"optimizer": {"state": "x"}}, "not as torch writes it"),
    "a rate that is not finite": (
        lambda saved: {
            "optimizer": {
                **saved["optimizer"],
                "param_groups": [
                    {**group, "lr": float("nan")} for group in saved["optimizer"]["param_groups"]
                ],
            }
        },
        "has nan as lr",
    ),
    "momentum of another shape": (
        lambda saved: _with_memory(
            saved, lambda state: state[0].update(momentum_buffer=torch.zeros(1, 2))
        ),
        "has momentum_buffer of parameter 0 with another shape",
    ),
    "the memory of another optimizer": (
        lambda saved: _with_memory(saved, lambda state: state[0].update(exp_avg=torch.zeros(1))),
        "entries of another optimizer for parameter 0",
    ),
    "a parameter that is not there": (
        lambda saved: _with_memory(saved, lambda state: state.update({10**6: {}})),
        "entries of another optimizer for parameter 1000000",
    ),
    "progress of text": (lambda saved: {"progress": {"epoch": "1"}}, "has '1' as epoch"),
    "an unknown entry of progress": (
        lambda saved: {"progress": {"x": 1}},
        "has an entry 'x', which this version",
    ),
    "a negative epoch": (lambda saved: {"progress": {"epoch": -7}}, "has -7 as epoch"),
    "sums of another loss": (
        lambda saved: {"progress": {"batch": 2, "loss_sums": [1.0]}},
        "has 1 numbers as loss_sums",
    ),
    "a model of another shape": (
        lambda saved: {"model": {**saved["model"], KERNEL: torch.zeros(1)}},
        r"training model have 'model.0.conv.weight' \[1\]",
    ),
    "a model of whole numbers": (
        lambda saved: {"model": {**saved["model"], KERNEL: saved["model"][KERNEL].long()}},
        "as torch.int64",
    ),
    "an empty model": (lambda saved: {"model": {}}, "training model have 0 tensors"),
    "a model that is not finite": (
        lambda saved: {"model": {**saved["model"], KERNEL: saved["model"][KERNEL] * torch.nan}},
        "values that are not finite",
    ),
    "gradients of another shape": (
        lambda saved: {"gradients": {KERNEL: torch.zeros(3)}},
        "training gradients have",
    ),
    "a short random state": (
        lambda saved: {"random": {"cpu": torch.zeros(3, dtype=torch.uint8)}},
        "random state is of another size",
    ),
    "a scaler of text": (lambda saved: {"scaler": {"scale": "x"}}, "scaler is not as torch"),
    "digests of numbers": (lambda saved: {"data_digests": [1]}, "data_digests is not as"),
}


@pytest.mark.parametrize("label", WRONG)
def test_a_state_of_training_that_does_not_fit_is_one_line(
    model: DetectionModel, label: str
) -> None:
    change, words = WRONG[label]
    saved = saved_by(model, "SGD")
    with pytest.raises(UserError, match=words) as caught:
        check(model, {**saved, **change(saved)})
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("--resume") or "finite" in str(caught.value)


def test_each_entry_that_is_missing_is_named(model: DetectionModel) -> None:
    saved = saved_by(model, "SGD")
    for name in saved:
        rest = {key: value for key, value in saved.items() if key != name}
        with pytest.raises(UserError, match=f"training has no {name}"):
            check(model, rest)


def test_a_random_state_that_torch_does_not_take_is_one_line() -> None:
    state = {"cpu": torch.full_like(torch.get_rng_state(), 255)}
    with pytest.raises(UserError, match="random state in the checkpoint is not one of torch"):
        set_random_state(state, torch.device("cpu"))
