"""A campaign of threads finds nothing wrong, and one against a model that is not safe does."""

from __future__ import annotations

import sys

import pytest
import torch

from bench.faults.threads import GRAPHS, Campaign
from models.heads.anchor_free import DetectV8


@pytest.fixture(autouse=True)
def _frequent_switches(monkeypatch: pytest.MonkeyPatch):
    """Threads are switched as often as Python can, and each computes alone."""
    before, threads = sys.getswitchinterval(), torch.get_num_threads()
    torch.set_num_threads(1)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
    torch.set_num_threads(threads)


def test_one_model_shared_by_threads_gives_each_its_own_answer():
    campaign = Campaign(graphs=2, images=2)
    campaign.round(threads=8, calls=64, seed=0)
    assert not campaign.wrong
    assert sum(campaign.done.values()) == 64


def test_a_head_that_confuses_sizes_is_found(monkeypatch):
    campaign = Campaign(graphs=2, images=2)
    right = DetectV8._reference

    def confused(self, sizes, device):
        points, scale = right(self, sizes, device)
        return points + 1, scale

    monkeypatch.setattr(DetectV8, "_reference", confused)
    campaign.round(threads=4, calls=32, seed=0)
    assert campaign.wrong


@pytest.mark.slow
def test_sixteen_threads_and_all_graphs():
    campaign = Campaign()
    for number in range(5):
        campaign.round(threads=16, calls=400, seed=number)
    assert not campaign.wrong
    assert len(campaign.models) == len(GRAPHS)
