"""data/dataset_yaml.py: what is accepted, what is refused with a line that names file, key, value
and remedy.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from data import dataset_yaml
from data.dataset_info import SplitSource
from data.dataset_yaml import read_dataset_yaml
from utils.errors import UserError
from utils.files import ROOT

GOOD = "train: images/train\nval: images/val\nnames: [cat, dog]\n"


def _write(folder: Path, text: str) -> Path:
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return folder / "data.yaml"


def test_names_as_list_or_mapping_and_every_kind_of_split(tmp_path: Path) -> None:
    info = read_dataset_yaml(
        _write(
            tmp_path,
            "names: {1: dog, 0: cat}\nnc: 2\ntrain: [a, b.txt]\nval: v.json\n"
            "test: {images: p, annotations: x.json}\ndefaults: {imgsz: 320}\n",
        )
    )
    assert info.names == {0: "cat", 1: "dog"}
    assert list(info.names) == [0, 1]
    assert info.train == (SplitSource("a"), SplitSource("b.txt"))
    assert info.val == (SplitSource(annotations="v.json"),)
    assert info.test == (SplitSource("p", "x.json"),)
    assert info.suggested == {"imgsz": 320}
    assert read_dataset_yaml(_write(tmp_path, GOOD)).names == info.names


def test_relative_path_means_the_project_then_the_yaml_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "images").mkdir(parents=True)
    info = read_dataset_yaml(_write(tmp_path, "path: here\n" + GOOD))
    assert info.root == tmp_path / "here"
    assert (
        info.locate("../images") == tmp_path / "here" / "images"
    )  # Roboflow's YAMLs are one folder off
    assert read_dataset_yaml(_write(tmp_path, "path: tests\n" + GOOD)).root == ROOT / "tests"
    (tmp_path / "elsewhere" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read_dataset_yaml(tmp_path / "data.yaml").bases == (ROOT / "tests", tmp_path / "tests")
    with pytest.raises(
        UserError, match=f"looked at {ROOT}/tests/nowhere, {tmp_path}/tests/nowhere"
    ):
        read_dataset_yaml(tmp_path / "data.yaml").locate("nowhere")


def test_download_is_ignored_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    canary = tmp_path / "canary"
    with caplog.at_level(logging.WARNING):
        read_dataset_yaml(_write(tmp_path, GOOD + f"download: |\n  open({str(canary)!r}, 'w')\n"))
    assert "nothing is ever downloaded" in caplog.text
    assert not canary.exists()


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(
    f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]\n"
    for x, y in zip("bcdefghij", "cdefghijk", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: a\nval: b\n", "no `names:`"),
        (GOOD + "nc: 3\n", "nc: 3, but names lists 2"),
        ("names: {1: cat, 2: dog}\n", "must be 0 to 1"),
        ("names: {a: cat}\n", "must be 0 to 0"),
        ("names: [yes, no]\n", "class 0 is True to YAML; put the name in quotes"),
        ("names: [cat, ]\ntrain: 3\n", "train: 3 is not a path"),
        ("names: [cat]\ntrain: {folder: a}\n", "train: a dict is not a path"),
        ("names: [cat]\npath: [a]\n", "path: a list is no path"),
        ("names: [cat]\nformat: csv\n", "format: 'csv' is unknown; use yolo, voc, coco"),
        ("names: [cat]\ndefaults: 320\n", "defaults: 320 is not a mapping"),
        (LAUGHS + "names: *k\n", "stands for more than 250,000 values"),
        ("names: [[cat]]\n", "class 0 is a list to YAML"),
        ("names: [cat]\ntrain: [[a]]\n", "train: a list is not a path"),
        ("names: cat\n", "names: 'cat' is no list"),
        ("names:\n", "no `names:`"),
        ("names: {}\nnc: 2\n", "no `names:`"),
        ("names: {0: a, '0': b}\n", "must be 0 to 1, each once"),
        ("names: {true: a}\n", "must be 0 to 0"),
        ("names: [2020-01-01]\n", "class 0 is a date to YAML; put the name in quotes"),
        ("names: [cat]\nnc: true\n", "nc: True, but names lists 1"),
        ("names: [cat]\npath: ~nosuchuser/x\n", "there is no such user"),
        ("names: [cat]\ngenerate: [a]\n", "generate: a list is not text"),
    ],
)
def test_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = _write(tmp_path, text)
    with pytest.raises(UserError, match=message) as caught:
        read_dataset_yaml(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_folder_or_nothing_for_a_yaml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="takes a dataset YAML"):
        read_dataset_yaml(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_dataset_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="no `test:`"):
        read_dataset_yaml(_write(tmp_path, GOOD)).sources("test")


@pytest.mark.parametrize(
    ("name", "classes"), [("coco128", 80), ("coco", 80), ("VOC", 20), ("bccd", 3)]
)
def test_shipped_yamls(
    name: str, classes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    info = read_dataset_yaml(f"{name}.yaml")
    assert len(set(info.names.values())) == classes
    assert info.bases[0].parent == Path(os.path.normpath(ROOT / ".." / "datasets"))
    assert info.train
    assert info.val


@pytest.mark.parametrize("text", [
    "names: {'1': dog, '0': cat}\nnc: '2'\n",
    "names: {0: cat, '1': dog}\nnc:\n",
])  # fmt: skip
def test_quoted_class_numbers_are_numbers(tmp_path: Path, text: str) -> None:
    assert read_dataset_yaml(_write(tmp_path, text)).names == {0: "cat", 1: "dog"}


def test_a_yaml_with_nc_alone_gets_numbered_names_and_a_line(tmp_path: Path, caplog) -> None:
    assert read_dataset_yaml(_write(tmp_path, "nc: 2\n")).names == {0: "class_0", 1: "class_1"}
    assert "the classes are class_0 to class_1" in caplog.text


@pytest.mark.parametrize("key", ["valid", "validation"])
def test_a_validation_split_under_another_key_is_taken_with_a_line(tmp_path, caplog, key) -> None:
    info = read_dataset_yaml(_write(tmp_path, f"train: a\n{key}: b\nnames: [cat]\n"))
    assert [source.images for source in info.sources("val")] == ["b"]
    assert f"`{key}:` is taken for `val:`" in caplog.text


def test_backslashes_of_windows_are_read_and_a_drive_is_named(tmp_path: Path) -> None:
    (tmp_path / "set/images/val").mkdir(parents=True)
    text = "path: .\\set\ntrain: ..\\images\\val\nval: C:\\set\\images\nnames: [cat]\n"
    info = read_dataset_yaml(_write(tmp_path, text))
    assert info.locate(info.sources("train")[0].images) == tmp_path / "set/images/val"
    with pytest.raises(UserError, match="is a path of Windows"):
        info.locate(info.sources("val")[0].images)


def test_a_yaml_is_parsed_once_and_again_when_its_content_changes(tmp_path, monkeypatch) -> None:
    parsed = []
    parse = dataset_yaml.parse_yaml
    monkeypatch.setattr(
        dataset_yaml, "parse_yaml", lambda *given: parsed.append(given) or parse(*given)
    )
    path = _write(tmp_path, "names: [cat]\ndefaults: {imgsz: 64, v8: {epochs: 2}}\n")
    first = read_dataset_yaml(path)
    first.names[0] = "dog"
    first.suggested["v8"]["epochs"] = 3
    assert read_dataset_yaml(path).names == {0: "cat"}
    assert read_dataset_yaml(path).suggested == {"imgsz": 64, "v8": {"epochs": 2}}
    assert len(parsed) == 1
    status = path.stat()
    path.write_text("names: [cow]\ndefaults: {imgsz: 64, v8: {epochs: 2}}\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size and time
    assert read_dataset_yaml(path).names == {0: "cow"}
    assert len(parsed) == 2
