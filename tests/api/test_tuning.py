"""model.tune()."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.keywords import KeywordError
from api.yolo import YOLO
from utils.errors import UserError


@pytest.mark.parametrize("graph", ["anchors"], indirect=True)
def test_mistakes(graph: Path, folder: Path) -> None:
    pytest.importorskip("optuna")
    model, data = YOLO(graph), str(folder / "data.yaml")
    with pytest.raises(KeywordError, match=r"^tune: use_ray=True: is not part"):
        model.tune(data=data, use_ray=True)
    with pytest.raises(KeywordError, match=r"^tune: space=3: must be"):
        model.tune(data=data, space=3)  # type: ignore[arg-type]
    with pytest.raises(KeywordError, match=r"^tune: epocs=3: no such keyword; did you mean epochs"):
        model.tune(data=data, epocs=3)
    with pytest.raises(UserError, match=r"^space: rate: no such hyperparameter"):
        model.tune(data=data, space={"rate": (0, 1)})


@pytest.mark.slow
def test_a_search_returns_the_best_values(graph: Path, folder: Path) -> None:
    pytest.importorskip("optuna")
    model, options = YOLO(graph), {"imgsz": 64, "batch": 4, "device": "cpu", "workers": 0}
    best = model.tune(
        data=folder / "data.yaml",
        iterations=2,
        epochs=1,
        space={"mosaic": (0, 1)},
        plots=False,
        mixup=0.25,
        **options,
    )
    assert best is not None
    assert 0 <= best["mosaic"] <= 1
    assert best["mixup"] == 0.25
    assert model.save_dir == Path("runs/tune/exp")
    assert (model.save_dir / "best_hyp.yaml").exists()
