"""How much noise a score has, and other scores of the same run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from bench.noise import __main__ as noise
from bench.noise import scores as scoring
from bench.noise import views
from bench.noise.__main__ import NoiseSettings, ratio_interval, report, run_and_score, spread
from bench.noise.run import WIDTHS, Averages, power_exponent
from bench.noise.scores import Mirrored, Scorer, Scores, named, resampled
from data.scanning.load import load_dataset
from models.graph.load import load_graph
from models.yolo import DetectionModel
from tests.tiny import raise_scores
from utils.files import save_yaml


def squares(folder: Path) -> Path:
    """A data set of four images with a square each."""
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / kind / "val").mkdir(parents=True)
    for number in range(4):
        image = rng.integers(0, 255, (60, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / "val" / f"{number}.png"), image)
        (folder / "labels" / "val" / f"{number}.txt").write_text(f"{number % 2} 0.5 0.5 0.4 0.5\n")
    names = {0: "red", 1: "green"}
    whole = {"path": str(folder), "train": "images/val", "val": "images/val", "names": names}
    save_yaml(folder / "set.yaml", whole)
    return folder / "set.yaml"


def test_the_profiles_exponents_are_those_of_the_paper() -> None:
    assert power_exponent(0.05) == pytest.approx(16.97, abs=0.01)  # Karras et al., section 3.1
    assert power_exponent(0.1) == pytest.approx(6.94, abs=0.01)


def test_averages_weigh_updates_by_their_powers() -> None:
    model, made = nn.Linear(1, 1, bias=False), []
    averages, track = Averages(model, made), []
    for step in range(40):
        nn.init.constant_(model.weight, math.sin(0.3 * step))
        track.append(model.weight.item())
        averages.update(model)
    assert made == [averages]
    for width in WIDTHS:
        g, profile, left = power_exponent(width), [], 1.0
        for update in range(40, 0, -1):
            decay = (1 - 1 / update) ** (g + 1)
            profile.insert(0, left * (1 - decay))
            left *= decay
        found = averages.states()[width]["weight"].item()
        assert found == pytest.approx(float(np.dot(profile, track)), abs=1e-6)
        assert sum(profile) == pytest.approx(1.0)


def test_a_mirrored_detector_finds_the_same_in_mirrored_images() -> None:
    torch.manual_seed(0)
    for name in ("yolov5n.yaml", "yolov8n.yaml"):
        model = DetectionModel(load_graph(name)).eval()
        images = torch.rand(2, 3, 64, 96)
        with torch.no_grad():
            plain = model(images.flip(3))[0].clone()
            found = Mirrored(model).eval()(images)[0]
        boxes = plain if model.family.has_objectness else plain.transpose(1, 2)
        mine = found if model.family.has_objectness else found.transpose(1, 2)
        torch.testing.assert_close(mine[..., 0], 96 - boxes[..., 0])
        torch.testing.assert_close(mine[..., 1:], boxes[..., 1:])


def test_scores_are_named_by_their_views() -> None:
    assert named("x", [0.1, 0.3, 0.2, 0.6]) == pytest.approx(
        {"x": 0.1, "x, mirrored too": 0.2, "x, mirrored, 3 sizes": 0.3}
    )


def test_the_ratio_of_equal_differences_is_1_and_the_spread_is_in_points() -> None:
    values = np.array([0.01, 0.03, 0.02, 0.05])
    assert ratio_interval(values, values) == pytest.approx((1.0, 1.0))
    assert ratio_interval(values / 2, values) == pytest.approx((0.5, 0.5))
    assert spread(np.array([0.0, 0.02])) == pytest.approx(math.sqrt(2))


def test_the_report_compares_pairs_of_seeds() -> None:
    plain: list[Scores] = [{"best epoch": 0.5, "other": 0.4, "bootstrap": [0.5, 0.6]},
             {"best epoch": 0.6, "other": 0.5, "bootstrap": [0.5, 0.6]}]  # fmt: skip
    arm: list[Scores] = [{"best epoch": 0.5, "other": 0.40, "bootstrap": [0.5, 0.62]},
           {"best epoch": 0.62, "other": 0.51, "bootstrap": [0.5, 0.62]}]  # fmt: skip
    text = report({"plain": plain, "SE": arm})
    assert "| best epoch | 55.00 | 7.07 | 1.41, 1.00 times (1.00 to 1.00) |" in text
    assert "| other | 45.00 | 7.07 | 0.71, 0.50 times (0.50 to 0.50) |" in text
    assert "sd of a pair (bootstrap): SE 1.41." in text


def test_a_run_is_scored_in_all_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of one epoch with its averages; the second call reads what the first wrote."""
    data = squares(tmp_path)
    settings = NoiseSettings(str(data), "models/yolov5n.yaml", "", "", 64, 1, 2, tmp_path / "out")
    settings.out.mkdir()
    monkeypatch.setattr(scoring, "BOOTSTRAPS", 3)
    found = run_and_score((settings, "SimAM identity", 0))
    views = 3 * (1 + len(WIDTHS))
    assert len(found) == 3 + views + 1
    assert found["usual average"] == found["best epoch"]
    assert np.shape(found["bootstrap"]) == (3,)
    assert all(0 <= value <= 1 for value in found.values() if isinstance(value, float))
    monkeypatch.setattr(noise, "scores_of", None)
    assert run_and_score((settings, "SimAM identity", 0)) == found
    assert json.loads((settings.out / "SimAM-identity-0" / "scores.json").read_text()) == found


def test_a_test_set_of_all_images_once_has_the_score_of_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = squares(tmp_path)
    scorer, model = Scorer(str(data), 64), DetectionModel(load_graph("yolov5n.yaml"), class_count=2)
    assert scorer.index.names == load_dataset(str(data), "val").names
    evaluation = scorer.evaluation(raise_scores(model).eval().fuse())

    class Once:
        def integers(self, low: int, high: int, size: int) -> np.ndarray:
            return np.arange(size)

    monkeypatch.setattr(scoring.np.random, "default_rng", lambda seed: Once())
    monkeypatch.setattr(scoring, "BOOTSTRAPS", 1)
    assert resampled(evaluation, scorer) == [scorer.score(evaluation)]


def test_views_are_compared_by_the_pooled_spread_of_pairs() -> None:
    """A/A has other seeds than the plain graph, and so no pairs."""
    plain = {0: [0.5, 0.5, 0.5, 0.5], 1: [0.6, 0.6, 0.6, 0.6]}
    arm = {0: [0.5, 0.5, 0.5, 0.5], 1: [0.62, 0.60, 0.6, 0.6]}
    table = {"plain": plain, "SE@neck": arm, "A-A": {1000: [0.1] * 4, 1001: [0.9] * 4}}
    found = views.pooled_spreads(table)
    assert found["usual"] == pytest.approx([2.0])
    assert found["usual, mirrored too"] == pytest.approx([0.5])
    text = views.report(table)
    assert text.startswith("1 arm\n")
    assert "| usual, mirrored too | 0.71 | 0.71 | 0.50 |" in text
    assert views.report({"SE@neck": arm}).startswith("no arm")


def test_runs_of_a_study_are_scored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plain_seed0", "plain_seed1", "SE@neck_seed0"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        (tmp_path / "cells" / name / "metrics.json").touch()
    (tmp_path / "cells" / "SE@neck_seed1").mkdir()  # not finished
    loaded: list[str] = []
    monkeypatch.setattr(views, "load_model", lambda file: loaded.append(str(file)) or nn.Identity())

    class Fixed:
        def views(self, model: nn.Module) -> tuple[None, list[float]]:
            return None, [0.1, 0.2, 0.3, 0.4]

    kept = tmp_path / "scores.json"
    for _ in range(2):
        table = views.score_cells(tmp_path, Fixed(), kept)  # type: ignore[arg-type]
    assert len(loaded) == 3
    assert table == {"SE@neck": {0: [0.1, 0.2, 0.3, 0.4]},
                     "plain": {key: [0.1, 0.2, 0.3, 0.4] for key in (0, 1)}}  # fmt: skip
