"""A header names the processor, its instructions and the versions of all programs."""

from __future__ import annotations

import sys

import pytest
import torch

from bench.beside import machine
from bench.beside.programs import YOLOV5, make_programs
from utils.errors import UserError


def test_the_processor_is_named_by_the_system(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Fast Chip (TM) 9\n")
    assert machine.processor_name(str(tmp_path / "cpuinfo")) == "Fast Chip (TM) 9"
    assert machine.processor_name(str(tmp_path / "missing"))


def test_a_limit_of_instructions_is_the_kind(monkeypatch):
    assert machine.processor_kind("AVX2") == "limited to AVX2"
    for has in (True, False):
        monkeypatch.setattr(machine, "cpu_multiplies_bf16", lambda has=has: has)
        assert machine.processor_kind("").startswith("bf16") == has


def test_a_program_tells_its_versions_itself(tmp_path):
    ours, theirs = make_programs({YOLOV5: sys.executable}, tmp_path, 1, "").values()
    said = machine.ask_versions(ours)
    assert f"torch {torch.__version__.partition('+')[0]}" in said
    with pytest.raises(UserError, match="yolov5"):
        machine.ask_versions(theirs)
