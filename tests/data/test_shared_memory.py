"""Too little shared memory is said with the sizes and the remedy."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from data import shared_memory
from data.shared_memory import free_shared_memory, pipe_note


def test_what_is_free_is_read_where_there_is_such_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path)
    assert 0 < free_shared_memory() < math.inf
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path / "none")
    assert free_shared_memory() == math.inf


def test_the_remedy_is_large_enough_for_training_and_validation() -> None:
    said = pipe_note(1.4e9, 64e6)
    assert "take 1400 MB, but shared memory (/dev/shm) has 64 MB free" in said
    assert "--shm-size=3g" in said
