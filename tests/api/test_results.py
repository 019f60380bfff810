"""Results of one image: values, drawings and files."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from api import results as module
from api.keywords import KeywordError
from api.results import Results
from engine.inference.console import Found
from utils.structures import Detections, Frame

NAMES = {0: "red", 1: "green"}


@pytest.fixture
def result() -> Results:
    image = np.full((80, 100, 3), 90, np.uint8)
    boxes = torch.tensor([[10.0, 20.0, 50.0, 40.0], [60.0, 10.0, 90.0, 70.0]])
    detections = Detections(
        "x/a.png", (80, 100), boxes, torch.tensor([0.9, 0.5]), torch.tensor([1, 0]), NAMES
    )
    return Results(Found(Frame(image, "x/a.png", "a"), detections, (64, 96), (0.001, 0.002, 0.003)))


def test_attributes(result):
    assert (result.path, result.names, result.orig_shape, result.save_dir) == (
        "x/a.png",
        NAMES,
        (80, 100),
        None,
    )
    assert result.orig_img.shape == (80, 100, 3)
    assert result.speed == pytest.approx({"preprocess": 1, "inference": 2, "postprocess": 3})
    assert result.boxes.data.tolist()[0] == pytest.approx([10, 20, 50, 40, 0.9, 1])
    assert result.verbose() == "1 red, 1 green, "


def test_parts(result):
    assert len(result) == 2
    assert [part.verbose() for part in result] == ["1 green, ", "1 red, "]
    assert len(result[:1]) == len(result[result.boxes.conf > 0.6]) == 1
    assert result[:0].verbose() == "(no detections), "
    assert isinstance(result.numpy().boxes.xyxy, np.ndarray)
    assert torch.equal(result.numpy().cpu().to("cpu").boxes.tensor(), result.boxes.data)


def test_summary(result):
    box = {"x1": 0.1, "y1": 0.25, "x2": 0.5, "y2": 0.5}
    assert result.summary(normalize=True)[0] == {
        "name": "green",
        "class": 1,
        "confidence": 0.9,
        "box": box,
    }
    assert json.loads(result.to_json())[1]["box"] == {"x1": 60, "y1": 10, "x2": 90, "y2": 70}
    assert result.numpy().summary() == result.summary()


def test_plot_draws_the_boxes_that_are_left(result):
    drawn = result.plot()
    assert drawn.shape == result.orig_img.shape
    assert (drawn[15:45, 5:55] != 90).any()
    first_only = result[:1].plot(labels=False)
    assert (first_only[:, 57:] == 90).all()
    assert np.array_equal(result.plot(boxes=False), result.orig_img)
    assert (result.orig_img == 90).all()
    assert np.array_equal(result.numpy().plot(), drawn)


def test_files(result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert result.save("out/b.png") == str(result.save("out/b.png"))
    assert np.array_equal(cv2.imread("out/b.png"), result.plot())
    assert result.save() == "results_a.jpg"
    result.save_txt("txt/a.txt", save_conf=True)
    lines = (tmp_path / "txt" / "a.txt").read_text().splitlines()
    rows = [[float(value) for value in line.split()] for line in lines]
    assert sorted(rows)[0] == pytest.approx([0, 0.75, 0.5, 0.3, 0.75, 0.5])
    assert sorted(rows)[1] == pytest.approx([1, 0.3, 0.375, 0.4, 0.25, 0.9])
    result[:0].save_txt("txt/none.txt")
    assert not (tmp_path / "txt" / "none.txt").exists()
    result.save_crop("crops", "z.jpg")
    crops = sorted(
        path.relative_to(tmp_path).as_posix() for path in (tmp_path / "crops").rglob("*.jpg")
    )
    assert crops == ["crops/green/z.jpg", "crops/red/z.jpg"]


def test_no_window_is_one_line(result, monkeypatch, capsys):
    monkeypatch.setattr(module, "why_no_window", lambda: "there is no display here")
    result.show()
    assert capsys.readouterr().out == "show: there is no display here; use save() instead\n"


def test_what_other_tasks_have_is_none(result):
    """Programs ask for them before they use them, such as supervision's from_ultralytics."""
    names = ("masks", "probs", "keypoints", "obb", "semantic_mask", "depth")
    assert [getattr(result, name) for name in names] + [result.boxes.id] == [None] * 7
    assert result.boxes.is_track is False


def test_tables(result):
    table = result.to_df()
    assert list(table.columns) == ["name", "class", "confidence", "box"]
    assert table["name"].tolist() == ["green", "red"]
    assert result.to_csv().splitlines()[1].startswith("green,1,0.9,")
    assert list(result.new().to_df().columns) == list(table.columns)
    assert result.tojson() == result.to_json()


def test_a_class_name_is_no_formula_in_a_csv(result):
    result.names = {0: "red", 1: "=cmd|' /C calc'!A0"}
    assert "\n'=cmd" in result.to_csv()
    assert result.to_df()["name"][0] == result.names[1]


def test_a_tracker_may_write_its_numbers_back(result):
    rows = torch.tensor([[10.0, 20.0, 50.0, 40.0, 7.0, 0.9, 1.0]])
    result.update(boxes=rows)
    assert (result.boxes.id.tolist(), result.boxes.cls.tolist()) == ([7], [1])
    assert result.boxes.is_track
    assert result.summary()[0]["track_id"] == 7
    assert (result.verbose(), len(result)) == ("1 green, ", 1)
    assert result[0].boxes.id.tolist() == [7]
    result.plot()


def test_an_update_with_what_there_is_none_of_is_refused(result):
    with pytest.raises(KeywordError, match="update: masks: results have boxes only"):
        result.update(masks=torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match=r"boxes are \[2, 4\], but \[N, 6\]"):
        result.update(boxes=torch.zeros(2, 4))


def test_new_is_the_same_image_without_boxes(result):
    new = result.new()
    assert (len(new), new.path, new.names) == (0, result.path, result.names)
    assert new.orig_img is result.orig_img
