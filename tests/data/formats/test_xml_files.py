"""XML of other tools, encodings and sizes; test_voc.py has the documents that are made to harm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from data.formats.labels import LabelError
from data.formats.voc import VocReader
from data.formats.xml_files import parse_xml

BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
OBJECT = f"<object><name>貓</name>{BOX}</object>"


@pytest.mark.parametrize("encoding", ["gbk", "GB2312", "big5", "utf-8", "utf-16"])
def test_east_asian_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    name = "猫" if encoding.startswith("GB") or encoding == "gbk" else "貓"
    text = f"<annotation>{OBJECT.replace('貓', name)}</annotation>"
    declared = f'<?xml version="1.0" encoding="{encoding}"?>{text}'
    (tmp_path / "a.xml").write_bytes(declared.encode(encoding))
    labels = VocReader([str(tmp_path / "a.xml")], {name: 0}).read(0, (20, 20))
    assert labels.classes.tolist() == [0]


def test_an_encoding_that_is_not_the_declared_one_is_refused() -> None:
    with pytest.raises(LabelError, match="not valid XML"):
        parse_xml(b'<?xml version="1.0" encoding="gbk"?><annotation>' + b"\xff\xff</a>")
    with pytest.raises(LabelError, match="not valid XML"):
        parse_xml("<annotation>类别</annotation>".encode("gbk"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations><image/></annotations>", "not VOC's XML: it holds <annotations>"),
        ("<annotation><object><name>a</name></object></annotation>", "object without <bndbox>"),
        ("<annotation><object><bndbox/></object></annotation>", "not a number: <xmin> ''"),
    ],
)
def test_xml_of_another_tool_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(LabelError, match=message):
        VocReader([str(tmp_path / "a.xml")], {"a": 0}).read(0, (20, 20))


@pytest.mark.parametrize(
    "data",
    [b"<a>" * 200_000, b"<a>" + b"<b/>" * 1_000_001 + b"</a>", b"<a " + b"x" * 10**7 + b"/>"],
)
def test_deep_and_huge_documents_are_refused_at_once(data: bytes) -> None:
    start = time.process_time()
    with pytest.raises(LabelError):
        parse_xml(data)
    assert time.process_time() - start < 3


def test_deep_documents_that_are_whole_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    text = "<annotation>" + "<a>" * 100_000 + OBJECT + "</a>" * 100_000 + "</annotation>"
    (tmp_path / "a.xml").write_text(text)
    labels = VocReader([str(tmp_path / "a.xml")], {"貓": 0}).read(0, (20, 20))
    assert len(labels.boxes) == 1
