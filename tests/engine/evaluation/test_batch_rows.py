"""Rows of a batch: sorted by image, and mapped to the original images as each one alone."""

from __future__ import annotations

import numpy as np
import torch

from engine.evaluation.batch_rows import by_image, in_originals, labels_of, on_host, per_image
from utils.boxes import to_original
from utils.structures import Batch

TARGETS = torch.tensor([[2, 7, 1, 2, 3, 4], [0, 5, 5, 6, 7, 8], [2, 9, 0, 0, 1, 1.0]])


def make_batch(count: int = 4) -> Batch:
    rng = np.random.default_rng(0)
    gains, pads = (
        tuple((float(x), float(y)) for x, y in rng.uniform(0.2, 3, (count, 2))) for _ in range(2)
    )
    names = tuple(map(str, range(count)))
    return Batch(
        torch.zeros(count, 3, 8, 8), TARGETS, tuple(range(count)), names,
        ((90, 70), (40, 300), (33, 44), (500, 500)), gains, pads,
    )  # fmt: skip


def test_rows_are_sorted_by_image_and_keep_their_order_in_it() -> None:
    rows, counts = by_image(TARGETS, 4)
    assert counts == [1, 0, 2, 0]
    assert rows[:, 0].tolist() == [5, 7, 9]
    assert [len(part) for part in per_image(rows, counts)] == counts
    assert [labels[:, 0].tolist() for labels in labels_of(make_batch())] == [[5], [], [7, 9], []]


def test_a_batch_is_mapped_as_its_images_are_to_the_last_bit() -> None:
    batch, rng = make_batch(), np.random.default_rng(1)
    images = [rng.uniform(-50, 700, (count, 6)).astype(np.float32) for count in (5, 0, 3, 8)]
    found = in_originals(np.concatenate(images), [len(rows) for rows in images], batch)
    places = zip(batch.gains, batch.pads, batch.original_sizes, strict=True)
    alone = [
        to_original(torch.from_numpy(rows), *place)
        for rows, place in zip(images, places, strict=True)
    ]
    assert found.dtype == np.float32
    assert np.array_equal(found, torch.cat(alone).numpy())


def test_tables_on_the_cpu_stay_as_they_are() -> None:
    tables = [torch.zeros(2, 6), torch.zeros(0, 6)]
    assert on_host(tables) is tables
    assert on_host([]) == []
