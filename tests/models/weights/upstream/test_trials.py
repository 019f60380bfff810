"""The work of recognising a foreign file is bounded, whatever its rows hold."""

from __future__ import annotations

import pytest
import torch

from models.attention import build_attention
from models.graph.layers import LAYERS
from models.weights.upstream import identify as identified
from models.weights.upstream.attention import READERS
from models.weights.upstream.blocks import recognise_block
from models.weights.upstream.identify import identify
from models.weights.upstream.plain import ForeignRow, try_block
from models.weights.upstream.trials import Trials
from utils.errors import UserError
from utils.seeds import caught_warnings


def test_trials_end_with_a_line_that_says_what_to_do():
    trials = Trials(2)
    trials.count()
    trials.count()
    with pytest.raises(UserError, match="give the file with its classes as --modules"):
        trials.count()


def test_a_module_of_many_sizes_is_not_tried_without_end():
    with torch.device("meta"):
        state = {f"extra{n}": torch.zeros(100 + n, 300 + n) for n in range(100)}
        for name in ("CoTAttention", "GAM", "LSK", "BAM", "TripletAttention", "MHSA"):
            state |= build_attention(name, 64).state_dict()
    with pytest.raises(UserError, match="too many modules"):
        identify(state, (), trials=Trials(4))


def test_a_known_module_needs_few_trials_among_all_names():
    trials = Trials()
    found = identify(build_attention("LocalWindowAttention", 64).state_dict(), (), trials=trials)
    assert found
    assert 0 < Trials().left - trials.left < 30


@pytest.mark.parametrize("name", READERS)
def test_the_keys_of_a_module_without_options_do_not_depend_on_its_channels(name):
    with torch.device("meta"), caught_warnings():
        keys = [set(build_attention(name, width).state_dict()) for width in (32, 64, 128, 512)]
    assert all(one == identified._usual_keys(name) for one in keys)
    assert len(keys[0]) < 100


def test_many_tensors_in_one_row_are_not_compared_with_every_form(monkeypatch):
    def fail(*_):
        raise AssertionError("the names were compared")

    monkeypatch.setattr(identified, "find_form", fail)
    value = torch.zeros(1)
    deep = {f"a.b.c.d.e.t{number}": value for number in range(6000)}
    assert identify(deep, ()) is None
    block = LAYERS["C2f"].kind(8, 8, 1).state_dict()
    assert recognise_block(ForeignRow("row 1", ("X",), [64], {**block, **deep})) is None


def test_each_comparison_counts_even_if_no_module_is_built():
    trials = Trials()
    assert identify({"no.such.key": torch.zeros(7, 5)}, (), trials=trials) is None
    assert trials.left < Trials().left


def test_blocks_that_are_tried_count_too():
    row = ForeignRow("row 1", ("X",), [64], LAYERS["C2f"].kind(8, 8, 1).state_dict())
    assert try_block(row, "C2f")
    assert row.trials.left == Trials().left - 1
