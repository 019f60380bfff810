"""What is written for a frame follows the flags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.explain.explainer import Explainer
from engine.explain.report import report, write_fields
from engine.explain.settings import ExplainConfig
from tests.tiny import lively, write_free_graph
from utils.errors import UserError
from utils.structures import Frame

FRAME = Frame(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8), "a.jpg", "a")


@pytest.mark.slow
def test_every_flag_writes_its_files(tmp_path: Path, capsys) -> None:
    model = lively(write_free_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse()
    config = ExplainConfig(
        imgsz=(64,), conf_thres=0.01, max_det=1, gates=True, features=True, check=True
    )
    (tmp_path / "out").mkdir()
    explainer = Explainer({"tiny": model}, config)
    report(FRAME, explainer, tmp_path / "out")
    write_fields([FRAME], explainer, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    figures = ("a", "a_gates", "a_check", "receptive_field")
    assert names == {*(f"{one}.{kind}" for one in figures for kind in ("png", "pdf")), "a_features"}
    assert "random networks" in capsys.readouterr().out


def test_nothing_is_written_without_a_folder_and_streams_are_refused(tmp_path: Path) -> None:
    model = lively(write_free_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse()
    explainer = Explainer({"tiny": model}, ExplainConfig(imgsz=(64,), conf_thres=0.01, max_det=1))
    assert len(report(FRAME, explainer, None, verbose=False).targets) == 1
    with pytest.raises(UserError, match="--source: takes images and videos"):
        report(Frame(FRAME.image, "0", "0", "stream"), explainer, None)
