"""The fixture that makes a module take its plain form."""

from __future__ import annotations

import pytest

from tests.models.attention.plain import force_plain


@pytest.fixture
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The form that the test's modules take: plain, or as chosen."""
    if request.param == "plain":
        force_plain(monkeypatch)
    return request.param
