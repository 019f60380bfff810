"""The benchmark of the scan links what it is told to, and times a scan without any cache."""

from __future__ import annotations

import argparse

from benchmarks.scan_speed import OURS, compare_scans, link_images

from data.scanning.load import load_dataset
from tests.data.image_files import write_images
from utils.files import save_yaml


def test_images_are_linked_and_scanned_anew_in_each_turn(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("YOLO_CACHE_DIR", str(tmp_path / "cache"))
    source, root = tmp_path / "images", tmp_path / "links"
    source.mkdir()
    root.mkdir()
    write_images(source)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "01.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    save_yaml(tmp_path / "data.yaml", {"path": str(tmp_path), "train": "images", "names": ["a"]})
    link_images(str(tmp_path / "data.yaml"), 25, root)
    index = load_dataset(root / "data.yaml", "train")
    assert (len(index), index.report.found) == (25, 25)
    assert index.classes.tolist() == [0, 0, 0]  # image 1 of ten, and its links
    assert index.sizes[21].tolist() == index.sizes[1].tolist() == [120, 80]
    (root / "images" / "labels.cache").write_text("of the other program")
    flags = argparse.Namespace(count=25, turns=1, reference_python="")
    result = compare_scans(flags, root)
    assert not list(root.rglob("images/*.cache"))
    assert [*result["median seconds, of cores"]] == ["ours"]
    assert result["median seconds, of cores"]["ours"][0] > 0
    assert "load_dataset" in OURS
    assert capsys.readouterr().out.startswith("ours ")
