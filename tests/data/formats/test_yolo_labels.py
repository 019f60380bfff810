"""Labels of many files at once are those of each file by itself, whatever the files hold."""

from __future__ import annotations

import numpy as np
import pytest

from data.formats.labels import ImageLabels, LabelError
from data.formats.yolo_labels import (
    labels_of,
    labels_of_part,
    plain_values,
    read_label_or_error,
)

SIZE = (480, 640)
ROW = "1 0.5 0.25 0.2 0.1"
FILES = [
    f"{ROW}\n3 1 1 .5 0.5\n",
    f"{ROW}\r\n0\t0.5 0.5 1e-1 2.5E-1\r\n\r\n",
    f"{ROW}\n{ROW}\n",  # repeated
    f"{ROW}\n1 0.50 0.25 0.2 0.1\n",  # repeated, in other words
    "1 -0.001 0.5 0.2 0.2\n",  # clipped
    "1 1.2 0.5 0.2 0.2\n",
    "-1 0.5 0.5 0.2 0.2\n",
    "1.5 0.5 0.5 0.2 0.2\n",  # class rounded down
    "3000000000 0.5 0.5 0.2 0.2\n",
    "1e999 0.5 0.5 0.2 0.2\n",
    "1 0.5 0.5 0 0.2\n",  # no area
    "1 0.5 0.5 0.2\n1 0.5 0.5 0.2 0.2 0.9\n",  # 4 and 6 values
    "1 0.1 0.1 0.4 0.1 0.4 0.4\n",  # a polygon
    "1 nan 0.5 0.2 0.2\n",
    "1 0.5 0.5 0.2 0x1\n",
    "1 0.5 0.5 0.2 1_0\n",
    "1 0.5 0.5 0.2 1e\n",
    "1 0.5 0.5 0.2 --1\n",
    "1 0,5 0.5 0.2 0.2\n",
    "1 0.5 0.5 0.2 0.2\x0b2 0.5 0.5 0.2 0.2",  # a line break of str, but not of bytes
    "\ufeff1 0.5 0.5 0.2 0.2\n",
    "1 0.5 0.5 0.2 0.2\n" + "\n" * 100_001,  # too many rows
    "",
    "\n \n",
    "0 1 1 1 1",
    "-0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n",
]


def alone(data: bytes, path: str) -> ImageLabels | LabelError:
    try:
        return labels_of(data, SIZE, path)
    except LabelError as error:
        return error


def shown(found: ImageLabels | LabelError) -> object:
    """All of it, in a form that compares."""
    if isinstance(found, LabelError):
        return str(found)
    arrays = (found.classes, found.boxes, found.ignored, *found.segments)
    return [(a.dtype, a.shape, a.tobytes()) for a in arrays], found.there, found.entries


def check(texts: list[bytes]) -> None:
    files = [(f"{number}.txt", data) for number, data in enumerate(texts)]
    together = labels_of_part(files, [SIZE] * len(files), 0)
    for (path, data), found in zip(files, together, strict=True):
        assert shown(found) == shown(alone(data, path)), data


def test_every_kind_of_file():
    check([text.encode() for text in FILES])
    check([FILES[0].encode(), b"1 0.5 0.5 0.2 \xff"])


def test_random_changes_of_signs():
    rng = np.random.default_rng(0)
    signs = b"0123456789.eE+- \t\n\r,x_"
    texts = []
    for _ in range(1500):
        data = bytearray(FILES[int(rng.integers(3))].encode())
        for place in rng.integers(len(data), size=rng.integers(3)):
            data[place] = signs[int(rng.integers(len(signs)))]
        texts.append(bytes(data))
    assert 200 < sum(plain_values(data) is not None for data in texts) < 1400
    check(texts)


def test_sizes_belong_to_their_files():
    files = [("a.txt", b"1 .5 .5 1 1"), ("b.txt", None), ("c.txt", b"2 .5 .5 .5 .5\n3 .5 .5 1 1\n")]
    first, missing, last = labels_of_part(files, [(10, 20), (5, 5), (100, 200)], 0)
    assert first.boxes.tolist() == [[0, 0, 20, 10]]
    assert not missing.there
    assert last.classes.tolist() == [2, 3]
    assert last.boxes.tolist() == [[50, 25, 150, 75], [0, 0, 200, 100]]


def test_keypoints_are_read_as_by_one():
    data = b"1 .5 .5 1 1 .1 .2\n"
    (found,) = labels_of_part([("a.txt", data)], [SIZE], 2)
    assert shown(found) == shown(labels_of(data, SIZE, "a.txt", 2))
    assert len(found.boxes) == 1


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "link.txt").symlink_to("nowhere")
    assert read_label_or_error(str(tmp_path / "none.txt")) is None
    found = [read_label_or_error(str(tmp_path / name)) for name in ("folder.txt", "link.txt")]
    assert [error.kind for error in found] == ["label file unreadable", "label link is broken"]
    assert labels_of_part([("a", found[0])], [SIZE], 0) == [found[0]]


@pytest.mark.parametrize("data", [b"1 2 3\n", b"1 2 3 4 5 6\n", b"a b c d e\n", b"1 2 3 4 5;\n"])
def test_only_rows_of_five_numbers_are_plain(data):
    assert plain_values(data) is None
    assert plain_values(b" 1 2 3 4 5 \r\n6 7 8 9 0\n\n") == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
