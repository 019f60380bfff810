"""The generated data set: reproducible, complete or absent, made once, and never over somebody's
files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data.synthetic import shapes
from data.synthetic.scenes import CLASSES
from utils.errors import UserError
from utils.files import ROOT
from utils.yaml_file import load_yaml


def make(root: Path, **options: int) -> Path:
    return shapes.generate(root, **{"train": 4, "val": 2, **options})


def content(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_yaml_names_the_classes_in_order():
    described = load_yaml(ROOT / "data/shapes.yaml")
    assert tuple(described["names"][number] for number in range(len(CLASSES))) == CLASSES
    assert described["generate"] == "shapes"


def test_layout_and_labels(tmp_path):
    root = make(tmp_path / "shapes")
    assert sorted(path.name for path in root.iterdir()) == ["images", "labels", "manifest.json"]
    for split, count in (("train", 4), ("val", 2)):
        stems = [path.stem for path in sorted((root / "images" / split).iterdir())]
        assert (
            stems
            == [path.stem for path in sorted((root / "labels" / split).iterdir())]
            == [f"{number:05}" for number in range(count)]
        )
    rows = np.loadtxt(root / "labels/train/00000.txt", ndmin=2)
    assert rows.shape[1] == 5
    assert (rows[:, 0] < len(CLASSES)).all()
    assert (rows[:, 1:3] - rows[:, 3:] / 2 > -1e-6).all()
    assert (rows[:, 1:3] + rows[:, 3:] / 2 < 1 + 1e-6).all()


def test_label_rows_are_shares_of_width_and_height():
    text = shapes.label_rows(np.array([3]), np.array([[20.0, 10.0, 60.0, 30.0]]), (50, 200))
    assert text == "3 0.200000 0.400000 0.200000 0.400000\n"


def test_same_seed_same_bytes_and_splits_differ(tmp_path):
    first, second = content(make(tmp_path / "a")), content(make(tmp_path / "b"))
    assert first == second
    assert first["images/train/00000.jpg"] != first["images/val/00000.jpg"]
    other = content(make(tmp_path / "c", seed=1))
    assert other["images/train/00000.jpg"] != first["images/train/00000.jpg"]


def test_a_finished_set_is_left_alone(tmp_path, monkeypatch):
    root = make(tmp_path / "shapes")
    monkeypatch.setattr(shapes, "_write_all", lambda *_: pytest.fail("drawn again"))
    assert make(root) == root


@pytest.mark.parametrize("spoil", ["seed", "version", "image", "label"])
def test_a_stale_or_spoilt_set_is_made_again(tmp_path, monkeypatch, spoil):
    root = make(tmp_path / "shapes")
    before = content(root)
    if spoil == "version":
        monkeypatch.setattr(shapes, "SHAPES_VERSION", shapes.SHAPES_VERSION + 1)
    if spoil == "image":
        (root / "images/train/00001.jpg").unlink()
    if spoil == "label":
        (root / "labels/val/00001.txt").unlink()
    make(root, seed=1 if spoil == "seed" else 0)
    assert content(root).keys() == before.keys()
    assert (content(root) == before) == (spoil in ("image", "label"))
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]


@pytest.mark.parametrize("victim", ["photo.jpg", "manifest.json", "images/mine.jpg"])
def test_foreign_files_are_never_replaced(tmp_path, victim):
    root = tmp_path / "mine"
    (root / victim).parent.mkdir(parents=True)
    (root / victim).write_text('{"made by": "me"}')
    with pytest.raises(UserError, match="did not make"):
        make(root)
    assert (root / victim).read_text() == '{"made by": "me"}'


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "shapes").mkdir()
    assert (make(tmp_path / "shapes") / "manifest.json").exists()


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shapes, "label_rows", refuse)
    with pytest.raises(
        UserError, match=r"shapes: the generated data set cannot be written \(No space left"
    ):
        make(tmp_path / "shapes")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere"
)
def test_a_read_only_place_is_a_users_mistake(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="make the folder writable"):
        make(tmp_path / "shapes")


def test_an_unusable_parent_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="set another `path:`"):
        make(tmp_path / "file" / "shapes")


def test_a_killed_run_leaves_no_set_that_looks_whole(tmp_path):
    root = tmp_path / "shapes"
    program = (
        "from data.synthetic.shapes import generate; from pathlib import Path; "
        f"generate(Path({str(root)!r}), train=5000)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    while not list(tmp_path.glob(".shapes.tmp-*/labels/train/*.txt")):
        time.sleep(0.01)
        assert child.poll() is None
    child.kill()
    child.wait()
    assert not root.exists()
    leftover = next(tmp_path.glob(".shapes.tmp-*"))
    os.utime(leftover, (0, 0))  # as if it had been left a while ago
    make(root)
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]


def test_a_rival_that_was_faster_wins(tmp_path, monkeypatch):
    root = tmp_path / "shapes"
    original = shapes._write_all

    def slow(folder: Path, manifest: dict[str, object]) -> None:
        original(folder, manifest)
        original(root, manifest)

    monkeypatch.setattr(shapes, "_write_all", slow)
    assert make(root) == root
    assert json.loads((root / "manifest.json").read_text())["train"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]
