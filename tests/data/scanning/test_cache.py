"""cache.py: every change is noticed, damage costs a scan and nothing else, the user's folders stay
clean.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data.scanning.cache import cache_folder, read_cache, state_of
from data.scanning.load import load_dataset

GOOD_ROW = "0 .5 .5 .2 .2\n"


def test_the_cache_notices_every_change(
    paint: Callable[[Path], None], make: Callable[..., Path], tmp_path: Path
) -> None:
    yaml = make({"a": GOOD_ROW, "b": GOOD_ROW + GOOD_ROW})
    first = load_dataset(yaml, "train")
    again = load_dataset(yaml, "train")
    assert (first.report.origin, again.report.origin) == ("scanned", "from the cache")
    assert again.digest == first.digest
    assert again.report.entries == first.report.entries
    label = tmp_path / "set" / "labels" / "train" / "a.txt"
    label.write_text("1 .5 .5 .2 .2\n")  # as many bytes as before
    changed = load_dataset(yaml, "train")
    assert "scanned again: files have changed" in changed.report.origin
    assert changed.classes.tolist() == [1, 0]
    assert changed.digest != first.digest
    paint(tmp_path / "set" / "images" / "train" / "c.png")
    assert len(load_dataset(yaml, "train")) == 3
    label.unlink()
    assert load_dataset(yaml, "train").report.missing == 2


def test_a_damaged_or_unwritable_cache_costs_a_scan_only(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    yaml = make({"a": GOOD_ROW})
    first = load_dataset(yaml, "train")
    (file,) = cache_folder().iterdir()
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(20):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged[: rng.integers(len(whole) // 2, len(whole) + 1)])
        index = load_dataset(yaml, "train")
        assert "damaged" in index.report.origin
        assert index.digest == first.digest
    shutil.rmtree(cache_folder())
    cache_folder().write_text("a file where the folder should be")
    assert load_dataset(yaml, "train").digest == first.digest


def test_nothing_is_written_beside_the_data(make: Callable[..., Path], tmp_path: Path) -> None:
    yaml = make({"a": GOOD_ROW})
    before = sorted((tmp_path / "set").rglob("*"))
    load_dataset(yaml, "train")
    assert sorted((tmp_path / "set").rglob("*")) == before


def test_an_edit_of_equal_length_with_its_time_set_back_is_noticed(tmp_path: Path) -> None:
    """As rsync -t and cp -p leave files: size and time of change alike, content not."""
    label = tmp_path / "a.txt"
    label.write_text("0 .5 .5 .1 .1\n")
    status, before = label.stat(), state_of([str(label)])
    assert state_of([str(label)]) == before
    time.sleep(0.05)
    label.write_text("1 .5 .5 .1 .1\n")
    os.utime(label, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert label.stat().st_mtime_ns == status.st_mtime_ns
    assert state_of([str(label)]) != before


def test_class_names_with_any_signs_have_a_state():
    assert state_of((), "\ud800") != state_of((), "\udcb3")


def test_leftovers_of_killed_writes_are_removed_when_the_cache_is_read(tmp_path):
    (tmp_path / ".labels.cache.tmp-999999999").write_bytes(b"half")
    read_cache(tmp_path / "labels.cache", "state")
    assert list(tmp_path.iterdir()) == []
