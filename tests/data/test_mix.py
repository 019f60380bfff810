"""Mosaic, mixup and copy-paste: pixels and boxes stay together, and equal the plain way of doing
it.
"""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from data.geometry import Affine
from data.labelled import LabelledImage, Labels
from data.mix import Mosaic, draw_mosaic, make_mosaic, mixup
from utils.config import Hyperparameters
from utils.files import ROOT
from utils.seeds import stream

GOLDEN = ROOT / "tests" / "golden" / "yolov5"
AUGMENT = json.loads((GOLDEN / "augment.json").read_text())
ARRAYS = np.load(GOLDEN / "augment.npz")
SIZE = 128
NOTHING = Labels(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
SIDES = [
    (96, 128),
    (128, 80),
    (128, 128),
    (51, 128),
    (128, 40),
    (100, 128),
    (128, 127),
    (90, 128),
    (128, 64),
]


def make_image(number, polygons=False):
    """A smooth grey image with bright rectangles, which are its objects; class = number of the
    image.
    """
    rng = np.random.default_rng(number)
    height, width = SIDES[number % len(SIDES)]
    image = cv2.resize(rng.integers(20, 90, (6, 6, 3), dtype=np.uint8), (width, height))
    corners = rng.integers(0, (width - 24, height - 24), (3, 2))
    boxes = np.concatenate([corners, corners + rng.integers(12, 24, (3, 2))], 1)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 250
    points = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2).astype(np.float32)
    outline = (points, np.full(3, 4)) if polygons else (None, None)
    return LabelledImage(image, Labels(boxes.astype(np.float32), np.full(3, number), *outline))


def via_canvas(draw, fetch):
    """The same mosaic through the canvas: a turn too small to matter keeps compose from its short
    way.
    """
    return make_mosaic(replace(draw, affine=replace(draw.affine, angle=1e-9)), fetch, SIZE)


def assert_all_among(found, among):
    """Each box but slivers, of which one way may keep what the other drops, has its like within 1.5
    pixels.
    """
    for box, number in zip(found[1], found[2], strict=True):
        if (box[2:] - box[:2]).min() > 4:
            same = among[1][among[2] == number]
            assert np.abs(same - box).max(1).min() < 1.5


@pytest.mark.parametrize("nine", [0.0, 1.0])
@pytest.mark.parametrize("polygons", [False, True])
def test_short_way_equals_the_canvas(nine, polygons):
    hyp = Hyperparameters(mosaic9=nine)
    differences, boxes = [], 0
    for seed in range(40):
        draw = draw_mosaic(stream(seed), seed % 9, range(9), SIZE, hyp)
        short = make_mosaic(draw, lambda i: make_image(i, polygons), SIZE)
        long = via_canvas(draw, lambda i: make_image(i, polygons))
        differences.append(np.abs(short[0].astype(float) - long[0]).mean())
        assert_all_among(short, long)
        assert_all_among(long, short)
        boxes += len(short[1])
    assert boxes > 150
    assert np.mean(differences) < 4


@pytest.mark.parametrize("degrees", [0.0, 20.0])
@pytest.mark.parametrize("polygons", [False, True])
def test_boxes_are_around_their_pixels(degrees, polygons):
    """Every bright pixel is in a box, and every box is full of them, to the pixel in the upright
    case.
    """
    hyp = Hyperparameters(degrees=degrees, scale=0.3)
    checked = 0
    for seed in range(25):
        draw = draw_mosaic(stream(seed), seed % 9, range(9), SIZE, hyp)
        image, boxes, _ = make_mosaic(draw, lambda i: make_image(i, polygons), SIZE)
        covered = np.zeros((SIZE, SIZE), dtype=bool)
        for x1, y1, x2, y2 in boxes:
            covered[
                max(int(y1) - 1, 0) : int(np.ceil(y2)) + 1,
                max(int(x1) - 1, 0) : int(np.ceil(x2)) + 1,
            ] = True
            inside = image[round(y1) : round(y2), round(x1) : round(x2)].max(2)
            if not degrees:
                assert (inside[1:-1, 1:-1] > 180).all()
            checked += 1
        bright = image.max(2) > 180
        stray = cv2.erode(
            (bright & ~covered).astype(np.uint8), np.ones((5, 5))
        )  # slivers were dropped as too small
        assert stray.sum() <= 60
    assert checked > 100


def flat_image(size, value):
    return LabelledImage(np.full((*size, 3), value, dtype=np.uint8), NOTHING)


def test_four_touch_in_the_corner():
    images = [flat_image(SIDES[k], 50 * (k + 1)) for k in range(4)]
    draw = Mosaic((0, 1, 2, 3), (100, 140), Affine())
    image, _, _ = make_mosaic(draw, lambda i: images[i], SIZE)
    x, y = 100 - SIZE // 2, 140 - SIZE // 2  # the output is the middle of the canvas
    around = [image[y - 1, x - 1, 0], image[y - 1, x, 0], image[y, x - 1, 0], image[y, x, 0]]
    assert around == [50, 100, 150, 200]


def test_nine_surround_the_middle():
    images = [flat_image((128, 128), 20 * (k + 1)) for k in range(9)]
    draw = Mosaic(tuple(range(9)), (64, 64), Affine(scale=0.5))
    image, _, _ = make_mosaic(draw, lambda i: images[i], SIZE)
    rows = [[int(image[y, x, 0]) // 20 - 1 for x in (8, 64, 120)] for y in (8, 64, 120)]
    assert rows == [[8, 1, 2], [7, 0, 3], [6, 5, 4]]


def test_draws_are_a_function_of_the_stream():
    hyp = Hyperparameters()
    assert draw_mosaic(stream(0, 1), 5, range(9), SIZE, hyp) == draw_mosaic(
        stream(0, 1), 5, range(9), SIZE, hyp
    )
    draws = [draw_mosaic(stream(0, k), 5, range(9), SIZE, hyp) for k in range(100)]
    assert len({draw.corner for draw in draws}) > 95
    assert all(5 in draw.members and len(draw.members) == 4 for draw in draws)
    assert {draw.members.index(5) for draw in draws} == {0, 1, 2, 3}
    assert all(64 <= side < 192 for draw in draws for side in draw.corner)


def test_a_image_without_labels():
    empty = LabelledImage(make_image(1).pixels, NOTHING)
    for affine in (Affine(scale=0.9), Affine(angle=3)):
        image, boxes, classes = make_mosaic(
            Mosaic((0, 0, 0, 0), (128, 128), affine), lambda _: empty, SIZE
        )
        assert image.shape == (SIZE, SIZE, 3)
        assert boxes.shape == (0, 4)
        assert len(classes) == 0


def test_mixup_against_golden():
    share, image, targets = AUGMENT["mixup_r_npseed0"], ARRAYS["im"], ARRAYS["targets"]
    exact = image * share + image[::-1] * (1 - share)
    first, second = (
        (image.copy(), targets[:, 1:], targets[:, 0]),
        (
            image[::-1],
            targets[:2, 1:],
            targets[:2, 0],
        ),
    )
    mixed, boxes, classes = mixup(first, second, share)
    assert np.abs(mixed - exact).max() <= 0.51
    np.testing.assert_allclose(np.column_stack([classes, boxes]), ARRAYS["mixup_labels"], atol=1e-3)


def test_copy_paste_in_a_mosaic():
    def count_boxes(draw):
        return len(make_mosaic(draw, lambda i: make_image(i, True), SIZE)[1])

    draws = [
        draw_mosaic(stream(k), k % 9, range(9), SIZE, Hyperparameters(copy_paste=1.0))
        for k in range(20)
    ]
    assert sum(map(count_boxes, draws)) > sum(
        count_boxes(replace(draw, paste_share=0.0)) for draw in draws
    )
