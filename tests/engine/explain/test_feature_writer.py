"""detect.py --visualize writes the maps of every frame, and refuses an ensemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import detect
from engine.explain.feature_writer import FeatureWriter
from engine.inference.prepared import InputFormat
from models.weights.ensemble import Ensemble
from tests.tiny import lively, write_graph
from utils.errors import UserError


def test_detect_writes_a_folder_for_each_image(tmp_path: Path) -> None:
    import cv2

    noise = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "one.png"), noise.integers(0, 255, (40, 60, 3), np.uint8))
    words = ["--weights", write_graph(tmp_path), "--source", tmp_path / "one.png", "--imgsz", 64]
    words += ["--visualize", "--nosave", "--device", "cpu", "--project", tmp_path / "runs"]
    folder = detect.main([str(word) for word in words])
    assert folder == tmp_path / "runs" / "exp"
    files = list((folder / "one").iterdir())
    assert len(files) == 12
    assert (folder / "one" / "stage5_Conv_features.npy").is_file()


def test_an_ensemble_is_refused(tmp_path: Path) -> None:
    model = lively(write_graph(tmp_path), {0: "a", 1: "b"})
    both = Ensemble([model, model], ["a", "b"])
    with pytest.raises(UserError, match="--visualize: this model has no rows"):
        FeatureWriter(both, InputFormat((64, 64), 16, 3), tmp_path)
