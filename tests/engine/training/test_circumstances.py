"""A resumed run says under which other circumstances it goes on, or avoids them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from engine.training import circumstances as module
from engine.training.circumstances import circumstances, keep_threads, resumed_under
from utils.checkpoint import Checkpoint

HERE = circumstances(torch.device("cpu"), 1, "fp32")


def resumed(**saved: str) -> Checkpoint:
    training = {"circumstances": {**HERE, **saved}}
    return Checkpoint({}, {}, {}, training=training)  # type: ignore[arg-type]


def test_the_same_circumstances_need_no_word() -> None:
    assert resumed_under(HERE, HERE) == ""
    assert resumed_under(HERE, {}) == ""  # a checkpoint of an earlier version
    assert all(type(value) is str for value in HERE.values())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("threads", "64", "threads, before 64"),
        ("torch", "1.0", "torch .*, before 1.0"),
        ("processor", "a Z80 (DEFAULT)", "the processor .*, before a Z80"),
        ("device", "NVIDIA H1", "the device cpu, before NVIDIA H1"),
        ("processes", "2", "1 processes, before 2"),
        ("arithmetic", "bfloat16", "float32 arithmetic, before bfloat16"),
    ],
)
def test_each_other_circumstance_is_named(key: str, value: str, words: str) -> None:
    import re

    said = resumed_under(HERE, {**HERE, key: value})
    assert re.search(words, said)
    assert said.startswith("resumed with ")
    assert said.endswith("not bit for bit those of an uninterrupted run")


def test_the_number_of_threads_is_kept_where_there_are_enough_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = [torch.get_num_threads()]
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: used[-1])
    monkeypatch.setattr(module, "_cores", lambda: 4)
    assert keep_threads(None) == ""
    assert keep_threads(dataclasses.replace(resumed(), training=None)) == ""
    assert keep_threads(resumed(threads="5")) == ""
    assert keep_threads(resumed(threads="3", device="a GPU")) == ""
    assert keep_threads(resumed(threads="x")) == ""
    assert len(used) == 1
    assert keep_threads(resumed(threads="3")).startswith("threads: 3, as before")
    assert used[-1] == 3
    assert keep_threads(resumed(threads="3")) == ""
