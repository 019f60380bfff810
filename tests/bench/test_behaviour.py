"""The record of behaviour fails where it has to, and is one of the real programs."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch

from bench.behaviour import __main__ as behaviour
from bench.behaviour.commands import commands
from bench.behaviour.graphs import describe
from bench.behaviour.inputs import GRAPH, GRAPHS, archive, calling
from bench.behaviour.runs import table
from bench.behaviour.sandbox import ROOT, Sandbox, hash_checkpoint, hash_tensors

RECORD: dict[str, Any] = {
    "machine": {"processor": "A", "threads": "1"},
    "parts": {
        "runs": {"weights": {"last.pt": "2 tensors aa"}, "results": {"results.csv": "0\n1\n"}},
        "commands": {"status": {"train.py --bad": 2}, "text": {"train.py --bad": "error: --bad\n"}},
    },
}


def changed(part: str, section: str, value: Any) -> dict[str, Any]:
    """RECORD with another value for the one entry of a section."""
    record = copy.deepcopy(RECORD)
    (name,) = record["parts"][part][section]
    record["parts"][part][section][name] = value
    return record


def test_equal_records_pass(capsys):
    assert behaviour.compare(RECORD, copy.deepcopy(RECORD), strict=True) == 0
    printed = capsys.readouterr().out
    assert "1 weights, 1 results, 0 keys, 0 files, 1 status, 1 text" in printed
    assert "0 entries differ" in printed


@pytest.mark.parametrize(
    ("part", "section", "value"),
    [
        ("runs", "weights", "2 tensors ab"),
        ("runs", "results", "0\n2\n"),
        ("commands", "status", 1),
    ],
)
def test_what_must_be_identical_fails_if_it_differs(part, section, value, capsys):
    assert behaviour.compare(RECORD, changed(part, section, value)) == 1
    assert f"DIFFERS  {section}" in capsys.readouterr().out


def test_a_text_may_differ_unless_strict(capsys):
    other = changed("commands", "text", "error: --bad is unknown\n")
    assert behaviour.compare(RECORD, other) == 0
    assert "+error: --bad is unknown" in capsys.readouterr().out
    assert behaviour.compare(RECORD, other, strict=True) == 1


@pytest.mark.parametrize("first_is_shorter", [True, False])
def test_an_entry_that_only_one_record_has_fails(first_is_shorter):
    shorter = copy.deepcopy(RECORD)
    shorter["parts"]["commands"]["status"].clear()
    pair = (shorter, RECORD) if first_is_shorter else (RECORD, shorter)
    assert behaviour.compare(*pair) == 1


def test_weights_of_another_machine_are_not_compared_and_that_is_said(capsys):
    other = changed("runs", "weights", "2 tensors ab")
    other["machine"]["processor"] = "B"
    assert behaviour.compare(RECORD, other) == 0
    assert "WEIGHTS AND RESULTS CANNOT BE COMPARED" in capsys.readouterr().out
    assert behaviour.compare(RECORD, other, strict=True) == 1
    other["parts"]["commands"]["status"]["train.py --bad"] = 1
    assert behaviour.compare(RECORD, other) == 1


def test_records_without_a_common_part_prove_nothing():
    half = {**RECORD, "parts": {"graphs": {}}}
    assert behaviour.compare(RECORD, half) == 1


def test_two_files_can_be_compared(tmp_path):
    for name, record in (("old", RECORD), ("new", changed("runs", "weights", "x"))):
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    old, new = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    assert behaviour.main(["--against", old, "--record", old]) == 0
    assert behaviour.main(["--against", old, "--record", new]) == 1


def test_a_hash_changes_with_value_shape_dtype_and_key(tmp_path):
    states = [
        {"a": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(2, 3).half()},
        {"a": torch.tensor([[0, 0, 0], [0, 0, 1e-30]])},
    ]
    assert len({hash_tensors(state) for state in states}) == len(states)
    torch.save({"epoch": 3, "training": {"x": {}}, "state": states[0]}, tmp_path / "last.pt")
    assert hash_checkpoint(tmp_path / "last.pt") == hash_tensors(states[0])


def test_only_figures_of_a_table_are_kept():
    text = "Class  Images  P  R\n  all  80  0.5  0.25\n disc  54  nan  1e-05\nSpeed: 0.1 ms, 3 ms\n"
    assert table(text) == "all 80 0.5 0.25\ndisc 54 nan 1e-05"


def test_every_graph_differs_from_the_sound_one_and_no_command_comes_twice():
    sound = [name for name, (old, new) in GRAPHS.items() if GRAPH.replace(old, new, 1) == GRAPH]
    assert sound == ["sound"]
    assert len(set(commands())) == len(commands()) > 200


def test_what_differs_between_two_runs_is_removed(tmp_path):
    text = f"{tmp_path}/a.pt …iour-x1/inputs/b.jpg, 3.1ms\r 50%|###| 1/2\r\n\n12.0s {ROOT}/c\n"
    assert Sandbox(tmp_path).normalise(text) == "<tmp>/a.pt …/inputs/b.jpg, # ms\n# s <root>/c\n"


def test_a_malicious_checkpoint_is_refused_and_the_record_has_no_paths(tmp_path):
    harm = calling("posix system", f"touch {tmp_path}/executed")
    assert b"cposix\nsystem\n" in harm
    sandbox = Sandbox(tmp_path)
    sandbox.place("inputs")
    (sandbox.inputs / "bad.pt").write_bytes(archive({"best/data.pkl": harm, "best/version": b"3"}))
    outcome = sandbox.run(
        ["detect.py", "--weights", "@/bad.pt", "--source", str(ROOT / "docs/images")], "one"
    )
    assert outcome.status == 2
    assert not (tmp_path / "executed").exists()
    assert "bad.pt" in outcome.text
    assert str(tmp_path) not in outcome.text


def test_a_graph_is_described_at_all_its_scales():
    entries = describe(ROOT / "models/yolov8.yaml")
    assert [*entries["keys"]] == [f"yolov8 {scale}" for scale in "nsmlx"]
    assert len(set(entries["keys"].values())) == 5
    assert [*entries["weights"]] == [
        f"yolov8 n: {part}" for part in ("initial weights", "outputs", "gradients")
    ]
    assert entries == describe(ROOT / "models/yolov8.yaml")
