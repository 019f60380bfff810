"""plot() takes the arguments that Ultralytics' plot() takes, and says which it does not know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from api.keywords import KeywordError
from api.plotting import PlotOptions
from api.results import Results
from engine.drawing.draw import colour_of
from engine.inference.console import Found
from utils.structures import Detections, Frame


@pytest.fixture
def result() -> Results:
    """Two boxes of one class."""
    boxes = torch.tensor([[10.0, 20.0, 50.0, 60.0], [60.0, 30.0, 90.0, 70.0]])
    found = Detections(
        "a.png", (80, 100), boxes, torch.tensor([0.9, 0.5]), torch.tensor([1, 1]), {1: "green"}
    )
    image = np.full((80, 100, 3), 90, np.uint8)
    return Results(Found(Frame(image, "a.png", "a"), found, (64, 96), (0.0, 0.0, 0.0)))


def has_colour(image: np.ndarray, class_id: int) -> bool:
    return bool((image == np.array(colour_of(class_id), np.uint8)).all(2).any())


def test_every_known_argument_is_accepted(result):
    options = {"font": "Arial.ttf", "kpt_radius": 3, "kpt_line": False, "masks": False}
    options |= {"probs": False, "im_gpu": None, "txt_color": (0, 0, 0), "line_width": 2.4}
    assert result.plot(**options).shape == (80, 100, 3)
    assert np.array_equal(result.plot(True, 2), result.plot(conf=True, line_width=2))


def test_an_unknown_argument_is_named(result):
    with pytest.raises(KeywordError, match="plot: colour: no such keyword; known are conf,"):
        result.plot(colour="red")
    with pytest.raises(KeywordError, match="color_mode='rainbow': must be one of class, instance"):
        PlotOptions(color_mode="rainbow")


def test_the_picture_can_be_another_one(result):
    other = np.full((80, 100, 3), 200, np.uint8)
    drawn = result.plot(img=other)
    assert (drawn[0, 0] == 200).all()
    assert (other == 200).all()
    assert not np.array_equal(drawn, other)
    with pytest.raises(KeywordError, match=r"img is \[10, 10, 3\] uint8.*give a picture of that"):
        result.plot(img=other[:10, :10])


def test_a_pillow_image_is_the_same_picture_in_rgb(result):
    picture = result.plot(pil=True)
    assert isinstance(picture, Image.Image)
    assert np.array_equal(np.asarray(picture)[..., ::-1], result.plot())


def test_colours_are_of_the_class_or_of_the_instance(result):
    assert not has_colour(result.plot(labels=False), 0)
    drawn = result.plot(labels=False, color_mode="instance")
    assert has_colour(drawn, 0)
    assert has_colour(drawn, 1)


def test_the_font_size_changes_the_text_only(result):
    assert not np.array_equal(result.plot(font_size=12), result.plot())
    small, large = (result.plot(labels=False, font_size=size) for size in (8, 20))
    assert np.array_equal(small, large)


def test_without_boxes_the_picture_is_a_copy(result):
    drawn = result.plot(boxes=False)
    assert np.array_equal(drawn, result.orig_img)
    assert drawn is not result.orig_img


def test_a_plot_can_be_saved_at_once(result, tmp_path):
    result.plot(save=True, filename=str(tmp_path / "new" / "a.png"))
    assert (tmp_path / "new" / "a.png").stat().st_size > 0
