"""Forms of forks' tensors: each is found again, and computes what the original program computes.

tests/golden/yolov5/fork_attention.npz holds outputs of YOLOv5 with modules of the public forms in
its graph, one of them of an unknown class.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.attention import build_attention
from models.weights.upstream.forms import FORMS, KeyForm, find_form
from tests.models.weights.upstream.forks import check_outputs, written
from utils.files import ROOT

FILE = np.load(ROOT / "tests" / "golden" / "yolov5" / "fork_attention.npz")
CASES: dict[str, Any] = json.loads(str(FILE["meta"]))


@pytest.mark.parametrize("name", CASES)
def test_a_state_dict_of_the_original_program_gives_its_outputs(name: str) -> None:
    graph, state = written(CASES[name])
    check_outputs(graph, state, FILE[name])


def as_theirs(form: KeyForm, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state of ours under the names of a form; linear layers become 1x1 convolutions."""
    theirs = {ours: key for key, ours in {**form.optional, **form.names}.items()}
    return {
        theirs[key]: (value.flip(1) if key in form.exchanged else value)
        for key, value in state.items()
    }


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_found_and_gives_back_our_names(name: str) -> None:
    for form in FORMS[name]:
        state = dict(build_attention(name, 16, **options_of(form)).state_dict())
        theirs = as_theirs(form, state)
        found = find_form(theirs, (name,))
        assert found is not None
        assert found.options == form.options, form.names
        again = found.translate(theirs)
        assert set(again) == set(state)
        assert all(torch.equal(again[key], value) for key, value in state.items())
        assert find_form({**theirs, "other.weight": torch.zeros(1)}, (name,)) is None
        assert all(key.rpartition(".")[0] in form.paths() for key in state)


def options_of(form: KeyForm) -> dict[str, Any]:
    """The options with which our module has the tensors of a form, and no others."""
    ours = set(form.names.values())
    if form.module == "TripletAttention":
        return {"no_spatial": not any(key.startswith("hw") for key in ours)}
    if form.module == "CBAM" and form.options["formula"] == "external":
        return {**form.options, "conv_bias": False}
    if form.module == "ELA":
        return {"kernel_size": 1, "groups": 1, "bias": True}
    return dict(form.options)


def test_an_unknown_class_is_recognised_by_its_tensors() -> None:
    state = {"l1.weight": torch.zeros(1, 16), "l2.weight": torch.zeros(16, 1)}
    form = find_form(state, ())
    assert form is not None
    assert form.module == "SE"
    assert find_form({"l1.weight": torch.zeros(1, 16)}, ()) is None
