"""model.explain() gives heat maps in pixels of the image, for both families."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from api import YOLO
from tests.tiny import raise_scores, write_free_graph
from utils.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)


def test_maps_have_the_size_of_the_image(tmp_path: Path) -> None:
    model = YOLO(str(write_free_graph(tmp_path)))
    raise_scores(model.model)
    found = model.explain(IMAGE, imgsz=64, conf=0.01, max_det=2, method="gradcam", verbose=False)
    assert len(found) == 1
    assert found[0].method == "gradcam"
    heat = found[0].targets[0].panels["model"].heat
    assert heat is not None
    assert heat.shape == (40, 60)
    assert 0 <= heat.min() <= heat.max() <= 1
    assert next(model.model.parameters()).requires_grad


def test_mistakes_are_told(tmp_path: Path) -> None:
    model = YOLO(str(write_free_graph(tmp_path)))
    with pytest.raises(UserError, match=r"explain: weights=.*write YOLO"):
        model.explain(IMAGE, weights="a.pt")
    with pytest.raises(UserError, match="write save=True too"):
        model.explain(IMAGE, gates=True)
