"""The comparison notices what differs, and what is left behind."""

from __future__ import annotations

import json

import pytest
import torch

from bench.faults.compare import leftovers, unequal_keys, unlike


@pytest.fixture
def runs(tmp_path):
    """Two folders of equal runs."""
    for name in ("a", "b"):
        (tmp_path / name / "weights").mkdir(parents=True)
        content = {"state": {"w": torch.tensor([0.5, float("nan")])}, "scores": {"fitness": 0.1}}
        for file in ("last.pt", "best.pt"):
            torch.save(content, tmp_path / name / "weights" / file)
        for file in ("results.csv", "opt.yaml", "hyp.yaml"):
            (tmp_path / name / file).write_text("1\n")
        figures = {"map": 0.5, "notes": [], "speed_ms": {"nms": name}, "memory_mb": name}
        (tmp_path / name / "metrics.json").write_text(json.dumps(figures))
    return tmp_path / "a", tmp_path / "b"


def test_equal_runs_are_alike_whatever_their_clocks_say(runs):
    assert unlike(*runs) == []


def test_a_changed_weight_is_noticed(runs):
    state = {"w": torch.tensor([0.5 + 2**-24, float("nan")])}
    torch.save({"state": state, "scores": {"fitness": 0.1}}, runs[1] / "weights" / "last.pt")
    assert unlike(*runs) == ["weights/last.pt: state.w"]


def test_a_changed_score_is_noticed(runs):
    figures = {"map": 0.25, "notes": ["a"]}
    (runs[1] / "metrics.json").write_text(json.dumps(figures))
    assert unlike(*runs) == ["metrics.json: map", "metrics.json: notes"]


def test_a_changed_row_and_a_missing_file_are_noticed(runs):
    (runs[1] / "results.csv").write_text("1\r\n")
    (runs[1] / "opt.yaml").unlink()
    (runs[1] / "weights" / "best.pt").unlink()
    found = unlike(*runs)
    assert found[:2] == ["results.csv", "opt.yaml is missing"]
    assert found[2].startswith("weights/best.pt")


def test_a_key_that_only_one_content_has_is_noticed():
    assert unequal_keys({"a": 1}, {"a": 1, "b": {"c": 2}}) == ["b.c"]
    assert unequal_keys({"a": torch.zeros(2)}, {"a": torch.zeros(2, dtype=torch.half)}) == ["a"]
    assert unequal_keys({"a": 0}, {"a": False}) == ["a"]


def test_leftovers_are_found_and_results_are_not(tmp_path):
    (tmp_path / "weights").mkdir()
    for name in ("weights/last.pt", "results.csv", ".last.pt.tmp-3", "weights/last.previous.pt",
        ".train.lock"):  # fmt: skip
        (tmp_path / name).touch()
    assert leftovers(tmp_path) == [".last.pt.tmp-3", "weights/last.previous.pt"]


def test_nothing_is_compared_with_a_reference_that_lacks_a_file(runs):
    (runs[0] / "weights" / "last.pt").unlink()
    (runs[1] / "weights" / "last.pt").unlink()
    with pytest.raises(FileNotFoundError, match="reference"):
        unlike(*runs)
