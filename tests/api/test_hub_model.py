"""The torch.hub models: their attributes, and sources of every kind."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import hubconf
from tests.api.hub import noise_image
from utils.errors import UserError


def test_settings_work(weights):
    model = hubconf.custom(weights, device="cpu")
    image = noise_image()
    model.conf, model.iou = 0.2, 0.9
    many = model(image, size=64).xyxy[0]
    model.max_det = 3
    assert torch.equal(model(image, size=64).xyxy[0], many[:3])
    model.max_det, model.classes = 1000, [1]
    assert set(model(image, size=64).xyxy[0][:, 5].tolist()) <= {1.0}
    model.classes, model.conf = None, 0.999999
    assert len(model(image, size=64).xyxy[0]) == 0
    model.conf, model.multi_label = 0.05, True
    several = model(image, size=64).xyxy[0]
    model.multi_label = False
    assert len(several) > len(model(image, size=64).xyxy[0])
    model.conf, model.iou = 0.2, 0.1
    model.agnostic = True
    assert len(model(image, size=64).xyxy[0]) <= len(many)
    model.conf = 2.0
    with pytest.raises(UserError, match="conf"):
        model(image)


def test_all_sources_are_rgb(weights):
    from PIL import Image

    model = hubconf.custom(weights)
    model.conf = 0.3
    image = noise_image()
    cv2.imwrite("a.png", np.ascontiguousarray(image[..., ::-1]))
    first = model(image, size=64).xyxy[0]
    assert len(first) > 0
    for source in (
        "a.png",
        Path("a.png"),
        Image.fromarray(image),
        [image],
        ["a.png"],
        image.transpose(2, 0, 1),
    ):
        found = model(source, size=64)
        assert torch.equal(found.xyxy[0], first)
        assert np.array_equal(found.ims[0], image)
    Path("bad.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"bad\.png: nothing could be read"):
        model("bad.png")


@pytest.mark.parametrize(
    ("size", "words"),
    [("a", "imgsz: 'a'"), ((64, "a"), "imgsz: 'a'"), (8, "imgsz"), (None, "imgsz")],
)
def test_impossible_sizes_are_one_line(weights, size, words):
    with pytest.raises(UserError, match=words):
        hubconf.custom(weights)(np.zeros((8, 8, 3), np.uint8), size=size)


def test_names_that_are_set_are_the_names_of_the_results(weights):
    model = hubconf.custom(weights)
    model.conf = 0.05
    model.names = ["one", "two"]
    found = model(noise_image(), size=64)
    assert found.names == {0: "one", 1: "two"}
    assert set(found.pandas().xyxy[0]["name"]) <= {"one", "two"}
    assert found.n == 1
    assert "one" in str(found) or "two" in str(found)


def test_a_hub_model_stays_in_evaluation_mode(weights):
    model = hubconf.custom(weights)
    model.conf = 0.05
    before = model(noise_image(), size=64).xyxy[0]
    assert model.train() is model
    assert not model.model.training
    assert torch.equal(model(noise_image(), size=64).xyxy[0], before)
    model.model.train()
    with pytest.raises(UserError, match=r"in training mode; call its eval\(\)"):
        model(noise_image(), size=64)


def test_a_size_that_no_image_can_have_is_one_line(weights):
    with pytest.raises(UserError, match="at least 32 pixels and at most 32768"):
        hubconf.custom(weights)(noise_image(), size=10**9)


def test_a_size_that_is_rounded_is_said_once(weights, capsys):
    model = hubconf.custom(weights, device="cpu")
    capsys.readouterr()
    for _ in range(2):
        model(noise_image(), size=70)
    said = capsys.readouterr().out
    assert said == "size 70 is not a multiple of the stride 32: taking 96x96\n"
