"""Calls that this project does not have say what to use instead."""

from __future__ import annotations

import pytest

from api.unsupported import UnsupportedCalls
from api.yolo import YOLO
from utils.errors import UserError


@pytest.mark.parametrize(
    "name", [name for name in vars(UnsupportedCalls) if not name.startswith("_")]
)
def test_calls_say_what_to_use_instead(graph, name):
    with pytest.raises(UserError, match=f"^{name}: .*"):
        getattr(YOLO(graph), name)("on_train_start", data="x")
