"""The flags of ablate.py refuse impossible values."""

from __future__ import annotations

import pytest

from ablation.config import StudyConfig, read_config
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
        ({"adaptive": True}, "--adaptive: arms are dropped at looks; give --looks, such as 3 5 8"),
        ({"looks": (5,)}, "--looks 5: must be two or more rising numbers of seeds"),
        ({"looks": (5, 3)}, "--looks 5 3: must be two or more rising"),
        ({"looks": (2, 5)}, "--looks 2 5: must be between 3 and 500 seeds"),
        ({"looks": (5, 501)}, "--looks 5 501: must be between 3 and 500 seeds"),
        ({"looks": (3, 8)}, "--seeds 5: is none of --looks 3 8; give one of these, or none"),
        ({"looks": (3, 5)}, "--looks 3 5: there is no arm to judge; name modules"),
    ],
)
def test_impossible_values_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        StudyConfig(**flags)


def test_the_last_look_is_the_number_of_seeds_unless_one_is_given():
    flags = ["--attention", "SE", "--looks", "3", "5", "8"]
    assert read_config(flags).seeds == 8
    assert read_config([*flags, "--seeds", "5"]).seeds == 5
    assert read_config([]).seeds == 5
    with pytest.raises(UserError, match="--baseline-seeds 9: each of --looks has its own number"):
        read_config([*flags, "--baseline-seeds", "9"])
