"""The terminal's tables: columns where YOLOv5 has them, alignment whatever the letters."""

from __future__ import annotations

import math

import pytest

from utils.structures import ClassMetrics, Metrics
from utils.tables import (
    area_line,
    cut_to_width,
    display_width,
    fit,
    format_seconds,
    speed_line,
    text_table,
    val_header,
    val_row,
    val_table,
)


def test_header_and_rows_share_the_columns() -> None:
    assert val_header() == ("%22s" + "%11s" * 6) % (
        "Class",
        "Images",
        "Instances",
        "P",
        "R",
        "mAP50",
        "mAP50-95",
    )
    row = val_row("all", 128, 929, (0.7123, 0.6, 0.65432, 0.4))
    assert row == ("%22s" + "%11i" * 2 + "%11.3g" * 4) % (
        "all",
        128,
        929,
        0.7123,
        0.6,
        0.65432,
        0.4,
    )
    assert len(row) == len(val_header())


def test_wide_letters_and_long_names_keep_the_columns() -> None:
    plain = val_row("cat", 1, 2, (0, 0, 0, 0))
    wide = val_row("猫", 1, 2, (0, 0, 0, 0))
    assert display_width(wide) == display_width(plain) == len(plain)
    long = val_row("a name of very many letters indeed", 1, 2, (0, 0, 0, 0))
    assert len(long) == len(plain)
    assert "…" in long


def test_shorten_counts_terminal_columns() -> None:
    assert cut_to_width("abc", 3) == "abc"
    assert cut_to_width("abcd", 3) == "ab…"
    assert display_width(cut_to_width("数据集合并", 5)) <= 5
    assert fit("é", 3) == "é  "
    assert fit("ab", 4, ">") == "  ab"


def metrics(classes: int) -> Metrics:
    rows = tuple(
        ClassMetrics(n, f"class{n}", 3, 4, 0.5, 0.25, 0.125, 0.0625) for n in range(classes)
    )
    return Metrics(5, 9, 0.5, 0.4, 0.3, 0.2, rows, ap_medium=0.5)


def test_class_rows_only_when_asked_and_when_there_are_several() -> None:
    assert len(val_table(metrics(3), per_class=False).splitlines()) == 1
    assert len(val_table(metrics(1), per_class=True).splitlines()) == 1
    lines = val_table(metrics(3), per_class=True).splitlines()
    assert [line.split()[0] for line in lines] == ["all", "class0", "class1", "class2"]
    assert lines[1].split()[1:] == ["3", "4", "0.5", "0.25", "0.125", "0.0625"]


def test_area_line_shows_missing_sizes() -> None:
    assert math.isnan(metrics(1).ap_small)
    assert area_line(metrics(1)).endswith("small -, medium 0.500, large -")


def test_speed_line() -> None:
    speed = {"preprocess": 0.25, "inference": 12.34, "nms": 1.0}
    line = speed_line(speed, [32, 3, 640, 640])
    assert (
        line
        == "Speed: 0.2ms pre-process, 12.3ms inference, 1.0ms NMS per image at shape (32, 3, 640,"
        " 640)"
    )


def test_text_table_aligns_numbers_right_and_words_left() -> None:
    table = text_table(("what", "count", "share"), [("missing", 12, 0.5), ("猫 file", 3456, None)])
    assert table.splitlines() == [
        "what     count  share",
        "───────  ─────  ─────",
        "missing     12    0.5",
        "猫 file  3,456",
    ]


def test_text_table_without_rows_and_with_line_breaks() -> None:
    assert text_table(("a", "b"), []).splitlines() == ["a  b", "─  ─"]
    assert "x y" in text_table(("a",), [("x\ny",)])
    assert display_width(text_table(("a",), [("z" * 200,)], max_width=10).splitlines()[-1]) == 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (320, "5 min 20 s"),
        (7800, "2 h 10 min"),
        (86400, "1 d"),
        (273_700, "3 d 4 h"),
    ],
)
def test_lengths_of_time_are_readable(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_names_of_strangers_cannot_leave_their_row():
    name = "\x1b[31mred\nall 1 1"
    assert val_row(name, 1, 1, (0.0,) * 4).startswith("  \\x1b[31mred\\nall 1 1 ")
    assert text_table(("a",), [("x\x1b[2J\u202ey",)]).splitlines()[-1] == "x\\x1b[2J\\u202ey"
