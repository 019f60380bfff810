"""Several detectors as one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.weights import ensemble
from models.weights.ensemble import Ensemble, load_models
from utils.errors import UserError
from utils.families import V5


class Member(nn.Module):
    family = V5
    channels = 3

    def __init__(self, value: float, names: dict[int, str], stride: int = 32) -> None:
        super().__init__()
        self.value, self.names, self.stride = value, names, torch.tensor([8.0, float(stride)])

    def forward(self, x, augment=False):
        return torch.full((len(x), 3, 7), self.value + 10 * augment), ["raw"]


NAMES = {0: "a", 1: "b"}


def test_boxes_are_pooled():
    model = Ensemble([Member(1, NAMES), Member(2, NAMES, 64)], ["a.pt", "b.pt"])
    decoded, raw = model(torch.zeros(2, 3, 64, 64))
    assert decoded.shape == (2, 6, 7)
    assert raw is None
    assert decoded[0, :, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert model(torch.zeros(1, 3, 64, 64), augment=True)[0][0, 0, 0] == 11
    assert model.stride.max() == 64
    assert model.names == NAMES


def test_other_classes_are_refused():
    with pytest.raises(UserError, match=r"b\.pt: has other classes than a\.pt"):
        Ensemble([Member(1, NAMES), Member(2, {0: "a"})], ["a.pt", "b.pt"])


@pytest.mark.parametrize("names", [{0: "b", 1: "a"}, {0: "a", 1: "c"}])
def test_classes_in_another_order_or_renamed_are_refused_in_an_ensemble(names):
    with pytest.raises(UserError, match="an ensemble needs the same classes"):
        Ensemble([Member(1, NAMES), Member(2, names)], ["a.pt", "b.pt"])


def test_other_spellings_of_the_same_classes_are_pooled():
    model = Ensemble([Member(1, {0: "hot dog"}), Member(2, {0: "Hot-Dog"})], ["a.pt", "b.pt"])
    assert model.names == {0: "hot dog"}


def test_one_file_is_not_an_ensemble(monkeypatch):
    monkeypatch.setattr(ensemble, "load_model", lambda file, device, **_: Member(1, NAMES))
    assert isinstance(load_models(["a.pt"], torch.device("cpu")), Member)
    assert isinstance(load_models(["a.pt", "b.pt"], torch.device("cpu")), Ensemble)


def test_a_file_that_was_read_already_is_not_read_again(monkeypatch):
    given = []

    def load_one(file, device, checkpoint, **_):
        given.append((file, checkpoint))
        return Member(1, NAMES)

    monkeypatch.setattr(ensemble, "load_model", load_one)
    load_models(["a.pt", "b.pt"], torch.device("cpu"), first="content of a.pt")
    assert given == [("a.pt", "content of a.pt"), ("b.pt", None)]


def test_other_input_channels_are_refused():
    grey = Member(2, NAMES)
    grey.channels = 1
    with pytest.raises(UserError, match=r"b\.pt: has 1 input channels and a\.pt 3"):
        Ensemble([Member(1, NAMES), grey], ["a.pt", "b.pt"])
