"""Boxes and labels: colours, places, sizes, texts of any script."""

from __future__ import annotations

import numpy as np
import pytest

from engine.drawing import draw
from engine.drawing.draw import PALETTE, automatic_width, colour_of, draw_boxes
from engine.drawing.plates import DARK, LIGHT, text_colour_on

GREY = 127


def grey_image(height: int = 120, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(x1, y1, x2, y2) around all pixels that differ, exclusive at the far side."""
    ys, xs = np.nonzero((before != after).any(2))
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


def lightness(colour: tuple[int, int, int]) -> float:
    blue, green, red = colour
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_are_distinct_and_repeat():
    colours = [colour_of(number) for number in range(20)]
    assert len(set(colours)) == 20 == len(PALETTE)
    assert [colour_of(number) for number in range(20, 40)] == colours
    assert colour_of(0) == (0xCE, 0x72, 0x00)  # blue, green, red


def test_neighbouring_colours_differ_in_lightness():
    for number in range(19):
        assert abs(lightness(colour_of(number)) - lightness(colour_of(number + 1))) > 25


@pytest.mark.parametrize("number", range(20))
def test_text_colour_has_the_higher_contrast(number):
    def luminance(colour):
        shares = [value / 255 for value in colour]
        linear = [
            share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
            for share in shares
        ]
        return 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]

    def contrast(first, second):
        low, high = sorted((luminance(first), luminance(second)))
        return (high + 0.05) / (low + 0.05)

    plate = colour_of(number)
    ink = text_colour_on(plate)
    other = LIGHT if ink == DARK else DARK
    assert contrast(plate, ink) >= 4.4
    assert contrast(plate, ink) >= 0.98 * contrast(plate, other)


def test_input_is_untouched_and_output_is_new():
    image = grey_image()
    kept = image.copy()
    out = draw_boxes(image, np.array([[20, 40, 60, 90]]), ["a"], [0])
    assert np.array_equal(image, kept)
    assert not np.shares_memory(image, out)
    assert out.shape == image.shape
    assert out.dtype == np.uint8


def test_read_only_and_strided_images():
    image = grey_image()[:, ::-1]
    image.flags.writeable = False
    out = draw_boxes(image, np.array([[20, 40, 60, 90]]), ["a"], [0])
    assert (out != GREY).any()


def test_no_boxes():
    image = grey_image()
    assert np.array_equal(draw_boxes(image, np.zeros((0, 4)), [], []), image)


def test_box_lies_where_it_should():
    image = grey_image(100, 100)
    out = draw_boxes(image, np.array([[20.4, 30.3, 70.2, 80.4]]), [""], [3], line_width=1)
    assert changed(image, out).tolist() == [20, 30, 71, 81]
    assert tuple(out[30, 45]) == colour_of(3)
    assert tuple(out[55, 45]) == (GREY,) * 3  # not filled


def test_no_text_no_plate():
    image = grey_image()
    plain = draw_boxes(image, np.array([[40, 50, 90, 90]]), [""], [0], 1)
    labelled = draw_boxes(image, np.array([[40, 50, 90, 90]]), ["cat"], [0], 1)
    assert changed(image, plain)[1] == 50
    assert changed(image, labelled)[1] < 42  # the label stands above


@pytest.mark.parametrize(
    ("height", "width", "line", "label"),
    [(320, 320, 2, 22), (640, 640, 2, 22), (1080, 1920, 5, 49), (3000, 4000, 11, 103)],
)
def test_lines_and_labels_are_as_large_as_those_of_yolov5(height, width, line, label):
    """The figures are those of yolov5 7.0's annotator: line width, and label above its box."""
    assert automatic_width(height, width) == line
    image = grey_image(height, width)
    box = np.array([[0.3 * width, 0.5 * height, 0.6 * width, 0.8 * height]])
    out = draw_boxes(image, box, ["person 0.88"], [0])
    above = 0.5 * height - changed(image, out)[1]
    assert label <= above < 1.4 * label


@pytest.mark.parametrize(
    "text", ["a", "a very long name of a thing 0.88", "x" * 500, "ü 0.5", "крас" * 40]
)
@pytest.mark.parametrize(
    "box",
    [(0, 0, 30, 30), (140, 0, 159, 119), (0, 100, 159, 119), (-50, -50, 400, 400), (80, 3, 80, 3)],
)
def test_labels_stay_inside_the_image(text, box, monkeypatch):
    plates = []
    write = draw.write_plate

    def watch(image, label, corner, background):
        plates.append((*corner, corner[0] + label.size[0], corner[1] + label.size[1]))
        write(image, label, corner, background)

    monkeypatch.setattr(draw, "write_plate", watch)
    draw_boxes(grey_image(), np.array([box], dtype=float), [text], [0])
    x1, y1, x2, y2 = plates[0]
    assert 0 <= x1 < x2 <= 160
    assert 0 <= y1 < y2 <= 120


def test_label_is_ink_on_a_plate_of_the_class_colour(monkeypatch):
    labels = []
    monkeypatch.setattr(
        draw,
        "write_plate",
        lambda *args, write=draw.write_plate: (labels.append(args[1:3]), write(*args)),
    )
    out = draw_boxes(
        grey_image(200, 300), np.array([[40, 80, 220, 190]]), ["MMMM"], [0], line_width=3
    )
    label, (x, y) = labels[0]
    plate = out[y : y + label.size[1], x : x + label.size[0]].reshape(-1, 3)
    assert (plate == colour_of(0)).all(1).mean() > 0.4
    assert 0.1 < (plate > 200).all(1).mean() < 0.5  # white strokes on dark blue


def test_labels_avoid_each_other(monkeypatch):
    plates = []
    write = draw.write_plate

    def watch(image, label, corner, background):
        plates.append((label.text, *corner, *label.size))
        write(image, label, corner, background)

    monkeypatch.setattr(draw, "write_plate", watch)
    boxes = np.array([[50, 60, 110, 100], [52, 61, 111, 101]])
    draw_boxes(grey_image(), boxes, ["first", "second"], [0, 1])
    assert [plate[0] for plate in plates] == ["second", "first"]  # the most confident is drawn last
    (_, x, y, w, h), (_, x2, y2, w2, h2) = plates
    assert x >= x2 + w2 or x2 >= x + w or y >= y2 + h2 or y2 >= y + h


def test_a_label_that_would_be_hidden_is_left_out(monkeypatch):
    written = []
    monkeypatch.setattr(
        draw, "write_plate", lambda image, label, corner, background: written.append(label.text)
    )
    boxes = np.repeat(np.array([[2, 2, 18, 18]]), 8, 0)
    draw_boxes(grey_image(20, 40), boxes, [f"thing {number}" for number in range(8)], range(8))
    assert "thing 0" in written
    assert len(written) < 8


def test_non_ascii_text_uses_a_font_of_this_machine():
    image = grey_image()
    box = np.array([[40, 60, 120, 100]])
    drawn = [draw_boxes(image, box, [text], [0]) for text in ("äßé", "дом", "λψω")]
    plain = draw_boxes(image, box, ["   "], [0])
    for out in drawn:
        assert (out[40:60, 40:80].astype(int) - plain[40:60, 40:80]).any()
    assert not np.array_equal(drawn[0], drawn[1])


def test_nan_and_endless_boxes_do_not_stop_a_run():
    boxes = np.array([[np.nan, 1, 5, 5], [-np.inf, 0, np.inf, 50]])
    assert draw_boxes(grey_image(), boxes, ["a", "b"], [0, 1]).shape == (120, 160, 3)


def test_given_width_is_used():
    image = grey_image(200, 200)
    thin = draw_boxes(image, np.array([[50, 50, 150, 150]]), [""], [0], line_width=1)
    thick = draw_boxes(image, np.array([[50, 50, 150, 150]]), [""], [0], line_width=9)
    assert (thick != image).sum() > 5 * (thin != image).sum()
    automatic = draw_boxes(image, np.array([[50, 50, 150, 150]]), [""], [0], line_width=0)
    assert np.array_equal(automatic, draw_boxes(image, np.array([[50, 50, 150, 150]]), [""], [0]))
