"""Text of strangers changes neither the terminal, nor the next line, nor a spreadsheet."""

from __future__ import annotations

import os
import time

import pytest

from utils.text import (
    counted,
    csv_cell,
    display_width,
    file_name,
    printable,
    public_url,
    shown,
    without_secrets,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("car", "car"),
        ("车辆 é 🚗", "车辆 é 🚗"),
        ("می‌خواهم", "می‌خواهم"),
        ("全角\u3000space\xa0", "全角\u3000space\xa0"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nerror: b\r", "a\\nerror: b\\r"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("\udcb3\udcb5.jpg", "\ufffd\ufffd.jpg"),
    ],
)
def test_strange_signs_become_harmless(text, expected):
    assert printable(text) == expected
    printable(text).encode("utf-8")


def test_long_text_is_cut():
    assert printable("x" * 50, 10) == "x" * 9 + "…"
    assert printable("x" * 10, 10) == "x" * 10


def test_a_value_is_shown_without_a_walk_through_all_of_it():
    laughs: list[object] = ["ha"] * 9
    for _ in range(30):
        laughs = [laughs] * 9
    start = time.perf_counter()
    for value in (laughs, {"a": laughs}, (laughs,), 10**100_000, "x" * 10_000_000):
        assert len(shown(value)) <= 120
    assert time.perf_counter() - start < 1


def test_a_shown_value_looks_as_in_python():
    assert shown([1, "two", None, {"a": 1.5}]) == "[1, 'two', None, {'a': 1.5}]"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)"])
def test_a_cell_is_never_a_formula(text):
    assert csv_cell(text) == f"'{text}"


def test_numbers_and_plain_text_stay_in_a_cell():
    assert [csv_cell(value) for value in (-1.5, 3, "a-b")] == ["-1.5", "3", "a-b"]


SECRET = "S3CRET"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"rtsp://user:{SECRET}@host:554/live?token={SECRET}#{SECRET}", "rtsp://host:554/live"),
        (f"RTSPS://u:{SECRET}@host/x", "RTSPS://host/x"),
        (f"http://u:{SECRET}@[::1]:80/a.jpg", "http://[::1]:80/a.jpg"),
        (f"http://host/a.jpg?{SECRET}", "http://host/a.jpg"),
        (f"http://host?{SECRET}", "http://host"),
        (f"rtsp://u:{SECRET}/x@host/live", "rtsp://…"),  # an unquoted slash in a password
        (f"rtsp://u:1?{SECRET}@host/live", "rtsp://…"),
        (f"rtsp://u:{SECRET}@x{SECRET}@host/live", "rtsp://host/live"),
        (f"http://user:{SECRET}/live", "http://user/live"),  # the host was forgotten
        (f"rtsp://host/user=a&password={SECRET}&stream=0.sdp", "rtsp://host/…"),
        (f"rtsp:/u:{SECRET}@host/x", "rtsp:/host/x"),  # a slash was forgotten
        ("https://host/a/b.mp4", "https://host/a/b.mp4"),
    ],
)
def test_no_secret_of_a_url_is_shown(url, expected):
    assert public_url(url) == expected
    message = without_secrets(f"--source {url}: cannot be opened; check it")
    assert SECRET not in message
    assert message.startswith("--source ")


def test_text_without_urls_stays():
    for text in ("a.yaml:3: names: wrong", "C:/x@y/z.jpg: no such file", "a@b/c.jpg", ""):
        assert without_secrets(text) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("车辆 é", "车辆 é"),
        ("../../x", "_.._x"),
        ("", "_"),
        ("..", "_"),
        ("a/b\\c:d", "a_b_c_d"),
        ("a\n\x1b[31m\u202e", "a__[31m_"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("console", "console"),
        ("\ud800x", "_x"),
        ("\udcb3x", "\udcb3x"),  # a byte of another file's name
    ],
)
def test_a_strangers_text_is_one_harmless_part_of_a_path(text, name):
    assert file_name(text) == name


def test_a_long_name_is_cut_between_signs():
    assert file_name("数" * 100) == "数" * 66
    assert file_name("x" * 300, limit=0) == "x" * 300


def test_wide_and_combining_signs_have_their_width():
    assert [display_width(text) for text in ("abc", "数据", "e\u0301", "\udcb3")] == [3, 4, 1, 1]
    # A Korean syllable in parts, a vowel below a letter, and a joiner.
    assert [display_width(text) for text in ("\u1112\u1161\u11ab", "कु", "a\u200db")] == [2, 1, 2]


def test_what_is_counted_has_its_number() -> None:
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(1234, "class", "classes") == "1,234 classes"


def test_a_file_name_where_the_system_has_ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("ascii", "surrogateescape"))
    assert file_name("a红") == "au7ea2"
    assert file_name("a蓝") != file_name("a红")  # classes keep folders of their own
    assert file_name("a\udcff") == "a\udcff"
