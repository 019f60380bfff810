"""Made-up studies with known effects: what ablate.py would hand to the report, without a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ablation.config import AA_SEEDS, StudyConfig
from ablation.results import CellResult, Costs, StudyResult
from ablation.statistics.scores import noise
from ablation.statistics.verdicts import compare
from ablation.study import AA, PLAIN, Arm

CLASSES = ("red", "white", "platelet")
EPOCHS = 20


def make_cell(
    arm: str, seed: int, score: float, classes: tuple[str, ...] = CLASSES, **metrics: Any
) -> CellResult:
    """A finished cell whose curve rises to score (a share)."""
    draw = np.random.default_rng([seed, len(arm), sum(map(ord, arm))])
    rise = score * (1 - np.exp(-np.arange(1, EPOCHS + 1) / 4))
    curve = [
        {"epoch": epoch, "train/box_loss": 0.1 / (epoch + 1), "val/box_loss": 0.12 / (epoch + 1),
         "metrics/mAP_0.5:0.95": max(0.0, rise[epoch] + draw.normal(0, 0.004))}
        for epoch in range(EPOCHS)
    ]  # fmt: skip
    rows = [
        {
            "class_id": number,
            "name": name,
            "ap": score + 0.05 * (number - 1) + draw.normal(0, 0.004),
        }
        for number, name in enumerate(classes)
    ]
    content = {
        "map": score,
        "map50": score + 0.3,
        "precision": 0.8,
        "recall": 0.7,
        "ap_small": score - 0.1,
        "ap_medium": score,
        "ap_large": None,
        "classes": rows,
        "epoch": EPOCHS - 2,
        "epochs": EPOCHS,
        "train_images": 100,
        "memory_mb": 900.0 + seed,
    }
    timing = {
        "loader": 0.001,
        "forward": 0.01,
        "backward": 0.02,
        "optimizer": 0.001,
        "images": 100 * EPOCHS,
    }
    train_seed = seed + AA_SEEDS if arm == AA else seed
    folder = Path(f"/studies/study/cells/{arm}_seed{train_seed}")
    return CellResult(arm, seed, train_seed, folder, {**content, **metrics}, curve, timing)


def make_study(
    effects: Mapping[str, float], seeds: int = 5, sd: float = 0.003, **changes: Any
) -> StudyResult:
    """A study of arms with true effects in shares, an A/A arm among them, and noise of sd on every
    score.

    changes: fields of the StudyResult.
    """
    draw = np.random.default_rng(0)
    blocks = draw.normal(0.45, 0.01, seeds)
    arms = [
        Arm(PLAIN, (), "", 0),
        Arm(AA, (), "", AA_SEEDS),
        *(Arm(name, (name,), "paper", 0) for name in effects),
    ]
    cells, scores = [], {}
    for arm in arms:
        values = blocks + effects.get(arm.name, 0.0) + draw.normal(0, sd, seeds)
        cells += [make_cell(arm.name, seed, float(value)) for seed, value in enumerate(values)]
        first = arm.first_seed
        scores[arm.name] = {first + seed: float(value) for seed, value in enumerate(values)}
    costs = {
        arm.name: Costs(
            1_700_000 + 1000 * number,
            4.1 + number / 10,
            60.0 + 3 * number,
            12.0 + number,
            1 + number / 20,
            68.0,
            905.0,
        )
        for number, arm in enumerate(arms)
    }
    config = StudyConfig(
        cfg="models/yolov5n.yaml",
        data="data/bccd.yaml",
        attention=tuple(effects) or ("SimAM",),
        seeds=seeds,
        epochs=EPOCHS,
        imgsz=320,
        batch_size=16,
    )
    study = StudyResult(
        config,
        arms,
        cells,
        {},
        compare(scores, PLAIN, controls=[AA]),
        noise(scores, PLAIN, [AA]),
        costs,
        {
            name: [f"{name} passes 0.50 × its input.", "Nothing else stands out."]
            for name in effects
        },
        {"command": "python ablate.py --seeds 5", "torch": "2.10"},
    )
    return dataclasses.replace(study, **changes)
