"""YAML is read safely, within bounds, in the encodings that editors write, and no value is lost."""

from __future__ import annotations

import time

import pytest
import yaml

from utils import yaml_file
from utils.errors import UserError
from utils.files import ROOT
from utils.yaml_file import compose_yaml, load_yaml, read_yaml


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfnc: 3\n", b"nc: 3\r\n", b"nc: 3  # \xe9t\xe9\n"])
def test_yaml_survives_bom_line_ends_and_latin_comments(tmp_path, content):
    (tmp_path / "a.yaml").write_bytes(content)
    assert load_yaml(tmp_path / "a.yaml") == {"nc": 3}


@pytest.mark.parametrize(("text", "message"), [
    ("nc: [1, 2\nnames: x\n", r"a\.yaml:2: not valid YAML"),
    ("- 1\n- 2\n", "holds list, but a mapping"),
    ("", "holds NoneType, but a mapping"),
    ("a: !!python/object/apply:os.system ['true']\n", r"a\.yaml:1: not valid YAML"),
    ("nc: 3\n\tnames: x\n", r"a\.yaml:2: not valid YAML"),
    ("PK\x03\x04", r"a\.yaml: is a binary file and not YAML; a checkpoint is given as --weights"),
    ("[" * 5000, "nested more than 100 levels"),
    ("day: 2024-13-45\n", "not valid YAML"),
    ("a: *missing\n", r"a\.yaml:1: not valid YAML"),
])  # fmt: skip
def test_bad_yaml_is_one_line_that_names_the_place(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


def test_yaml_that_cannot_be_read_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"absent\.yaml: cannot be read \(No such file"):
        load_yaml(tmp_path / "absent.yaml")
    with pytest.raises(UserError, match="is a folder"):
        load_yaml(tmp_path)


def refusal(folder, text: str) -> str:
    """What load_yaml says about a text, in at most five seconds."""
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_yaml(folder / "a.yaml")
    assert time.monotonic() - start < 5
    return str(caught.value).replace(str(folder), "")


@pytest.mark.parametrize("text", [
    "a: 1\nb: 2\na: 3\n",
    "a:\n  - x: 1\n  - {y: 1, y: 2}\n",
    "names: {1: a, true: b}\n",
    "names:\n  0: a\n  00: b\n",
])  # fmt: skip
def test_a_key_that_stands_twice_with_two_values_is_refused_with_both_lines(tmp_path, text):
    assert "with values that differ; remove one" in refusal(tmp_path, text)


def test_both_lines_of_a_doubled_key_are_named(tmp_path):
    assert refusal(tmp_path, "a: 1\nb: 2\na: 3\n") == (
        "/a.yaml:3: `a` stands in lines 1 and 3, with values that differ; remove one"
    )


def test_a_doubled_key_with_one_value_and_an_overridden_merge_are_read(tmp_path):
    (tmp_path / "a.yaml").write_text("x: &x {a: [1], b: 2}\nx: {a: [1], b: 2}\ny: {<<: *x, a: 3}\n")
    found = read_yaml(tmp_path / "a.yaml")
    assert found.content["y"] == {"a": 3, "b": 2}
    assert [(key.name, key.lines, key.agree) for key in found.doubled] == [("x", (1, 2), True)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_yaml_of_notepads_unicode_is_read(tmp_path, encoding):
    (tmp_path / "a.yaml").write_bytes("nc: 1\r\nnames: [猫é]\r\n".encode(encoding))
    assert load_yaml(tmp_path / "a.yaml") == {"nc": 1, "names": ["猫é"]}


@pytest.mark.parametrize("content", ["names: [é]\n", "é: 1\n", "a: 1\nb: |\n  é\n"])
def test_bytes_that_are_not_utf8_are_refused_outside_comments(tmp_path, content):
    (tmp_path / "a.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"a\.yaml:\d: .*not UTF-8; save the file as UTF-8"):
        load_yaml(tmp_path / "a.yaml")


def test_a_name_that_holds_a_replacement_sign_itself_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("names: [a\ufffd]\n", encoding="utf-8")
    assert load_yaml(tmp_path / "a.yaml") == {"names": ["a\ufffd"]}


@pytest.mark.parametrize(("text", "message"), [
    ("a: " + "9" * 5000, "has 5,000 characters, which no number has"),
    ("a: 1" + ":59" * 300_000, "has 900,001 characters"),
    ("a: 0x" + "f" * 10**5, "which no number has"),
    ("a: !!int abc", "'abc' is no int"),
    ("a: !!bool abc", "'abc' is no bool"),
    ("a: !!float [1]", "expected a scalar node"),
    ("a: !!timestamp abc", "'abc' is no timestamp"),
    ("a: !!map abc", "expected a mapping node"),
    ("? [a, b]\n: 1", "unhashable key"),
    ("a: 1\n---\nb: 2", "another document"),
    ('path: "C:\\data"', "write / in paths, or single quotes"),
    ("a: 1\nb: \"\x07\"", "a.yaml:2: not valid YAML (it has the control character"),
])  # fmt: skip
def test_a_value_that_cannot_be_built_is_one_line_with_its_row(tmp_path, text, message):
    said = refusal(tmp_path, text)
    assert message in said
    assert "a.yaml:" in said


def test_a_hundred_thousand_names_are_read(tmp_path):
    names = [f"class number {number}" for number in range(100_000)]
    (tmp_path / "a.yaml").write_text("names:\n" + "".join(f"- {name}\n" for name in names))
    assert load_yaml(tmp_path / "a.yaml") == {"names": names}


def test_both_parsers_give_the_same_content_and_lines(monkeypatch, tmp_path):
    files = [
        *sorted((ROOT / "models").rglob("*.yaml"))[:12],
        *sorted((ROOT / "data").glob("*.yaml")),
    ]
    quick = [read_yaml(file) for file in files]
    monkeypatch.setattr(yaml_file, "_QuickLoader", yaml_file._PlainLoader)
    for one in quick:
        assert one.content == read_yaml(one.path).content == yaml.safe_load(one.text)
        assert compose_yaml(one.text) is not None


def test_nodes_come_from_the_parser_that_has_read_the_text(tmp_path):
    text = "a: [1, 3?|, 2]\n"  # which libyaml reads and PyYAML's own parser does not
    (tmp_path / "a.yaml").write_text(text)
    try:
        read_yaml(tmp_path / "a.yaml")
    except UserError:  # without libyaml
        return
    assert compose_yaml(text) is not None
