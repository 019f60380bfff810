"""Lines, bars and windows of detect.py."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from engine.inference import console
from engine.inference.console import (
    Console,
    Found,
    Viewer,
    annotated,
    count_text,
    line_of,
    why_no_window,
)
from utils.structures import Detections, Frame

NAMES = {0: "red", 1: "green", 2: "blue"}


def found(classes=(0, 1, 1), kind="image", number=0, name="a", total=0) -> Found:
    count = len(classes)
    boxes = torch.tensor([[5.0, 20.0, 40.0, 45.0]]).repeat(count, 1)
    scores, numbers = torch.linspace(0.9, 0.5, count), torch.tensor(classes).long()
    result = Detections("p/a.jpg", (50, 80), boxes, scores, numbers, NAMES)
    frame = Frame(np.zeros((50, 80, 3), np.uint8), "p/a.jpg", name, kind, 1, 8, number, total)
    return Found(frame, result, (64, 96), (0.001, 0.0424, 0.0005))


def test_line_of_an_image():
    assert line_of(found()) == "image 1/8 p/a.jpg: 64x96 1 red, 2 green, 42.4ms"
    assert line_of(found(())) == "image 1/8 p/a.jpg: 64x96 (no detections), 42.4ms"


def test_line_of_a_video_and_a_stream():
    assert (
        line_of(found(kind="video", number=3, total=30))
        == "video 1/8 (3/30) p/a.jpg: 64x96 1 red, 2 green, 42.4ms"
    )
    assert line_of(found(kind="stream", number=3)) == "0: 64x96 1 red, 2 green, 42.4ms"


def test_counts_are_by_class_number():
    assert count_text(found((2, 0, 2)).detections) == "1 red, 2 blue, "


def test_speed_is_a_mean(capsys):
    watch = Console()
    watch.show(found())
    watch.show(found())
    watch.close((640, 640))
    out = capsys.readouterr().out.splitlines()
    assert (
        out[2]
        == "Speed: 1.0ms pre-process, 42.4ms inference, 0.5ms NMS per image at shape (1, 3, 640,"
        " 640)"
    )


def test_without_frames_nothing_is_printed(capsys):
    Console().close((64, 64))
    assert capsys.readouterr().out == ""


def test_a_video_has_a_bar_and_one_line(capsys):
    watch = Console()
    for number in range(1, 5):
        watch.show(found(kind="video", number=number, total=4))
    watch.show(found(name="b"))
    watch.close((64, 64))
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out] == [
        "video 1/8 (4/4) p/a.jpg",
        "image 1/8 p/a.jpg",
        "Speed",
    ]


@pytest.mark.parametrize(
    ("names", "confidences", "texts"),
    [(True, True, ["red 0.90"]), (True, False, ["red"]), (False, True, [""])],
)
def test_texts_of_labels(monkeypatch, names, confidences, texts):
    said = []

    def watch(image, boxes, labels, classes, width, text_height):
        said.append((labels, classes, width, text_height))
        return image

    monkeypatch.setattr(console, "draw_boxes", watch)
    annotated(found((0,)), 4, names, confidences, 12.5)
    assert said == [(texts, [0], 4, 12.5)]


def test_no_window_without_display_or_gui(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:      NONE\n")
    assert "headless" in why_no_window()
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:      QT5\n    QT:  YES")
    assert "no display" in why_no_window()
    monkeypatch.setenv("DISPLAY", ":0")
    assert why_no_window() == ""


def test_viewer_ends_with_q(monkeypatch):
    keys = iter([-1, ord("q")])
    shown = []
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None, raising=False)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(title), raising=False)
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys), raising=False)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append("closed"), raising=False)
    viewer, seen = Viewer(), found()
    assert viewer(seen.frame, seen.frame.image)
    assert not viewer(seen.frame, seen.frame.image)
    viewer.close()
    assert shown[-1] == "closed"
