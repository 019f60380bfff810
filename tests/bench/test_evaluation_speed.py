"""The evaluation benchmark: its images have hits and misses, and our side scores them."""

from __future__ import annotations

import numpy as np

from bench.evaluation_speed import CLASSES, make_images, run_ours


def test_our_side_scores_the_images_that_both_sides_get() -> None:
    images = make_images(40, 60)
    for found, labels in images:
        assert len(found) <= 60
        assert np.all(np.diff(found[:, 4]) <= 0)
        assert set(labels[:, 0]) <= set(range(CLASSES))
    seconds, used, score = run_ours(images)
    assert seconds > 0
    assert used > 0
    assert 0.02 < score < 0.98
