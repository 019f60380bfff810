"""A loss with a fourth term needs its own file only: all that counts terms goes by their names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import train
from engine.drawing import results
from models import losses
from models.losses.v5 import AnchorLoss, build_anchor_loss
from tests.tiny import write_data, write_graph
from utils.families import V5
from utils.files import read_results
from utils.hyperparameters import Hyperparameters
from utils.structures import HeadSpec


class SpreadLoss:
    """The loss of anchor heads and a term that holds the logits together."""

    names = (*AnchorLoss.names, "spread")

    def __init__(self, inner: AnchorLoss, gain: float) -> None:
        self.inner, self.gain = inner, gain

    def __call__(
        self, raw: list[Tensor], targets: Tensor, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        total, terms = self.inner(raw, targets, image_size)
        spread = self.gain * torch.stack([level.float().square().mean() for level in raw]).sum()
        return total + spread * raw[0].shape[0], torch.cat((terms, spread.detach()[None]))


def build_spread_loss(
    spec: HeadSpec, hyp: Hyperparameters, imgsz: int, smoothing: float
) -> SpreadLoss:
    return SpreadLoss(build_anchor_loss(spec, hyp, imgsz, smoothing), gain=0.01)


def test_a_fourth_term_is_trained_validated_logged_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    titles: list[str] = []
    style = results.style_axes
    monkeypatch.setattr(
        results,
        "style_axes",
        lambda axes, title, *more: (titles.append(title), style(axes, title, *more)),
    )
    monkeypatch.setitem(losses.LOSS_BUILDERS, V5.name, build_spread_loss)
    files = ["--cfg", str(write_graph(tmp_path)), "--data", str(write_data(tmp_path))]
    sizes = ["--imgsz", "64", "--batch-size", "4", "--epochs", "2", "--workers", "0"]
    where = ["--project", str(tmp_path), "--name", "run", "--device", "cpu", "--cache", "no"]
    train.main([*files, *sizes, *where])

    rows, terms = read_results(tmp_path / "run" / "results.csv"), SpreadLoss.names
    split = {name: [f"{name}/{term}_loss" for term in terms] for name in ("train", "val")}
    assert [name for name in rows[0] if name.endswith("_loss")] == [*split["train"], *split["val"]]
    assert all(row[name] > 0 for row in rows for name in (*split["train"], *split["val"]))
    assert rows[1]["train/spread_loss"] < rows[0]["train/spread_loss"]
    assert titles == [
        "Box loss",
        "Objectness loss",
        "Class loss",
        "Spread loss",
        "Precision and recall",
        "Mean average precision",
        "Learning rate",
    ]
    assert (tmp_path / "run" / "results.png").is_file()
    header = next(line for line in capsys.readouterr().out.splitlines() if "GPU_mem" in line)
    assert header.split()[2:6] == ["box_loss", "obj_loss", "cls_loss", "spread_loss"]
