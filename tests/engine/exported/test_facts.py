"""What exported files say about themselves: those of export.py, YOLOv5 and Ultralytics."""

from __future__ import annotations

import pytest

from engine.exported.facts import FileFacts, family_of_output, read_facts
from utils.errors import UserError
from utils.families import V5, V8

NAMES = {0: "red", 1: "green"}


def test_metadata_of_each_program_is_read():
    ours = {"names": str(NAMES), "stride": "16", "imgsz": "[64, 96]", "batch": "2"}
    ours |= {"channels": "1", "family": "v8", "nms": "True", "task": "detect"}
    assert read_facts(ours, "a.onnx") == FileFacts(NAMES, 16, (64, 96), 2, 1, V8, True)
    yolov5 = {"shape": [1, 3, 64, 96], "stride": 32, "names": {"0": "red", "1": "green"}}
    assert read_facts(yolov5, "a.torchscript") == FileFacts(NAMES, 32, (64, 96))
    other = {"names": str(NAMES), "stride": "32", "imgsz": "64", "args": "{'nms': False}"}
    assert read_facts(other, "a.onnx") == FileFacts(NAMES, 32, (64, 64), suppressed=False)
    assert read_facts({"names": "['red', 'green']"}, "a.onnx").names == NAMES
    assert read_facts({}, "a.onnx") == FileFacts({})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("names", "{0: 'red', 2: 'green'}", "names"),
        ("names", "__import__('os').abort()", "names"),
        ("names", "(" * 10000, "names"),
        ("names", "{'a': 'red'}", "names"),
        ("stride", "0", "stride"),
        ("stride", "a", "stride"),
        ("imgsz", "[640, -1]", "imgsz"),
        ("imgsz", "True and 3", "imgsz"),
        ("batch", "100000", "batch"),
        ("task", "segment", "segment"),
    ],
)
def test_a_value_that_its_key_cannot_have_is_one_line(key, value, words):
    with pytest.raises(UserError, match=words) as error:
        read_facts({key: value}, "a.onnx")
    assert "a.onnx" in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("facts", "shape", "family", "suppressed"),
    [
        (FileFacts(NAMES), (1, 30, 7), V5, False),
        (FileFacts(NAMES), (1, 6, 30), V8, False),
        (FileFacts(NAMES), (1, 300, 6), V8, True),
        (FileFacts(NAMES, family=V5, suppressed=True), (1, 300, 6), V5, True),
        (FileFacts({0: "one"}), (1, 300, 6), V5, False),
        (FileFacts({0: "one"}, suppressed=True), (1, 300, 6), V8, True),
        (FileFacts({}), (1, 30, 7), V5, False),
        (FileFacts({}), (1, 6, 30), V8, False),
    ],
)
def test_the_kind_of_an_output_follows_from_its_shape(facts, shape, family, suppressed):
    found = family_of_output(facts, shape, "a.onnx")
    assert found[:2] == (family, suppressed)
    assert list(found[2]) == list(range(len(facts.names) or 2))


@pytest.mark.parametrize("shape", [(1, 30, 9), (1, 1000), (1, 30, 7, 4), (1, 300, 6, 1)])
def test_an_output_of_no_detector_is_one_line(shape):
    with pytest.raises(UserError, match="not that of a detector with 2 classes"):
        family_of_output(FileFacts(NAMES), shape, "a.onnx")
