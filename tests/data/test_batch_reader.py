"""Targets of a batch; tests/data/test_loader.py reads whole batches."""

import numpy as np

from data.batch_reader import collate_targets
from utils.structures import Item


def test_targets_of_items_without_boxes():
    image, none = np.zeros((3, 2, 2), np.uint8), np.zeros((0, 4), np.float32)
    box = Item(image, np.ones((1, 4), np.float32), np.array([7]), 0, (2, 2))
    empty = Item(image, none, np.zeros(0, np.int64), 1, (2, 2))
    assert collate_targets([empty, box]).tolist() == [[1, 7, 1, 1, 1, 1]]
    assert collate_targets([empty]).shape == (0, 6)
