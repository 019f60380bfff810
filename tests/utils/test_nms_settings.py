"""Settings of suppression: an impossible value names its flag."""

from __future__ import annotations

import pytest

from utils.errors import UserError
from utils.nms_settings import NMSSettings


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"conf": 1.5}, "--conf-thres=1.5"),
        ({"iou": float("nan")}, "--iou-thres=nan"),
        ({"max_det": 0}, "--max-det=0"),
        ({"classes": (-1,)}, "--classes="),
    ],
)
def test_impossible_settings_name_the_flag(values: dict, named: str) -> None:
    with pytest.raises(UserError, match=named):
        NMSSettings(**values)


def test_the_ends_of_the_ranges_are_possible() -> None:
    assert NMSSettings(conf=0, iou=1, max_det=1, classes=(0,)).classes == (0,)
