"""The copy of a data set is what the other programs read; a film has all its frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bench.beside.stage import copy_dataset, make_film
from data.synthetic.shapes import generate
from utils.errors import UserError
from utils.yaml_file import load_yaml


def test_a_copy_has_yolo_labels_and_images_of_its_own(tmp_path):
    generate(tmp_path / "made", train=5, val=2)
    content = (
        f"path: {tmp_path / 'made'}\ntrain: images/train\nval: images/val\nnames: [a, b, c, d, e]\n"
    )
    (tmp_path / "mine.yaml").write_text(content)
    file, train, val = copy_dataset(str(tmp_path / "mine.yaml"), tmp_path / "copy", 3, 1)
    assert (train, val) == (3, 1)
    assert load_yaml(file)["names"] == list("abcde")
    for number in range(3):
        places = (f"made/labels/train/{number:05}.txt", f"copy/labels/train/{number:06}.txt")
        rows = [np.loadtxt(tmp_path / place) for place in places]
        np.testing.assert_allclose(rows[1], rows[0], atol=2e-6)
    image = next((tmp_path / "copy/images/train").iterdir())
    assert image.stat().st_nlink == 1  # YOLOv5 rewrites damaged images in place
    _, train, val = copy_dataset(str(tmp_path / "mine.yaml"), tmp_path / "all", 0, 0)
    assert (train, val) == (5, 2)


def test_a_film_moves_over_the_images(tmp_path):
    image = np.arange(90, dtype=np.uint8)[:, None, None] * np.ones((1, 120, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    path = make_film([tmp_path / "a.png"], tmp_path / "film.mp4", 30)
    film, frames = cv2.VideoCapture(str(path)), []
    while (read := film.read())[0]:
        frames.append(read[1])
    assert len(frames) == 30
    assert frames[0].shape == (480, 640, 3)
    assert np.abs(frames[0].astype(int) - frames[12]).mean() > 0.5


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.png"):
        make_film([tmp_path / "none.png"], tmp_path / "film.mp4", 1)
