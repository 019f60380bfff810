"""data/convert.py: what it writes, read again, is what was there; it never overwrites."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.convert import label_text, main
from data.dataset_yaml import read_dataset_yaml
from data.sample import Sample
from data.scanning.load import load_dataset
from utils.errors import UserError, run_main
from utils.files import ROOT


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_CACHE_DIR", str(tmp_path / "cache"))


def _voc_set(root: Path) -> Path:
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(root / "JPEGImages" / f"p{number}.jpg"), np.full((47, 61, 3), 80, np.uint8))
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{3 + number}</xmin><ymin>5</ymin>"
            f"<xmax>{right}</xmax><ymax>33</ymax></bndbox></object>"
            for name, right in (("wolf", 20), ("elk", 70))
        )
        (root / "Annotations" / f"p{number}.xml").write_text(f"<annotation>{objects}</annotation>")
    (root / "ImageSets" / "Main" / "train.txt").write_text("p0\np1\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("p2\n")
    return root


def test_voc_folder_reads_back_the_same(tmp_path: Path) -> None:
    source, out = _voc_set(tmp_path / "voc"), tmp_path / "out"
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    main(["--source", str(source), "--out", str(out)])
    index = load_dataset(out / "data.yaml", "train")
    assert index.names == {0: "elk", 1: "wolf"}
    assert [Path(sample.path).name for sample in index] == ["p0.jpg", "p1.jpg"]
    np.testing.assert_allclose(index[1].boxes, [[3, 4, 20, 33], [3, 4, 61, 33]], atol=1e-4)
    assert index[1].classes.tolist() == [1, 0]
    assert len(load_dataset(out / "data.yaml", "val")) == 1
    assert (out / "report.csv").read_text().startswith("file,row,action,reason")
    assert before == {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}


def test_yaml_as_source_keeps_its_names(tmp_path: Path) -> None:
    source = _voc_set(tmp_path / "voc")
    (tmp_path / "d.yaml").write_text(f"path: {source}\ntrain: train\nval: val\nnames: [wolf]\n")
    main(["--data", str(tmp_path / "d.yaml"), "--out", str(tmp_path / "out"), "--copy"])
    assert (tmp_path / "out" / "labels" / "val" / "p2.txt").read_text().startswith("0 0.")
    assert not (tmp_path / "out" / "images" / "val" / "p2.jpg").is_symlink()
    assert "'elk'" in (tmp_path / "out" / "report.csv").read_text()


def test_coco_file_and_images_of_the_same_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        cv2.imwrite(
            str(tmp_path / "images" / folder / "same.png"), np.full((40, 50, 3), 80, np.uint8)
        )
    content = {
        "images": [{"id": 1, "file_name": "a/same.png"}, {"id": 2, "file_name": "b/same.png"}],
        "annotations": [{"image_id": 2, "category_id": 4, "bbox": [5, 4, 20, 10]}],
        "categories": [{"id": 4, "name": "elk"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    main(
        [
            "--source",
            str(tmp_path / "c.json"),
            "--images",
            str(tmp_path / "images"),
            "--out",
            str(tmp_path / "out"),
        ]
    )
    index = load_dataset(tmp_path / "out" / "data.yaml", "train")
    assert [len(sample.classes) for sample in index] == [0, 1]
    np.testing.assert_allclose(index.boxes, [[5, 4, 25, 14]], atol=1e-4)


def test_it_never_overwrites_unasked(tmp_path: Path) -> None:
    source, out = _voc_set(tmp_path / "voc"), tmp_path / "out"
    flags = ["--source", str(source), "--out", str(out)]
    main(flags)
    with pytest.raises(UserError, match="holds files already"):
        main(flags)
    main([*flags, "--exist-ok"])
    image = out / "images" / "val" / "p2.jpg"
    image.unlink()
    image.write_bytes(b"somebody's own")
    with pytest.raises(UserError, match="not the same"):
        main([*flags, "--exist-ok"])
    assert image.read_bytes() == b"somebody's own"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "x"], "give exactly one"),
        (["--source", "a", "--data", "b", "--out", "x"], "give exactly one"),
        (["--source", "a"], "--out: give the folder"),
        (["--source", "a", "--format", "yolo", "--out", "x"], "--format yolo: --source cannot be"),
        (["--source", "a.json", "--format", "voc", "--out", "x"], "is not a folder with Annot"),
        (
            ["--source", "nowhere", "--out", "x"],
            "is not a COCO .json file or a folder with Annotations/",
        ),
    ],
)
def test_flags_that_cannot_be(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        main(flags)


def test_as_a_script_from_anywhere(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "data" / "convert.py"),
        "--source",
        "nowhere",
        "--out",
        "x",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_polygons_stay_polygons_and_boxes_beside_them_become_corners() -> None:
    triangle = np.array([[10, 10], [30, 10], [20, 40]], np.float32)
    boxes = np.array([[10, 10, 30, 40], [0, 0, 50, 20]], np.float32)
    sample = Sample(
        "a.jpg", (50, 100), boxes, np.array([1, 0]), (triangle, np.zeros((0, 2), np.float32))
    )
    first, second = label_text(sample).splitlines()
    assert [float(value) for value in first.split()] == pytest.approx(
        [1, 0.1, 0.2, 0.3, 0.2, 0.2, 0.8]
    )
    assert [float(value) for value in second.split()] == pytest.approx(
        [0, 0, 0, 0.5, 0, 0.5, 0.4, 0, 0.4]
    )


@pytest.mark.parametrize("flags", [[], ["--copy"]])
def test_a_file_that_cannot_be_written_is_named_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    source, out = _voc_set(tmp_path / "voc"), tmp_path / "out"
    (out / "labels/train/p0.txt").mkdir(parents=True)  # in the way
    words = ["--source", str(source), "--out", str(out), "--exist-ok", *flags]
    assert run_main(main, words) == 2
    assert (out / "labels/train/p1.txt").is_file()
    assert (out / "images/train/p1.jpg").is_file()
    assert (out / "data.yaml").is_file()
    error = capsys.readouterr().err
    assert "1 file is missing, all others are written: " in error
    assert "p0.txt: cannot be written (Is a directory)" in error


def test_what_yolo_cannot_mark_and_grey_images_are_kept_or_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _voc_set(tmp_path / "voc")
    file = source / "Annotations" / "p0.xml"
    file.write_text(file.read_text().replace("</name>", "</name><difficult>1</difficult>", 1))
    yaml = tmp_path / "d.yaml"
    yaml.write_text(f"path: {source}\ntrain: train\nnames: [elk, wolf]\nchannels: 1\n")
    main(["--data", str(yaml), "--out", str(tmp_path / "out")])
    assert (
        "note: 1 difficult object or crowd left out of the label files" in capsys.readouterr().out
    )
    assert read_dataset_yaml(tmp_path / "out" / "data.yaml").channels == 1
