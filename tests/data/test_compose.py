"""Tiles on a canvas; tests/data/test_mix.py tests the same with the tiles of mosaics."""

from dataclasses import replace

import numpy as np

from data.compose import Tile, View, compose
from data.geometry import Affine
from data.labelled import LabelledImage, Labels, UnreadImage


def test_identity_view_is_a_copy():
    pixels = np.random.default_rng(2).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    boxes = np.array([[10, 20, 40, 60], [0, 0, 128, 128]], np.float32)
    tile = Tile(LabelledImage(pixels, Labels(boxes, np.array([3, 4]))), (0, 0))
    image, found, classes = compose([tile], View((128, 128), (128, 128), Affine()))
    np.testing.assert_array_equal(image, pixels)
    np.testing.assert_array_equal(found, boxes)
    assert classes.tolist() == [3, 4]
    assert not np.shares_memory(image, pixels)


def test_touching_tiles_touch_in_the_output():
    """Whatever the scale and the shift are, no row of grey shows between two tiles."""
    halves = [
        Tile(LabelledImage(np.full((64, 37, 3), value, np.uint8), Labels(*_none())), (x, 0))
        for value, x in ((200, 0), (250, 37))
    ]
    for scale in np.linspace(0.4, 1.7, 40):
        affine = Affine(scale=float(scale), translate=(0.47, 0.5))
        image, _, _ = compose(halves, View((64, 74), (64, 74), affine))
        row = image[32, :, 0]
        seen = np.flatnonzero(row != 114)
        assert seen[-1] - seen[0] + 1 == len(seen)
        assert set(row[seen].tolist()) == {200, 250}


def _none():
    return np.zeros((0, 4), np.float32), np.zeros(0, np.int64)


def test_only_what_is_visible_is_read():
    """Of two tiles, one above the other, the map shows 10 rows of the lower one, or none."""
    asked = []

    def unread(name, y):
        image = LabelledImage(np.full((64, 64, 3), 9, np.uint8), Labels(*_none()))
        labels = Labels(np.array([[0, 0, 64, 64]], np.float32), np.array([name]))

        def load(rows):
            asked.append((name, rows))
            return replace(image, labels=labels)

        return Tile(UnreadImage((64, 64), labels, load), (0, y))

    tiles = [unread(0, 0), unread(1, 64)]
    up = Affine(translate=(0.5, 0.5 + 22 / 64))  # the canvas ends 10 rows below the output's middle
    _, boxes, classes = compose(tiles, View((128, 64), (64, 64), up))
    assert asked == [(0, 64), (1, 10)]
    assert boxes.tolist() == [[0, 0, 64, 54], [0, 54, 64, 64]]
    asked.clear()
    _, _, classes = compose(tiles, View((128, 64), (64, 64), Affine(translate=(0.5, 1.5))))
    assert asked == [(0, 32)]
    assert classes.tolist() == [0]
    asked.clear()
    compose(tiles, View((64, 64), (64, 64), Affine(angle=10)))  # the canvas shows the upper one
    assert asked == [(0, 64)]
