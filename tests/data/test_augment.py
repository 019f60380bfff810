"""Pixels of one image's transforms against YOLOv5's own, and the draws behind them."""

import hashlib
import json
import random

import cv2
import numpy as np
import pytest

from data.augment import (
    GREY,
    Finish,
    adjust_hsv,
    apply_finish,
    draw_finish,
    largest_multi_scale,
    letterbox,
    multi_scale_size,
    paste_letterbox,
    warp,
)
from data.geometry import draw_affine, plan_letterbox
from utils.config import Hyperparameters
from utils.files import ROOT
from utils.seeds import stream

GOLDEN = ROOT / "tests" / "golden" / "yolov5"
AUGMENT = json.loads((GOLDEN / "augment.json").read_text())
ARRAYS = np.load(GOLDEN / "augment.npz")
SAME_OPENCV = cv2.__version__ == AUGMENT["cv2"]
DRAWS = [name for name in AUGMENT if name.startswith("rp_") and name.endswith("_box")]


def digest(image):
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def assert_pixels(found, expected, tolerance):
    difference = np.abs(found.astype(int) - expected).max()
    assert found.shape == expected.shape
    assert difference <= (0 if SAME_OPENCV else tolerance)


@pytest.mark.parametrize(
    ("name", "target", "options"),
    [
        ("a", 64, {}),
        ("b", 64, {"auto": True}),
        ("c", (96, 160), {"scale_up": False}),
        ("d", 128, {}),
    ],
)
def test_letterbox_pixels(name, target, options):
    arrays = np.load(GOLDEN / "letterbox_img.npz")
    plan = plan_letterbox(arrays["src"].shape[:2], target, **options)
    assert_pixels(paste_letterbox(arrays["src"], plan), arrays[f"img_{name}"], 2)


@pytest.mark.parametrize("name", DRAWS)
def test_warped_pixels(name):
    options = dict(AUGMENT[name]["kw"])
    border = options.pop("border", (0, 0))
    affine = draw_affine(random.Random(0), Hyperparameters(**options))
    image = warp(ARRAYS["im"], affine, (128 + 2 * border[0], 128 + 2 * border[1]))
    if SAME_OPENCV:
        assert digest(image) == AUGMENT[name]["sha256"]
    thumbnail = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)
    assert_pixels(thumbnail, ARRAYS[name.replace("_box", "_img8")], 3)


def test_hsv_pixels():
    factors = np.random.RandomState(0).uniform(-1, 1, 3) * [0.015, 0.7, 0.4] + 1
    image = ARRAYS["im"].copy()
    adjust_hsv(image, tuple(factors))  # to RGB
    assert_pixels(image[:64, :64, ::-1], ARRAYS["hsv"], 2)
    if SAME_OPENCV:
        assert digest(image[..., ::-1]) == AUGMENT["hsv_sha256"]


def test_hsv_strips_make_no_seams(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (301, 333, 3), dtype=np.uint8)
    striped, whole = image.copy(), image.copy()
    adjust_hsv(striped, (1.01, 0.8, 1.2))
    monkeypatch.setattr("data.augment.STRIP_BYTES", 10**9)
    adjust_hsv(whole, (1.01, 0.8, 1.2))
    np.testing.assert_array_equal(striped, whole)
    assert (striped != image).any()


def test_a_neutral_finish_changes_the_order_of_colours_alone():
    image = ARRAYS["im"].copy()
    boxes = ARRAYS["targets"][:, 1:]
    np.testing.assert_array_equal(apply_finish(image, boxes, Finish()), boxes)
    np.testing.assert_array_equal(image, ARRAYS["im"][..., ::-1])


@pytest.mark.parametrize(
    "finish", [Finish(upside_down=True), Finish(mirrored=True), Finish((1, 1, 1), True, True)]
)
def test_boxes_flip_with_their_pixels(finish):
    image = np.zeros((40, 61, 3), dtype=np.uint8)
    image[5:12, 20:50] = 255
    box = apply_finish(image, np.array([[20, 5, 50, 12]], dtype=np.float32), finish)[0].astype(int)
    assert image[box[1] : box[3], box[0] : box[2]].min() == 255
    assert (image == 255).sum() == 7 * 30 * 3


def test_finish_draws_keep_to_the_gains():
    hyp = Hyperparameters(hsv_h=0.1, hsv_s=0.0, hsv_v=0.5, flipud=0.25, fliplr=1.0)
    draws = [draw_finish(stream(0, k), hyp) for k in range(400)]
    hues, values = (
        np.array([draw.hsv[0] for draw in draws]),
        np.array([draw.hsv[2] for draw in draws]),
    )
    assert 0.9 <= hues.min() < 0.905
    assert 1.095 < hues.max() <= 1.1
    assert values.std() == pytest.approx(1 / 12**0.5, abs=0.03)
    assert {draw.hsv[1] for draw in draws} == {1.0}
    assert all(draw.mirrored for draw in draws)
    assert sum(draw.upside_down for draw in draws) == pytest.approx(100, abs=30)


def test_letterbox_of_a_fitting_image_is_the_image():
    image = ARRAYS["im"]
    assert paste_letterbox(image, plan_letterbox((128, 128), 128)) is image
    framed, plan = letterbox(image[:64], 128)
    assert plan.corner == (32, 0)
    np.testing.assert_array_equal(framed[32:96], image[:64])
    assert (framed[:32] == GREY).all()


def test_multi_scale_sizes():
    sizes = [multi_scale_size(stream(0, "multi-scale", step), 640, 32) for step in range(500)]
    assert sizes[3] == multi_scale_size(stream(0, "multi-scale", 3), 640, 32)
    assert set(sizes) == set(range(320, 961, 32))
    assert largest_multi_scale(640, 32) == 960
    assert largest_multi_scale(650, 32) == max(
        multi_scale_size(stream(0, "multi-scale", step), 650, 32) for step in range(500)
    )
