"""The moving average against YOLOv5's numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.training.ema import ModelEMA

GOLDEN = Path(__file__).parents[2] / "golden" / "yolov5" / "schedule.npz"


def test_decay_equals_golden() -> None:
    golden = np.load(GOLDEN)
    ema = ModelEMA(nn.Linear(1, 1))
    decays = [ema.decay(int(updates)) for updates in golden["ema_updates"]]
    np.testing.assert_allclose(decays, golden["ema_decay"], atol=1e-9, rtol=0)


def test_decay_equals_yolov8s() -> None:
    recipe = json.loads((GOLDEN.parents[1] / "yolov8" / "recipe.json").read_text())
    ema = ModelEMA(nn.Linear(1, 1))
    for updates, decay in recipe["ema_decay"].items():
        assert math.isclose(ema.decay(int(updates)), decay, abs_tol=1e-12)


def test_track_of_one_weight_equals_golden() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema, track = ModelEMA(model), []
    for step in range(50):
        nn.init.constant_(model.weight, math.sin(0.3 * step))
        ema.update(model)
        track.append(ema.module.weight.item())
    np.testing.assert_allclose(track, np.load(GOLDEN)["ema_track"], atol=1e-6, rtol=0)


def test_statistics_are_averaged_counters_are_not_and_the_model_is_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    ema = ModelEMA(model, decay=0.5, tau=1e-9)
    model.train()(torch.randn(4, 3, 5, 5))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    ema.update(model)
    averaged = ema.module.state_dict()
    torch.testing.assert_close(averaged["1.running_mean"], 0.5 * before["1.running_mean"])
    assert averaged["1.num_batches_tracked"] == 0
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())


def test_load_puts_back_values_that_later_updates_go_on_from() -> None:
    model = nn.Linear(2, 2)
    ema = ModelEMA(model, decay=0.5, tau=1e-9)
    state = {key: torch.full_like(value, 3.0) for key, value in model.state_dict().items()}
    ema.load(state, updates=7)
    nn.init.constant_(model.weight, 1.0)
    ema.update(model)
    assert ema.updates == 8
    torch.testing.assert_close(ema.module.weight.data, torch.full((2, 2), 2.0))


def test_tensors_are_listed_once_for_each_model(monkeypatch) -> None:
    models = [nn.Linear(2, 2), nn.Linear(2, 2)]
    ema = ModelEMA(models[0], decay=0.5, tau=1e-9)
    listed = []
    for model in models:
        whole = model.state_dict
        monkeypatch.setattr(model, "state_dict", lambda whole=whole: listed.append(1) or whole())
    for model in (models[0], models[0], models[1], models[1]):
        ema.update(model)
    assert len(listed) == 1
    mean = models[0].weight / 4 + models[1].weight * 3 / 4
    torch.testing.assert_close(ema.module.weight, mean)


def test_the_share_of_the_start_that_is_left() -> None:
    """A weight that was 1 when the average began and has been 0 since is that share."""
    model = nn.Linear(1, 1, bias=False)
    for ema in (ModelEMA(model), ModelEMA(model, tau=1e-3)):
        nn.init.ones_(ema.module.weight)
        nn.init.zeros_(model.weight)
        for updates in range(4):
            share = ema.start_share(updates)
            assert math.isclose(ema.module.weight.item(), share, abs_tol=2e-7, rel_tol=1e-6)
            ema.update(model)
