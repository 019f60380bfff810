"""Checkpoints are local files, of which all tensors that fit are copied."""

from __future__ import annotations

import pytest
import torch

from api.weights import read_local
from api.yolo import YOLO
from tests.api.conftest import NAMES
from utils import checkpoint as checkpoints
from utils.errors import UserError


def test_load_copies_and_names(graph, weights, capsys):
    model = YOLO(graph)
    assert model.load(weights) is model
    assert model.names == NAMES
    state = checkpoints.read(weights).state
    assert all(torch.equal(value, state[key]) for key, value in model.model.state_dict().items())
    assert (
        f"Transferred {len(state)} of {len(state)} tensors (100 %) from {weights}\n"
        in capsys.readouterr().out
    )


def test_nothing_is_downloaded(weights):
    assert read_local(str(weights)).names == NAMES
    with pytest.raises(UserError, match=r"missing\.pt: .*nothing is downloaded"):
        read_local("missing.pt")
