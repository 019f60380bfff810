"""The tests of a map pass for a good map, and fail for one that they must refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.explain.check_panels import draw_check, sentence_of
from engine.explain.checks import (
    STEPS,
    CheckResult,
    check_map,
    deletion_curve,
    randomised,
    rank_correlation,
)
from engine.explain.settings import ExplainConfig
from engine.explain.targets import Target
from models.yolo import DetectionModel
from tests.tiny import lively, write_graph
from utils.families import V8


def test_rank_correlation_counts_order_only_and_shares_ranks() -> None:
    one = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert rank_correlation(one, one * 5 + 1) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    # Ranks 1.5 1.5 3 4 and 1 2 3 4: covariance 4.5 over the root of 4.5 * 5.
    other = torch.tensor([[0.0, 1.0], [2.0, 30.0]])
    assert rank_correlation(one, other) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert rank_correlation(one, torch.ones(2, 2)) == 0


@pytest.fixture
def model(tmp_path: Path) -> DetectionModel:
    return lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse().requires_grad_(False)


def test_rows_are_randomised_from_the_last_on(model: DetectionModel) -> None:
    two, three = randomised(model, 2), randomised(model, 3)
    rows = [list(one.model) for one in (model, two, three)]
    assert all(map(torch.equal, rows[0][3].parameters(), rows[1][3].parameters()))
    assert all(map(torch.equal, rows[1][5].parameters(), rows[2][5].parameters()))
    before, after = rows[0][5].conv.weight, rows[1][5].conv.weight
    assert not torch.equal(before, after)
    assert float(after.std() / before.std()) == pytest.approx(1, abs=0.05)


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


def test_the_check_of_a_network_is_drawn_and_told(model: DetectionModel) -> None:
    config = ExplainConfig(conf_thres=0.01)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    result = check_map(model, x, [2, 4], config)
    assert result is not None
    assert result.randomised == [1, 2, 4, 5, 6, 7]
    assert all(-1 <= value <= 1 for value in result.correlations)
    assert len(result.deletion) == len(result.noise) == STEPS + 1
    assert len(draw_check(result, "tiny").axes) == 2
    assert check_map(model, x, [2], ExplainConfig(conf_thres=1.0)) is None


def test_the_sentence_says_which_test_failed() -> None:
    low, high = np.zeros(STEPS + 1), np.ones(STEPS + 1)
    good = sentence_of(CheckResult("cat", "layercam", [7], [0.1], low, high))
    bad = sentence_of(CheckResult("cat", "eigencam", [7], [0.9], high, low))
    assert "LayerCAM of cat: depends on the weights (rank correlation 0.10" in good
    assert "marks what the score needs (area of deletion 0.00, of noise 1.00)" in good
    assert "EigenCAM of cat: hardly depends" in bad
    assert "marks no more than noise does" in bad
