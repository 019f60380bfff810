"""What all trials of a search share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.tuning.conftest import MakeStart
from utils.errors import UserError


def test_auto_is_replaced_by_the_optimizer_that_it_chooses(
    start: MakeStart, material: Path
) -> None:
    found = start(cfg=str(material / "yolov8n-tiny.yaml"))
    assert (found.config.optimizer, found.hyp.lr0, found.hyp.momentum) == ("AdamW", 0.001667, 0.9)
    assert "dfl" in found.ranges
    assert found.outside() == []
    assert "--optimizer" not in found.command()
    assert found.command("b.yaml").endswith("--optimizer AdamW --hyp b.yaml")


def test_a_starting_value_outside_its_range_is_found(start: MakeStart) -> None:
    found = start(rows={"lr0": [0.1, 0.2], "mosaic": [0, 1], "mixup": 0.25})
    assert found.outside() == ["lr0"]
    assert found.hyp.mixup == 0.25
    assert found.hyp_of({"lr0": 0.15}).lr0 == 0.15
    assert found.values == {"lr0": 0.01, "mosaic": 1.0}


def test_the_command_has_the_flags_as_they_were_given(start: MakeStart, material: Path) -> None:
    found = start(cos_lr=True, freeze=(0, 1), seed=3, trials=4, hyp="hyp.scratch-med.yaml")
    words = found.command()
    assert words.startswith(f"python train.py --cfg {material / 'tiny.yaml'}")
    assert words.endswith("--workers 0 --cos-lr --freeze 0 1 --hyp hyp.scratch-med.yaml")
    assert not [name for name in ("--seed", "--trials", "--project") if name in words]


def test_settings_leave_out_what_changes_no_score(start: MakeStart) -> None:
    assert start().settings() == start(noplots=True, workers=None, trials=7).settings()
    assert start().settings() != start(epochs=6).settings()


def test_torchrun_is_refused(start: MakeStart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"^tune\.py: is not for torchrun; start it once for each"):
        start()
