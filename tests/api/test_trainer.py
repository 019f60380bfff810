"""Callbacks of a whole training: their order, what they get, and how they end it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.yolo import YOLO
from engine.training.moments import MOMENTS
from tests.tiny import write_free_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError
from utils.files import read_results

QUICK: dict[str, Any] = {
    **{"imgsz": 64, "batch": 4, "device": "cpu", "workers": 0, "plots": False},
    **{"project": "p", "name": "n", "exist_ok": True, "optimizer": "SGD"},
}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> YOLO:
    monkeypatch.chdir(tmp_path)
    return YOLO(write_free_graph(tmp_path))


def test_the_moments_of_a_training(model: YOLO, folder: Path) -> None:
    order: list[str] = []
    rows: list[dict[str, float]] = []

    def on_fit_epoch_end(trainer: Any) -> None:
        rows.append({**trainer.label_loss_items(trainer.tloss), **trainer.metrics, **trainer.lr})
        assert trainer.epoch == len(rows) - 1
        assert trainer.fitness == trainer.validator.metrics.fitness

    for moment in MOMENTS:
        model.add_callback(moment, lambda subject, moment=moment: order.append(moment))
    scores = model.train(
        data=folder / "data.yaml", epochs=2, lr0=0.002, callbacks=[on_fit_epoch_end], **QUICK
    )
    start, batch, rest = MOMENTS[1:2], MOMENTS[2:4], MOMENTS[4:8]
    epoch = [*start, *batch * 3, *rest]  # ten images in batches of four
    assert order == [MOMENTS[0], *epoch, "on_model_save", *epoch, *MOMENTS[-2:]]
    table = read_results(Path("p/n/results.csv"))
    written = [row["train/box_loss"] for row in table]
    assert [row["train/box_loss"] for row in rows] == pytest.approx(written, rel=1e-4)
    assert rows[0].keys() >= {"val/box_loss", "metrics/mAP50-95(B)", "lr/pg0"}
    trainer = model.trainer
    assert trainer is not None
    assert (trainer.epochs, trainer.args.lr0, trainer.args.imgsz) == (2, 0.002, 64)
    assert trainer.metrics["metrics/mAP50(B)"] == scores.box.map50
    assert trainer.best.exists()
    assert trainer.csv.exists()


@pytest.mark.slow
def test_a_callback_may_end_the_run(model: YOLO, folder: Path) -> None:
    def on_fit_epoch_end(trainer: Any) -> None:
        trainer.stop = trainer.epoch == 1

    model.train(data=folder / "data.yaml", epochs=9, callbacks=[on_fit_epoch_end], **QUICK)
    assert model.metrics is not None
    assert len(read_results(Path("p/n/results.csv"))) == 2
    assert checkpoints.read(Path("p/n/weights/last.pt")).training is None
    assert "stopped after epoch 1 of 8, since a callback" in Path("p/n/metrics.json").read_text()


def test_a_callback_that_fails_ends_the_run_which_goes_on_later(model: YOLO, folder: Path) -> None:
    def on_fit_epoch_end(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise ValueError("no network")

    with pytest.raises(UserError) as caught:
        model.train(data=folder / "data.yaml", epochs=3, callbacks=[on_fit_epoch_end], **QUICK)
    line = str(caught.value)
    assert "on_fit_epoch_end: ValueError: no network" in line
    assert "continue with: python train.py --resume p/n/weights/last.pt" in line
    assert "\n" not in line
    seen: list[int] = []
    model.train(
        resume="p/n/weights/last.pt",
        callbacks={"on_fit_epoch_end": lambda trainer: seen.append(trainer.epoch)},
    )
    assert seen == [1, 2]  # the epoch in which it failed is validated again


def test_callbacks_of_val(model: YOLO, folder: Path) -> None:
    seen: list[object] = []
    model.add_callback("on_val_start", lambda validator: seen.append(validator.metrics))
    model.add_callback("on_val_end", lambda validator: seen.append(validator.metrics))
    options = {
        key: value for key, value in QUICK.items() if key not in ("project", "name", "optimizer")
    }
    assert seen == []
    scores = model.val(data=folder / "data.yaml", **options)
    assert seen == [None, scores]
    model.reset_callbacks()
    assert not any(model.callbacks.values())
