"""The flags of export.py."""

from __future__ import annotations

import pytest

from engine.export.settings import ExportConfig
from utils.errors import UserError


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"imgsz": (10**9,)}, "at most 32768"),
        ({"batch_size": 10**9}, "--batch-size=1000000000: must be 1 to 4096"),
        ({"max_det": 10**9, "nms": True}, "--max-det=1000000000: must be 1 to 30000"),
    ],
)
def test_sizes_that_no_memory_holds_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ExportConfig(**values)  # type: ignore[arg-type]
