"""The flags of ablate.py refuse impossible values."""

from __future__ import annotations

import pytest

from ablation.config import StudyConfig
from utils.errors import UserError


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"seeds": 0}, "--seeds 0: must be at least 1"),
        ({"cores_per_cell": 0}, "--cores-per-cell 0"),
        ({"delta": 0.0}, "--delta 0.0: must be above 0"),
        ({"aa": 10**9}, "--aa 1000000000: must be at most 1000"),
        ({"slots": 10**9}, "--slots 1000000000: must be at most 1024"),
        ({"cores_per_cell": 10**9}, "--cores-per-cell 1000000000: must be at most 4096"),
        ({"seeds": 1001}, "--seeds 1001: must be at most 1000"),
        ({"aa": 0}, "nothing to compare"),
        ({"name": "a/b"}, "--name 'a/b': must be the name of a folder"),
        ({"name": ".."}, "--name"),
    ],
)
def test_impossible_values_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        StudyConfig(**flags)
