"""The flags of explain.py."""

from __future__ import annotations

import pytest

from engine.explain.settings import EXPLAIN_LINE, ExplainConfig
from utils.errors import UserError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"imgsz": (16,)}, "--imgsz"),
        ({"method": "cam"}, "--method cam: must be layercam or gradcam or eigencam"),
        ({"per": "pixel"}, "--per pixel: must be object or class"),
        ({"layers": ("head", "3")}, "--layers: takes auto, head or backbone alone"),
        ({"layers": ("top",)}, "--layers top: takes auto"),
        ({"layers": ("-1",)}, "--layers -1: takes auto"),
        ({"conf_thres": 2.0}, "--conf-thres"),
        ({"vid_stride": 0}, "--vid-stride=0: must be at least 1"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ExplainConfig(**values)


def test_flags_are_read() -> None:
    given = EXPLAIN_LINE.check(["--weights", "a.pt", "b.pt", "--layers", "4", "6", "--check"])
    assert given == {"weights": ("a.pt", "b.pt"), "layers": ("4", "6"), "check": True}


@pytest.mark.parametrize("word", ["--half", "--augment"])
def test_flags_of_detect_that_have_no_meaning_here_say_why(word: str) -> None:
    with pytest.raises(UserError, match=rf"{word}.* is for detect\.py and val\.py; "):
        EXPLAIN_LINE.check([word])
