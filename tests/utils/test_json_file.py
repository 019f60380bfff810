"""JSON of settings: bounded, a mapping, and no key with two values."""

from __future__ import annotations

import os

import pytest

from utils.errors import UserError
from utils.json_file import load_json


@pytest.mark.parametrize(("text", "message"), [
    ('{"map": 0.1, "map": 0.2}', "`map` stands twice"),
    ('{"a": {"b": 1, "b": 2}}', "`b` stands twice"),
    ("[" * 100_000, "not valid JSON"),
    ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
    ("[1]", "is not a mapping"),
])  # fmt: skip
def test_damaged_json_is_one_line(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_json(tmp_path / "a.json", "delete it")
    assert str(caught.value).endswith("delete it")
    assert "\n" not in str(caught.value)


def test_a_key_that_stands_twice_with_one_value_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1], "a": [1]}')
    assert load_json(tmp_path / "a.json", "") == {"a": [1]}


def test_a_named_pipe_as_json_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(UserError, match="is a named pipe"):
        load_json(tmp_path / "a.json", "")
