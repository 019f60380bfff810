"""The check tells a map that depends on weights from one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.explain.checks import first_goal, mapper
from engine.explain.sanity import (
    NETWORKS,
    Likeness,
    Sanity,
    compare_networks,
    correlation,
    edges_of,
    mirrored_goal,
    randomised,
    ranks_of,
    structural_similarity,
)
from engine.explain.settings import ExplainConfig
from models.yolo import DetectionModel
from tests.tiny import lively, write_free_graph, write_graph


@pytest.fixture
def model(tmp_path: Path) -> DetectionModel:
    return lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse().requires_grad_(False)


def test_rank_correlation_counts_order_only_and_shares_ranks() -> None:
    one = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert ranks_of(one).tolist() == [1.5, 1.5, 3, 4]
    assert correlation(ranks_of(one), ranks_of(one * 5 + 1)) == pytest.approx(1)
    assert correlation(ranks_of(one), ranks_of(-one)) == pytest.approx(-1)
    # Ranks 1.5 1.5 3 4 and 1 2 3 4: covariance 4.5 over the root of 4.5 * 5.
    other = ranks_of(torch.tensor([[0.0, 1.0], [2.0, 30.0]]))
    assert correlation(ranks_of(one), other) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert correlation(ranks_of(one), ranks_of(torch.ones(2, 2))) == 0


def test_structural_similarity_of_known_maps() -> None:
    ramp = torch.linspace(0, 1, 400).view(20, 20)
    assert structural_similarity(ramp, ramp) == pytest.approx(1)
    # Without structure only the levels count: (2 a b + c) / (a^2 + b^2 + c).
    low, high = torch.full((20, 20), 0.2), torch.full((20, 20), 0.6)
    assert structural_similarity(low, high) == pytest.approx(0.2401 / 0.4001)
    noise = torch.rand(20, 20, generator=torch.Generator().manual_seed(0))
    assert structural_similarity(noise, noise.flip(0)) < 0.3


def test_rows_are_randomised_from_the_last_on(model: DetectionModel) -> None:
    two, three = randomised(model, 2), randomised(model, 3)
    rows = [list(one.model) for one in (model, two, three)]
    assert all(map(torch.equal, rows[0][3].parameters(), rows[1][3].parameters()))
    assert all(map(torch.equal, rows[1][5].parameters(), rows[2][5].parameters()))
    before, after = rows[0][5].conv.weight, rows[1][5].conv.weight
    assert not torch.equal(before, after)
    assert float(after.std() / before.std()) == pytest.approx(1, abs=0.05)


def test_a_map_of_the_weights_is_told_from_one_of_edges(tmp_path: Path) -> None:
    model = lively(write_free_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse()
    model.requires_grad_(False)
    x = torch.full((1, 3, 64, 64), 0.4) + torch.linspace(0, 0.3, 64)[:, None]
    x[:, :, 16:40, 6:32] = 1
    # Kernels without left and right see the same in the mirrored image, as a trained network does.
    for weight in model.parameters():
        if weight.dim() == 4:
            weight.copy_((weight + weight.flip(3)) / 2)
    found = first_goal(model, x, ExplainConfig(conf_thres=0.01, per="class"))
    assert found is not None
    by_weights = compare_networks(model, x, *found, mapper([2], "layercam"))
    by_edges = compare_networks(model, x, *found, edges_of)
    assert by_weights.counts == [1, 2, 4, 5, 6, 7]
    assert len(by_weights.random) == len(by_weights.peers) == NETWORKS
    assert by_weights.cascade[-1] == by_weights.random[0]
    assert by_weights.is_changed
    assert not by_edges.is_changed
    assert not by_edges.is_apart
    assert by_edges.mirrored is not None
    assert by_edges.mirrored.rank == pytest.approx(1)
    assert [round(one.rank, 6) for one in by_edges.random] == [1] * NETWORKS


def test_the_mirrored_object_is_found_at_its_place(model: DetectionModel) -> None:
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = first_goal(model, x, ExplainConfig(conf_thres=0.01))
    assert found is not None
    goal, boxes = found
    assert len(boxes) == 1
    other = mirrored_goal(model, x, goal)
    assert other is not None
    assert other.target.box is not None
    x1, y1, x2, y2 = boxes[0].tolist()
    assert other.target.box.tolist() == pytest.approx([64 - x2, y1, 64 - x1, y2])


def _sanity(own: float, peers: list[float], mirrored: float | None) -> Sanity:
    alike = [Likeness(value, value, value) for value in (own, *peers)]
    seen = None if mirrored is None else Likeness(mirrored, mirrored, mirrored)
    return Sanity([7], alike[:1], seen, [alike[0]] * len(peers), alike[1:])


def test_each_test_has_its_own_reference() -> None:
    assert _sanity(0.5, [0.8, 0.6], None).is_apart
    assert not _sanity(0.5, [0.8, 0.5], None).is_apart
    assert not _sanity(0.5, [0.8, 0.502], None).is_apart  # the same in two decimals
    assert not _sanity(0.5, [0.8, 0.6], None).is_changed
    assert _sanity(0.5, [0.1, 0.1], 0.9).is_changed
    assert not _sanity(0.5, [0.1, 0.1], 0.5).is_changed
    two = _sanity(0.5, [0.1, 0.1], 0.7)
    far = Likeness(0.8, 0.8, 0.8)
    assert not Sanity([7], two.cascade, two.mirrored, [*two.random, far], two.peers).is_changed
