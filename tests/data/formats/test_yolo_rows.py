"""Rows of label files: what is tolerated and noted, what is refused and why, and what it costs."""

from __future__ import annotations

import time

import numpy as np
import pytest

from data.formats.labels import LabelError
from data.formats.yolo_rows import BOX_AMONG_POLYGONS, MAX_ROWS, parse_rows


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ("0 0.5 0.5 1.0000002 1.0", [0.5, 0.5, 1, 1]),
        ("0 0.5 0.5 1.01 0.4", [0.5, 0.5, 1, 0.4]),
        ("0 1.001 -0.004 0.2 0.4", [1, 0, 0.2, 0.4]),
    ],
)
def test_values_within_one_percent_of_the_edge_are_clipped_and_noted(
    row: str, values: list[float]
) -> None:
    rows = parse_rows(f"1 .5 .5 .1 .1\n{row}\n".encode())
    np.testing.assert_allclose(rows.values[1, 1:], values, rtol=1e-6)
    assert [(number, kind) for number, kind, _ in rows.oddities] == [
        (2, "value just outside 0..1, clipped")
    ]


def test_points_of_polygons_are_clipped_before_their_box_is_taken() -> None:
    rows = parse_rows(b"0 -.005 .1 1.005 .1 1.005 .5\n")
    np.testing.assert_allclose(rows.values[0], [0, 0.5, 0.3, 1, 0.4], rtol=1e-6)
    assert rows.segments[0].max() == 1
    assert len(rows.oddities) == 1


@pytest.mark.parametrize("row", ["0 1.0102 .5 .2 .2", "0 .5 .5 .2 -.0102", "0 1.005 1.02 .2 .2"])
def test_values_beyond_one_percent_are_refused(row: str) -> None:
    with pytest.raises(LabelError, match=r"above 1|negative"):
        parse_rows(row.encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,0.5,0.5,0.2,0.4", "'0,0.5,0.5,0.2,0.4'; separate values with blanks"),
        ("0;0.5;0.5;0.2;0.4", "separate values with blanks"),
        ("0 0,5 0,5 0,2 0,4", "'0,5'; write decimal points"),
        ("0 0.5. .5 .2 .2", "'0.5.'"),
        ("0 0x1 .5 .2 .2", "'0x1'"),
        ('"0" .5 .5 .2 .2', "not a number"),
        ("0 .5 .5 .2 .2 # a cat", "'#'"),
        ("0 \x1b[31m .5 .2 .2", r"'\\x1b\[31m'"),
        ("-1 .5 .5 .2 .2", "negative value: class -1"),
        ("0 inf .5 .2 .2", "above 1: x inf"),
        ("0 .5 .5 .2 .2 .9", "drop the confidence"),
        ("0 " + ".5 " * 55, "for rows of keypoints the data set's YAML needs kpt_shape"),
    ],
)
def test_a_refused_row_says_what_to_do(text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message) as caught:
        parse_rows(f"1 .5 .5 .1 .1\n{text}\n".encode())
    assert caught.value.row == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_usual_spellings_of_numbers_and_files_are_read(encoding: str, end: str) -> None:
    text = f"0.0\t+0.5  5e-1 .25 0.25  {end}{end}1 .5 .5 .25 .25{end}"
    rows = parse_rows(text.encode(encoding))
    assert rows.values.tolist() == [[0, 0.5, 0.5, 0.25, 0.25], [1, 0.5, 0.5, 0.25, 0.25]]
    assert rows.numbers == (1, 3)


def test_a_box_among_polygons_is_read_as_yolov5_does_and_noted() -> None:
    rows = parse_rows(b"0 .1 .1 .4 .1 .4 .5 .1 .5\n1 .5 .5 .2 .2\n")
    np.testing.assert_allclose(rows.values[1], [1, 0.35, 0.35, 0.3, 0.3], rtol=1e-6)
    assert [(number, kind) for number, kind, _ in rows.oddities] == [(2, BOX_AMONG_POLYGONS)]


def test_four_corners_of_a_turned_box_give_its_enclosing_box() -> None:
    rows = parse_rows(b"0 .5 .1 .9 .5 .5 .9 .1 .5\n")
    np.testing.assert_allclose(rows.values[0], [0, 0.5, 0.5, 0.8, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"0 .5 .5 .2 .2\n" * (MAX_ROWS + 1), "more than 100,000 rows"),
        (b"0" + b" .5" * 1_000_000, "row too long"),
    ],
)
def test_a_label_file_of_a_million_values_is_refused_at_once(data: bytes, message: str) -> None:
    start = time.process_time()
    with pytest.raises(LabelError, match=message):
        parse_rows(data)
    assert time.process_time() - start < 2
