"""Forms of forks' tensors: each is found again, and computes what the original program computes.

tests/golden/yolov5/fork_attention.npz holds outputs of YOLOv5 with modules of the public forms in
its graph. Weights are drawn from their keys.
"""

from __future__ import annotations

import copy
import json
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.attention import build_attention
from models.weights.load import from_checkpoint
from models.weights.upstream.adopt import with_graph
from models.weights.upstream.forms import FORMS, KeyForm, find_form
from utils.checkpoint import Checkpoint
from utils.files import ROOT

FILE = np.load(ROOT / "tests" / "golden" / "yolov5" / "fork_attention.npz")
CASES: dict[str, Any] = json.loads(str(FILE["meta"]))


def drawn(key: str, shape: list[int]) -> Tensor:
    value = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    value = value * 0.1
    kind = key.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if kind == "running_var":
        value = abs(value) + 0.5
    elif len(shape) > 1:
        value = value * 1.4
    elif kind == "weight":
        value = 1 + value
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def written(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The graph and the state dict of a case; a class of a name of its own becomes CBAM."""
    graph, shapes = copy.deepcopy(CASES[name]["graph"]), CASES[name]["shapes"]
    graph["backbone"][4][2] = graph["backbone"][4][2].replace("MyCBAM", "CBAM")
    state = {key: drawn(key, shape) for key, shape in shapes.items()}
    (anchors,) = (key for key in state if key.endswith("anchors"))
    strides = torch.tensor([8.0, 16.0])
    pixels = torch.tensor(graph["anchors"], dtype=torch.float32).view(2, -1, 2)
    state[anchors] = pixels / strides.view(-1, 1, 1)
    return graph, state


@pytest.mark.parametrize("name", CASES)
def test_a_state_dict_of_the_original_program_gives_its_outputs(name: str) -> None:
    graph, state = written(name)
    checkpoint = with_graph(Checkpoint({}, {}, state), graph, "state.pt")
    model = from_checkpoint(checkpoint).eval().double()
    generator = np.random.Generator(np.random.PCG64(7))
    x = torch.from_numpy(generator.random((1, 3, 64, 64), dtype=np.float32))
    with torch.no_grad():
        found = model(x.double())[0]
    expected = torch.from_numpy(FILE[name])
    assert float(expected[..., 4:].std()) > 0.05
    # Pixels of boxes count as shares of the image.
    unit = torch.tensor([64.0] * 4 + [1.0] * 4)
    torch.testing.assert_close(found.float() / unit, expected / unit, rtol=1e-6, atol=1e-6)


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
