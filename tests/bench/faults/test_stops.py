"""The campaign of signals notices a wrong status, missing words, tracebacks and lost batches."""

from __future__ import annotations

import sys

import pytest
import torch

from bench.faults.common import Ended
from bench.faults.stops import POINTS, Stop, main, position, said_wrong
from bench.faults.victim import Instant

ON = "stopped in epoch 1; continue with: python train.py --resume run/weights/last.pt\n"


def stop(name="TERM", how="once", when="train.validate:1", folder=None):
    return Stop(folder, folder, "v5", name, how, when)


def test_the_conventional_status_and_one_line_are_right():
    for name, status in (("HUP", 129), ("INT", 130), ("PIPE", 141), ("TERM", 143)):
        assert said_wrong(stop(name), Ended(status, "", ON, 0.1)) == []
        assert said_wrong(stop(name), Ended(status, f"Epoch\n\n{ON}", "", 0.1)) == []


@pytest.mark.parametrize(
    ("ended", "fault"),
    [
        (Ended(0, ON, "", 0.1), "status: 0 instead of 143"),
        (Ended(143, "", "", 0.1), "words: none on how to go on"),
        (Ended(143, "", f"{ON}a\n", 0.1), f"words: 2 lines, {ON.strip()} | a"),
        (Ended(137, "", "", 60.0, limit="time"), "hung: beyond 60 s"),
    ],
)
def test_a_wrong_end_is_noticed(ended, fault):
    assert said_wrong(stop(), ended) == [fault]


def test_a_traceback_is_noticed():
    text = f"{ON}Traceback (most recent call last):\n  x\nKeyboardInterrupt\n"
    faults = said_wrong(stop("INT"), Ended(130, "", text, 0.1))
    assert faults[0] == "traceback: KeyboardInterrupt"


def test_before_the_first_batch_no_words_are_needed():
    assert said_wrong(stop(how="real", when="0.3"), Ended(143, "", "", 0.1)) == []


def test_the_position_of_a_checkpoint_is_counted_in_batches(tmp_path):
    torch.save({"training": {"progress": {"epoch": 2, "batch": 3}}}, tmp_path / "last.pt")
    assert position(tmp_path / "last.pt") == 11
    torch.save({"training": None}, tmp_path / "last.pt")
    assert position(tmp_path / "last.pt") == sys.maxsize


def test_all_points_are_instants_or_seconds():
    assert len(set(POINTS)) == 20
    for how, when in POINTS:
        assert float(when) > 0 if how == "real" else Instant.parse(when).call > 0


@pytest.mark.slow
def test_stopped_trainings_end_as_one_that_was_left_alone():
    assert main(["--count", "4"]) == 0
