"""The start of a run, made again: its first weights, and what training made of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ablation.start import bend, distance, middle_of, rebuild
from data.scanning.load import load_dataset
from engine.training.model import make_model
from tests.ablation.test_gates import save_model, with_attention
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint
from utils.config import Hyperparameters, TrainConfig


@pytest.fixture(scope="module")
def weights(material: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pretrained weights of the graph without attention."""
    folder = tmp_path_factory.mktemp("pretrained")
    return save_model(with_attention(""), folder / "weights.pt", material["data"])


def untrained(
    material: dict[str, Any], weights: Path, folder: Path, copied: str = ""
) -> Checkpoint:
    """The best.pt of a run that learned nothing; copied is what it really started from."""
    config = TrainConfig(
        weights=copied, cfg="" if copied else material["cfg"], data=material["data"],
        attention=("SE@index 3",), seed=7,
    )  # fmt: skip
    model, _ = make_model(config, Hyperparameters(), load_dataset(material["data"], "train"), None)
    best = checkpoints.read(save_model(model, folder / "best.pt", material["data"]))
    best.config["seed"] = 7
    return best


def test_the_start_of_a_real_run_is_found_again(
    material: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    start = rebuild(untrained(material, weights, tmp_path, str(weights)), str(weights))
    assert start.new
    assert len(start.base) > 10
    assert all(change.is_copied for change in start.base)
    assert not any(change.is_copied for change in start.new)
    assert not any(change.is_lost for change in start.changes)
    assert max(change.bent for change in start.changes) < 1e-6
    assert max(change.moved for change in start.changes) == 0


def test_weights_that_were_not_copied_are_lost(
    material: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    start = rebuild(untrained(material, weights, tmp_path), str(weights))
    trained = [change for change in start.base if change.moved > 0]  # norms start at 1 in both
    assert len(trained) > 5
    assert all(change.is_copied and change.is_lost for change in trained)
    assert all(change.moved == 0 for change in start.new)  # they have the seed's own weights


@pytest.mark.parametrize(
    ("last", "far", "bent"),
    [
        ([1.0, 2.0, 3.0, 4.0], 0, 0),
        ([0.5, 1.0, 1.5, 2.0], math.sqrt(7.5), 0),  # decayed only
        ([4.0, 3.0, 2.0, 1.0], math.sqrt(20), math.sqrt(1 - (2 / 3) ** 2)),
    ],
)
def test_what_a_run_made_of_a_tensor(last: list[float], far: float, bent: float) -> None:
    first, end = torch.tensor([1.0, 2, 3, 4]), torch.tensor(last)
    assert (distance(first, end), bend(first, end)) == pytest.approx((far, bent))


def test_zeros_and_single_elements() -> None:
    pairs = ((0.0, 0.0), (0.0, 0.1), (1.0, 1.0), (1.0, 0.5))
    found = [bend(torch.tensor(first), torch.tensor(last)) for first, last in pairs]
    assert found == pytest.approx([0, 1, 0, 0.5])
    assert (middle_of([]), middle_of([0, 3, 1, 2])) == (0, 2)
