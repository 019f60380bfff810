"""Scenes: the same stream draws the same image, boxes are tight, every shape can be seen, classes
are alike often.
"""

from __future__ import annotations

import numpy as np
import pytest

from data.synthetic import scenes
from data.synthetic.scenes import (
    CLASSES,
    draw_scene,
    fill,
    place_outline,
    unit_outline,
    visible_boxes,
)
from utils.seeds import stream

SCENES = [draw_scene(stream("test", number)) for number in range(24)]


def test_scene_is_a_function_of_its_stream():
    again = draw_scene(stream("test", 3))
    for first, second in zip(SCENES[3], again, strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(SCENES[3][0][:64, :64], SCENES[4][0][:64, :64])


@pytest.mark.parametrize("number", range(0, 24, 6))
def test_boxes_lie_in_the_image(number):
    image, classes, boxes = SCENES[number]
    height, width = image.shape[:2]
    assert image.dtype == np.uint8
    assert max(height, width) == scenes.SIDE
    assert len(classes) == len(boxes) >= 1
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [width, height]).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= scenes.DIAMETERS[0] / 4).all()
    assert (boxes[:, 2:] - boxes[:, :2] <= scenes.DIAMETERS[1] + 2).all()


def test_no_two_boxes_coincide():
    for _, _, boxes in SCENES:
        for a in range(len(boxes)):
            for b in range(a):
                low, high = (
                    np.maximum(boxes[a, :2], boxes[b, :2]),
                    np.minimum(boxes[a, 2:], boxes[b, 2:]),
                )
                shared = (high - low).clip(0).prod()
                both = sum((box[2:] - box[:2]).prod() for box in boxes[[a, b]]) - shared
                assert (
                    shared / both <= scenes.MAX_OVERLAP + 0.15
                )  # a later shape may hide a part and so narrow a box


def test_every_class_and_many_scales_occur():
    classes = np.concatenate([scene[1] for scene in SCENES])
    sides = np.concatenate([(scene[2][:, 2:] - scene[2][:, :2]).max(axis=1) for scene in SCENES])
    assert set(classes.tolist()) == set(range(len(CLASSES)))
    assert np.bincount(classes).min() > len(classes) / len(CLASSES) / 2
    assert sides.max() / sides.min() > 2.5


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("disc", 1.0, 1.02),
        ("ring", 0.61, 0.82),
        ("square", 0.63, 0.65),
        ("triangle", 0.41, 0.43),
        ("star", 0.33, 0.45),
    ],
)
def test_outlines_have_their_share_of_the_circle(kind, low, high):
    contours = [part * 100 + 128 for part in unit_outline(kind, stream(kind))]
    share = (fill(contours, 256, 256) > 127).sum() / (
        np.pi * 100**2
    )  # the edge counts as inside, about 1 %
    assert low < share < high


def test_a_ring_shows_what_is_behind_it():
    contours = place_outline(stream("ring", 1), "ring", 256, 256)
    centre = contours[0].mean(axis=0).round().astype(int)
    assert fill(contours, 256, 256)[centre[1], centre[0]] == 0


def test_visible_boxes_are_tight():
    owner = np.full((20, 30), -1, np.int8)
    owner[5:9, 10:17] = 0
    owner[0, 0] = 1
    np.testing.assert_array_equal(visible_boxes(owner, 2), [[10, 5, 17, 9], [0, 0, 1, 1]])


def test_hidden_and_coinciding_shapes_are_refused():
    owner = np.full((40, 40), -1, np.int8)
    owner[:20, :20] = 0
    assert scenes._is_fair(owner, [400.0])
    assert not scenes._is_fair(owner, [401 / scenes.MIN_VISIBLE])
    owner[:2, :20] = 1  # hides 10 % of the first, which is still allowed; the boxes touch only
    assert scenes._is_fair(owner, [400.0, 40.0])
    owner[:4, :20] = 1  # hides 20 %
    assert not scenes._is_fair(owner, [400.0, 80.0])
    owner[:4, :20] = 0
    owner[5:15, 5:15] = 1
    owner[19, 19] = 1
    assert not scenes._is_fair(owner, [400.0, 120.0])
