"""The flags of models/yolo.py: impossible values and contradictions are refused by name."""

from __future__ import annotations

import pytest

from models.settings import GRAPH_LINE
from utils.errors import UserError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--imgsz 9000", "--imgsz=9000: must be 1 to 8192"),
        ("--all --cfg yolov5n.yaml", "--cfg: is for one graph"),
        ("--sites --profile", "--profile: measures rows"),
        ("--fix", "--fix: corrects what --lint finds"),
        ("--lint a.yaml --sites", "--sites: does not go with --lint"),
    ],
)
def test_contradictions_are_refused(words, said):
    with pytest.raises(UserError, match=said):
        GRAPH_LINE.check(words.split())


def test_what_fits_is_taken():
    GRAPH_LINE.check(["--cfg", "yolov5n.yaml", "--attention", "SimAM@neck", "--profile"])
    assert GRAPH_LINE.read(["--test"]) == {"all": True}
