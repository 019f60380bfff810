from __future__ import annotations

import pytest

from data.sources.names import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    hide_password,
    is_url,
    result_name,
    result_names,
)


def test_result_names_never_meet():
    names = result_names(["x/a.jpg", "y/a.jpg", "z/a2.jpg", "A.png", "v/a.mp4", "q/a.tif"])
    assert names[0] == "a"
    assert names[2] == "a2"  # a file's own name stays with it
    assert len({name.casefold() for name in names}) == len(names)
    assert names == result_names(["x/a.jpg", "y/a.jpg", "z/a2.jpg", "A.png", "v/a.mp4", "q/a.tif"])


def test_a_video_gives_way_to_images_named_like_its_frames():
    assert result_names(["clip.mp4", "clip_1.jpg"]) == ["clip2", "clip_1"]
    assert result_names(["clip.mp4", "clip_a.jpg"]) == ["clip", "clip_a"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.c.jpg", "b.c"),
        ("https://host/x/K%C3%A4se.jpg?size=1", "Käse"),
        ("rtsp://user:secret@cam:554/live/1", "cam_554_live_1"),
        ("rtsp://user:secret@cam/live?token=secret#secret", "cam_live"),
        ("http://user:secret@cam/" + "x" * 400, ("cam_" + "x" * 400)[:200]),
        ("x/CON.jpg", "_CON"),
        ("x/a\n\x1b.jpg", "a__"),
        ("0", "0"),
        ("https://host/..%2F..%2Fetc.jpg", "etc"),
    ],
)
def test_result_name_is_safe(path, name):
    assert result_name(path) == name


def test_passwords_are_not_shown():
    assert hide_password("rtsp://user:secret@cam/1") == "rtsp://cam/1"
    assert hide_password("a@b/c.jpg") == "a@b/c.jpg"
    assert is_url("http://a")
    assert not is_url("a/b")


def test_suffixes_are_those_of_the_image_reader():
    assert ".jpg" in IMAGE_SUFFIXES
    assert not IMAGE_SUFFIXES & VIDEO_SUFFIXES
