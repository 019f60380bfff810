"""The screen as a source, with a module mss of the test's own."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from data.sources.open import open_source
from data.sources.screen import screen_area
from utils.errors import UserError


def fake_mss(monkeypatch):
    grabbed = []

    class Screens:
        monitors = (
            {"left": 0, "top": 0, "width": 40, "height": 20},
            {"left": 40, "top": 0, "width": 30, "height": 10},
        )

        def grab(self, area):
            grabbed.append(area)
            return np.zeros((area["height"], area["width"], 4), np.uint8)

        def close(self):
            grabbed.append("closed")

    module = types.ModuleType("mss")
    module.mss = Screens
    module.exception = types.SimpleNamespace(ScreenShotError=RuntimeError)
    monkeypatch.setitem(sys.modules, "mss", module)
    return grabbed


@pytest.mark.parametrize(
    ("text", "area"),
    [
        ("screen", {"left": 0, "top": 0, "width": 40, "height": 20}),
        ("screen 1", {"left": 40, "top": 0, "width": 30, "height": 10}),
        ("screen 1 2 3 4", {"left": 1, "top": 2, "width": 3, "height": 4}),
        ("screen 1 1 2 3 4", {"left": 41, "top": 2, "width": 3, "height": 4}),
    ],
)
def test_screen(monkeypatch, text, area):
    grabbed = fake_mss(monkeypatch)
    source = open_source(text)
    frames = iter(source)
    assert next(frames).image.shape == (area["height"], area["width"], 3)
    assert next(frames).number == 2
    source.close()
    assert grabbed == [area, area, "closed"]


def test_screen_mistakes(monkeypatch):
    fake_mss(monkeypatch)
    with pytest.raises(UserError, match="screens 0 to 1"):
        open_source("screen 2")
    with pytest.raises(UserError, match="0 x 5"):
        screen_area({"left": 0, "top": 0, "width": 1, "height": 1}, [0, 0, 0, 5])
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(UserError, match="pip install mss"):
        open_source("screen")
