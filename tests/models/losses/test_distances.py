"""Distances to the sides of boxes: golden values, and what lies beyond the bins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.losses.distances import (
    centres_of,
    distance_error,
    distribution_entropy,
    expected_distance,
    to_corners,
    to_distances,
)
from utils.boxes import xyxy_to_xywh

MATH = np.load(Path(__file__).parents[2] / "golden/yolov8/box_math.npz")


def test_box_arithmetic_equals_golden() -> None:
    levels = [torch.zeros(1, 1, 8, 12), torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 2, 3)]
    points = torch.cat([centres_of(level).flatten(0, 1) for level in levels])
    np.testing.assert_array_equal(points, MATH["anchor_points"])
    logits = torch.tensor(MATH["dfl_logits"]).unflatten(1, (4, 16)).permute(0, 3, 1, 2)
    np.testing.assert_allclose(
        expected_distance(logits).transpose(1, 2), MATH["dfl_out"], rtol=1e-6, atol=1e-6
    )
    corners = to_corners(points, torch.tensor(MATH["dist"]))
    np.testing.assert_allclose(corners, MATH["dist2bbox_xyxy"], rtol=1e-6)
    np.testing.assert_allclose(xyxy_to_xywh(corners), MATH["dist2bbox_xywh"], rtol=1e-5, atol=1e-5)
    distances = to_distances(points, torch.tensor(MATH["b2d_boxes"]))
    np.testing.assert_allclose(distances, MATH["bbox2dist_none"], rtol=1e-6, atol=1e-6)


def test_distribution_entropy_and_its_gradient_equal_golden() -> None:
    logits = torch.tensor(MATH["dfloss_logits"], requires_grad=True)
    found = distribution_entropy(logits.view(50, 4, 16), torch.tensor(MATH["dfloss_target"]))
    np.testing.assert_allclose(found.detach(), MATH["dfloss_out"].reshape(-1), rtol=1e-5)
    found.sum().backward()
    np.testing.assert_allclose(logits.grad, MATH["dfloss_grad"], atol=1e-6)


def test_distances_beyond_the_last_bin_are_cut() -> None:
    logits = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0))
    last = distribution_entropy(logits, torch.full((3, 4), 14.99))
    assert torch.equal(distribution_entropy(logits, torch.full((3, 4), 40.0)), last)
    nothing = distribution_entropy(logits, torch.full((3, 4), -3.0))
    torch.testing.assert_close(nothing, -logits.log_softmax(2)[..., 0].mean(1))


def test_errors_of_distances_are_shares_of_the_image() -> None:
    """An image of 8 x 4 cells: left and right count by its width, upper and lower by its height."""
    found, wanted = torch.tensor([[1.0, 1, 1, 1]]), torch.tensor([[2.0, 3, -1, 0.5]])
    error = distance_error(found, wanted, torch.tensor([[8.0, 4]]))
    assert error.tolist() == [(1 / 8 + 2 / 4 + 2 / 8 + 0.5 / 4) / 4]


def test_a_single_value_is_the_distance() -> None:
    assert expected_distance(torch.tensor([[3.5], [-1.0]])).tolist() == [3.5, -1.0]
