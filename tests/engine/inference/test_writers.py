"""Label files, tables, crops, images and videos that detect.py writes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from engine.inference.video_file import VideoFile
from engine.inference.writers import (
    CropWriter,
    ImageWriter,
    LabelWriter,
    TableWriter,
    crop,
    label_lines,
    write_image,
)
from utils.errors import UserError
from utils.structures import Detections, Frame
from utils.writing import OutputError

SIZE = (50, 100)  # height, width


def detections(
    names=None, boxes=((10.4, 10.6, 30.4, 20.4), (50, 5, 90, 45)), scores=(0.9, 0.456)
) -> Detections:
    count = len(boxes)
    names = names or {0: "red", 1: "green"}
    return Detections(
        "images/a.jpg",
        SIZE,
        torch.tensor(boxes).float().reshape(-1, 4),
        torch.tensor(scores[:count]),
        torch.arange(count),
        names,
    )


def frame(name="a", kind="image", number=0, path="images/a.jpg", fps=10.0) -> Frame:
    image = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    return Frame(image, path, name, kind, number=number, fps=fps)


def test_label_lines_ascend_in_confidence_and_are_rounded_to_pixels():
    assert label_lines(detections()) == ["1 0.7 0.5 0.4 0.8", "0 0.2 0.31 0.2 0.18"]


def test_label_lines_with_confidence_and_corners():
    lines = label_lines(detections(), confidence=True, corners=True)
    assert lines == ["1 0.5 0.1 0.9 0.9 0.456", "0 0.1 0.22 0.3 0.4 0.9"]


def test_label_files(tmp_path):
    write = LabelWriter(tmp_path / "labels", confidence=True)
    write(frame(), detections())
    write(frame("clip", "video", 7), detections())
    write(frame("none"), detections(boxes=()))
    assert {file.name for file in (tmp_path / "labels").iterdir()} == {"a.txt", "clip_7.txt"}
    assert (tmp_path / "labels" / "a.txt").read_text().splitlines()[0] == "1 0.7 0.5 0.4 0.8 0.456"
    assert write.written == 2


def test_label_file_of_a_second_run_replaces_the_first(tmp_path):
    for _ in range(2):
        LabelWriter(tmp_path)(frame(), detections())
    assert len((tmp_path / "a.txt").read_text().splitlines()) == 2


def test_table(tmp_path):
    write = TableWriter(tmp_path / "predictions.csv")
    write(frame(), detections(names={0: "red, dark", 1: "grün"}))
    write(frame("b", path="x/b.jpg"), detections())
    assert (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines() == [
        "Image Name,Prediction,Confidence",
        "a.jpg,grün,0.46",
        'a.jpg,"red, dark",0.90',
        "b.jpg,green,0.46",
        "b.jpg,red,0.90",
    ]


def test_table_without_detections_has_its_header(tmp_path):
    TableWriter(tmp_path / "p.csv")(frame(), detections(boxes=()))
    assert (tmp_path / "p.csv").read_text() == "Image Name,Prediction,Confidence\n"


def test_crop_is_a_little_larger_than_its_box():
    image = np.arange(100 * 200 * 3, dtype=np.uint32).reshape(100, 200, 3)
    part = crop(image, np.array([50.0, 20.0, 150.0, 70.0]))
    # 100 x 50, times 1.02, plus 10: 112 x 61, around (100, 45)
    assert part.shape == (61, 112, 3)
    assert np.array_equal(part, image[14:75, 44:156])


@pytest.mark.parametrize(
    "box", [(-5, -5, 3, 3), (195, 95, 260, 120), (200, 100, 200, 100), (0, 0, 200, 100)]
)
def test_crop_at_the_edge_is_never_empty(box):
    part = crop(np.zeros((100, 200, 3), np.uint8), np.array(box, dtype=float))
    assert part.size > 0
    assert part.shape[0] <= 100
    assert part.shape[1] <= 200


def test_crops_are_numbered_in_folders_of_their_class(tmp_path):
    write = CropWriter(tmp_path)
    both_red = Detections(
        "a", SIZE, detections().boxes, detections().scores, torch.tensor([0, 0]), {0: "red"}
    )
    write(frame(), both_red)
    write(frame(), both_red)
    assert sorted(file.name for file in (tmp_path / "red").iterdir()) == [
        "a.jpg",
        "a2.jpg",
        "a3.jpg",
        "a4.jpg",
    ]
    assert cv2.imread(str(tmp_path / "red" / "a.jpg")).shape == (
        50,
        51,
        3,
    )  # the least confident first
    CropWriter(tmp_path)(frame(), both_red)  # --exist-ok: nothing is written over
    assert (tmp_path / "red" / "a6.jpg").exists()


@pytest.mark.parametrize("name", ["../../out", "/etc", "a/b", "", "..", 'x<>:"|?*\0'])
def test_a_class_name_cannot_leave_its_folder(tmp_path, name):
    CropWriter(tmp_path / "run" / "crops")(frame(), detections(names={0: name, 1: name}))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert all(file.parent.parent == tmp_path / "run" / "crops" for file in files)


def test_no_cell_of_the_table_is_a_formula(tmp_path):
    named = detections(names={0: "@SUM(A1)", 1: "two\nlines"})
    TableWriter(tmp_path / "p.csv")(frame(path="x/=cmd|y.jpg"), named)
    rows = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1:] == ["'=cmd|y.jpg,two\\nlines,0.46", "'=cmd|y.jpg,'@SUM(A1),0.90"]


@pytest.mark.parametrize("name", ["CON", "x" * 3000, "\ud800", "a\x1b[31m"])
def test_a_folder_of_crops_is_one_that_every_system_takes(tmp_path, name):
    CropWriter(tmp_path)(frame("x" * 255), detections(names={0: name, 1: name}))
    (folder,) = tmp_path.iterdir()
    assert folder.name not in ("CON", name)
    assert len(list(folder.glob("x*.jpg"))) == 2


def test_an_image_that_a_format_cannot_hold_is_an_error_of_its_own(tmp_path):
    with pytest.raises(OutputError, match="cannot encode an image of this size") as caught:
        write_image(tmp_path / "a.webp", np.zeros((2, 20_000, 3), np.uint8))
    assert caught.value.is_own


@pytest.mark.parametrize(
    ("path", "result"),
    [("x/a.png", "a.png"), ("x/a.JPEG", "a.jpeg"), ("x/a.webp", "a.webp"), ("x/a.dng", "a.jpg")],
)
def test_images_keep_their_format(tmp_path, path, result):
    writer = ImageWriter(tmp_path)
    image = frame().image
    writer(frame(path=path), image)
    assert [file.name for file in tmp_path.iterdir()] == [result]
    if result.endswith("png"):
        assert np.array_equal(cv2.imread(str(tmp_path / result)), image)


def test_non_ascii_image(tmp_path):
    write_image(tmp_path / "käse 图.png", frame().image)
    assert (tmp_path / "käse 图.png").stat().st_size > 1000


def count_frames(path) -> tuple[int, float]:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return count, fps


@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
def test_video_has_every_frame_and_its_speed(tmp_path, size):
    video = VideoFile(tmp_path / "a.mp4", 12.5, size)
    for number in range(1, 21):
        video.add(np.full((size[1], size[0], 3), 10 * number, np.uint8), number)
    assert not (tmp_path / "a.mp4").exists()  # not before it is whole
    video.close()
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert count_frames(tmp_path / "a.mp4") == (20, 12.5)


def test_dropped_frames_of_a_stream_are_filled_in(tmp_path):
    video = VideoFile(tmp_path / "a.mp4", 10, (64, 48))
    for number in (
        40,
        41,
        44,
        10_000,
    ):  # the first number is no gap; a long stall counts for 5 seconds
        video.add(np.zeros((48, 64, 3), np.uint8), number)
    video.close()
    assert count_frames(tmp_path / "a.mp4")[0] == 1 + 1 + 3 + (1 + 50)


def test_a_changed_frame_size_is_fitted(tmp_path):
    video = VideoFile(tmp_path / "a.mp4", float("nan"), (64, 48))
    video.add(np.zeros((48, 64, 3), np.uint8), 1)
    video.add(np.zeros((96, 128, 3), np.uint8), 2)
    video.close()
    assert count_frames(tmp_path / "a.mp4") == (2, 30)


def test_videos_are_completed_one_by_one(tmp_path):
    writer = ImageWriter(tmp_path)
    image = frame().image
    writer(frame("a", "video", 1), image)
    writer(frame("b", "video", 1), image)
    assert (tmp_path / "a.mp4").exists()
    assert not (tmp_path / "b.mp4").exists()
    writer.close()
    assert (tmp_path / "b.mp4").exists()


def test_streams_are_written_side_by_side(tmp_path):
    writer = ImageWriter(tmp_path)
    for number in range(1, 4):
        for name in ("a", "b"):
            writer(frame(name, "stream", number), frame().image)
    writer.close()
    assert count_frames(tmp_path / "a.mp4")[0] == count_frames(tmp_path / "b.mp4")[0] == 3


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be made"):
        LabelWriter(tmp_path / "file" / "labels")(frame(), detections())
    with pytest.raises(UserError, match="cannot write this video"):
        VideoFile(tmp_path / "none" / "a.mp4", 10, (64, 48))
