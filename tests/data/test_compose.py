"""Tiles on a canvas; tests/data/test_mix.py tests the same with the tiles of mosaics."""

import numpy as np

from data.compose import Tile, View, compose
from data.geometry import Affine
from data.labelled import LabelledImage, Labels


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
