"""Deletion tells a good map from a bad one, and the verdicts say what was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.explain.check_panels import draw_check, sentences_of
from engine.explain.checks import STEPS, CheckResult, check_map, deletion_curve
from engine.explain.sanity import NETWORKS, Likeness, Sanity
from engine.explain.settings import ExplainConfig
from engine.explain.targets import Target
from models.yolo import DetectionModel
from tests.tiny import lively, write_graph
from utils.families import V8


class _Bright:
    """A detector whose only score is the mean brightness of the upper left quarter."""

    family = V8

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        score = x[:, :, :8, :8].mean((1, 2, 3))
        return torch.cat((torch.ones(len(x), 4), score[:, None]), 1)[:, None], None


def test_deleting_what_the_score_needs_lowers_it_at_once() -> None:
    x, good = torch.ones(1, 3, 16, 16), torch.zeros(16, 16)
    good[:8, :8] = 1
    curve = deletion_curve(_Bright(), x, good, Target(0), 0)
    bad = deletion_curve(_Bright(), x, 1 - good, Target(0), 0)
    grey = 114 / 255
    assert curve[0] == bad[0] == 1
    assert curve[5:] == pytest.approx(grey)
    assert bad[:16] == pytest.approx(1)
    assert bad[-1] == pytest.approx(grey)


@pytest.mark.slow
def test_the_check_of_a_network_is_drawn_and_told(tmp_path: Path) -> None:
    model: DetectionModel = lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse()
    model.requires_grad_(False)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    result = check_map(model, x, [2, 4], ExplainConfig(conf_thres=0.01))
    assert result is not None
    assert all(-1 <= value <= 1 for one in result.sanity.cascade for value in one)
    assert len(result.deletion) == len(result.noise) == STEPS + 1
    assert len(draw_check(result, "tiny").axes) == 2
    assert check_map(model, x, [2], ExplainConfig(conf_thres=1.0)) is None


def _result(own: float, peers: float, mirrored: float | None, by_map: float) -> CheckResult:
    one, other = (Likeness(value, value, value) for value in (own, peers))
    seen = None if mirrored is None else Likeness(mirrored, mirrored, mirrored)
    sanity = Sanity([3, 7], [one, one], seen, [one] * NETWORKS, [other] * NETWORKS)
    curve, noise = np.full(STEPS + 1, by_map), np.full(STEPS + 1, 0.5)
    return CheckResult("cat", "layercam", sanity, curve, noise)


def test_the_sentences_say_which_test_failed() -> None:
    weights, deletion = sentences_of(_result(0.5, 0.8, 0.9, 0.1))
    assert weights == (
        f"LayerCAM of cat: rank correlation with the maps of {NETWORKS} random networks 0.50, of"
        " these among each other 0.80, with that of the mirrored image 0.90: it is set apart from"
        " random networks and they change it more than mirroring does"
    )
    assert "the score falls faster than by noise" in deletion
    assert "(area 0.10, noise 0.50)" in deletion
    weights, deletion = sentences_of(_result(1, 1, 1, 0.7))
    assert weights.endswith("nothing shows that it depends on weights")
    assert "falls no faster than by noise" in deletion
    assert "mirrored image not told: it is set apart" in sentences_of(_result(0.5, 0.8, None, 1))[0]


def test_the_figure_has_both_references() -> None:
    figure = draw_check(_result(0.5, 0.8, 0.9, 0.1), "plain")
    left, right = figure.axes
    names = [text.get_text() for text in left.get_legend().get_texts()]
    assert names == ["weights", "random networks among each other: 0.80", "image mirrored: 0.90"]
    assert "map, area 0.10" in [text.get_text() for text in right.get_legend().get_texts()]
    caption = figure.get_supxlabel().replace("\n", " ")
    assert caption.startswith("plain: tests of the LayerCAM map of cat.")
