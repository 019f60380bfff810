"""data/index.py with listing, scan, cache and report: from files on a disk to packed arrays, and
every way to fail.
"""

from __future__ import annotations

import csv
import gzip
import json
import pickle
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.index import DatasetIndex
from data.report import DROPPED, KEPT_AS_IS, LEFT_OUT
from data.sample import Sample
from data.scanning.load import load_dataset
from utils.errors import UserError

GOLDEN: dict[str, Any] = json.loads(
    gzip.decompress(
        (Path(__file__).parent.parent / "golden" / "yolov5" / "dataset.json.gz").read_bytes()
    )
)
GOOD_ROW = "0 .5 .5 .2 .2\n"


def test_counts_order_and_boxes(make: Callable[..., Path]) -> None:
    index = load_dataset(
        make({"b": GOOD_ROW, "a": "1 .5 .5 .5 .5\n0 .25 .25 .5 .5\n", "c": None, "d": ""}), "train"
    )
    assert [Path(sample.path).stem for sample in index] == ["a", "b", "c", "d"]
    assert index[0].size == (40, 60)
    np.testing.assert_allclose(index[0].boxes, [[15, 10, 45, 30], [0, 0, 30, 20]])
    assert index[0].classes.tolist() == [1, 0]
    assert [len(sample.classes) for sample in index] == [2, 1, 0, 0]
    report = index.report
    assert (report.total, report.found, report.missing, report.empty, report.corrupt) == (
        4,
        3,
        1,
        1,
        0,
    )
    assert index[-1].path == index[3].path
    with pytest.raises(IndexError):
        index[4]


@pytest.mark.parametrize(
    "name", [name for name, case in GOLDEN["label_checks"].items() if "text" in case]
)
def test_golden_label_checks_end_in_the_index(make: Callable[..., Path], name: str) -> None:
    case = GOLDEN["label_checks"][name]
    if name == "over1":  # 1.01, which YOLOv5 refuses and Ultralytics tolerates
        case = {**case, "kept": True, "corrupt": 0, "labels": [[0, 0.5, 1, 0.2, 0.2]], "nseg": 0}
    index = load_dataset(
        make({"other": GOOD_ROW, "x": case["text"]}, names=[f"c{n}" for n in range(100)]), "train"
    )
    report = index.report
    assert (report.found, report.missing, report.empty, report.corrupt) == (
        1 + case["found"], case["missing"], case["empty"], case["corrupt"]
    )  # fmt: skip
    assert len(index) == 1 + case["kept"]
    if case["kept"]:
        sample = index[1]
        centres, sides = (
            (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2,
            sample.boxes[:, 2:] - sample.boxes[:, :2],
        )
        labels = np.concatenate(
            (sample.classes[:, None], centres / [60, 40], sides / [60, 40]), axis=1
        )
        golden = np.array(case["labels"]).reshape(-1, 5)
        golden[:, 0] = np.floor(golden[:, 0])
        np.testing.assert_allclose(labels, golden, atol=1e-6)
        assert len(sample.segments) == case["nseg"]
    noted = ("frac_class", "zero_wh", "segment_mixed_box")  # YOLOv5 keeps them without a word
    assert bool(report.entries) == bool(case["msg"] or name in noted)


def test_golden_counters_of_a_folder(make: Callable[..., Path]) -> None:
    labels: dict[str, str | None] = {f"{number:02}": GOOD_ROW for number in range(10)}
    report = load_dataset(make({**labels, "08": None, "00": "", "04": ""}), "train").report
    counters = [report.found, report.missing, report.empty, report.corrupt, report.total]
    assert counters == GOLDEN["cache"]["results"]


def test_each_wrong_file_is_named_and_the_rest_goes_on(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    yaml = make(
        {
            "a": GOOD_ROW,
            "b": GOOD_ROW + "0 2 .5 .2 .2\n",
            "c": GOOD_ROW + GOOD_ROW,
            "d": GOOD_ROW,
            "e": "0 .5 .5 0 0\n",
        }
    )
    images = tmp_path / "set" / "images" / "train"
    (images / "d.png").write_bytes((images / "d.png").read_bytes()[:60])
    (images / "empty.jpg").touch()
    (images / "film.gif").write_bytes(b"GIF89a")
    (images / "notes.md").touch()
    before = {path: path.read_bytes() for path in (tmp_path / "set").rglob("*") if path.is_file()}
    report = load_dataset(yaml, "train").report
    seen = [(Path(entry.file).name, entry.row, entry.action) for entry in report.entries]
    assert sorted(seen) == [
        ("b.png", 2, LEFT_OUT),
        ("c.txt", 2, DROPPED),
        ("d.png", 0, LEFT_OUT),
        ("e.txt", 1, KEPT_AS_IS),
        ("empty.jpg", 0, LEFT_OUT),
        ("film.gif", 0, LEFT_OUT),
    ]
    assert report.corrupt == 4
    assert report.notes == (
        "files in the image folders that are no images, left out: 1 (notes.md)",
    )
    assert report.rows_dropped == 1
    table = report.table()
    assert "value above 1" in table
    assert "empty.jpg" in table
    report.write(tmp_path / "report.csv")
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert "x 2; give shares" in next(
        row["reason"] for row in rows if row["row"] == "2" and row["file"].endswith("b.png")
    )
    assert before == {
        path: path.read_bytes() for path in (tmp_path / "set").rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": "images/none"}, r"images/none does not exist .looked at .*/set/images/none"),
        ({"train": "labels"}, "labels holds no images"),
        ({"train": "set.zip"}, "neither a folder nor a .txt list; unpack it first"),
        ({"train": None}, "no `train:`; add"),
        ({"generate": "circles"}, "generate: circles is unknown"),
    ],
)
def test_nothing_to_work_with(
    make: Callable[..., Path], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    yaml = make({"a": GOOD_ROW}, **change)
    (tmp_path / "set" / "set.zip").touch()
    with pytest.raises(UserError, match=message):
        load_dataset(yaml, "train")


def test_class_beyond_names_is_one_line_with_all_that_is_needed(make: Callable[..., Path]) -> None:
    yaml = make({"a": GOOD_ROW, "b": GOOD_ROW + "\n2 .5 .5 .1 .1\n"})
    with pytest.raises(
        UserError, match=r"train/b.txt: row 3: class 2, but .*yaml lists 2 names .0 to 1.; correct"
    ) as caught:
        load_dataset(yaml, "train")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="row 3: class 2"):
        load_dataset(yaml, "train")  # from the cache now
    index = load_dataset(yaml, "train", single_cls=True)
    assert index.names == {0: "item"}
    assert index.classes.tolist() == [0, 0, 0]


def test_no_label_file_at_all_names_the_rule(make: Callable[..., Path]) -> None:
    with pytest.raises(
        UserError,
        match=(
            r"none of 2 .* a label file; .*/images/ .*/labels/.* e\.g\. .*set/labels/train/a\.txt"
        ),
    ):
        load_dataset(make({"a": None, "b": None}), "train")
    with pytest.raises(
        UserError, match=r"none of 1 images can be used; the first, .*label: value is NaN"
    ):
        load_dataset(
            make({"a": "0 nan 0 0 0"}, train="images/train/only.txt", path=_list_of(make)), "train"
        )


def _list_of(make: Callable[..., Path]) -> str:
    root = make({"a": "0 nan 0 0 0"}).parent / "set"
    (root / "images" / "train" / "only.txt").write_text("./a.png\n")
    return str(root)


def test_subset_and_round_trip_through_pickle(make: Callable[..., Path]) -> None:
    polygon = "1 .1 .1 .4 .1 .4 .5\n"
    index = load_dataset(
        make({"a": GOOD_ROW, "b": polygon + polygon.replace("1", "0"), "c": None}), "train"
    )
    part = pickle.loads(pickle.dumps(index.subset([2, 1, 1])))
    assert [Path(sample.path).stem for sample in part] == ["c", "b", "b"]
    for ours, theirs in zip(part[1].segments, index[1].segments, strict=True):
        assert np.array_equal(ours, theirs)
    assert index[0].segments == ()
    assert np.array_equal(part.boxes[2:], index[1].boxes)
    assert part.digest != index.digest
    assert index.subset(range(3)).digest == index.digest


def test_small_objects_are_noted(make: Callable[..., Path]) -> None:
    index = load_dataset(make({"a": GOOD_ROW + "0 .5 .5 .01 .5\n"}), "train", imgsz_hint=64)
    assert "1 of 2 objects with a side below 3 pixels at --imgsz 64" in index.report.table()


def test_a_hundred_thousand_images_cost_tens_of_megabytes() -> None:
    boxes, classes = np.ones((7, 4), np.float32), np.zeros(7, np.int64)
    samples = [
        Sample(f"/data/coco/images/train2017/{n:012}.jpg", (480, 640), boxes, classes)
        for n in range(100_000)
    ]
    tracemalloc.start()
    index = DatasetIndex.pack(samples, {0: "cat"})
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 40e6
    start = time.perf_counter()
    data = pickle.dumps(index)
    assert pickle.loads(data)[99_999].path == samples[-1].path
    assert time.perf_counter() - start < 1
    assert len(data) < 40e6


def test_shapes_are_made_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import data.synthetic.shapes

    made = []
    monkeypatch.setattr(data.synthetic.shapes, "generate", made.append)
    (tmp_path / "s.yaml").write_text(
        f"path: {tmp_path}/shapes\ngenerate: shapes\ntrain: images\nval: images\nnames: [disc]\n"
    )
    with pytest.raises(UserError, match="does not exist"):
        load_dataset(tmp_path / "s.yaml", "train")
    assert made == [tmp_path / "shapes"]


def _sample(number: int) -> Sample:
    """An image with number % 3 boxes and polygons, and in every other one an ignored object."""
    count = number % 3
    boxes = np.arange(4 * count, dtype=np.float32).reshape(-1, 4) + number
    polygons = tuple(np.full((3 + at, 2), number, np.float32) for at in range(count))
    ignored = np.full((number % 2, 6), number, np.float32)
    return Sample(
        f"/ä{number}.jpg", (number + 1, 9), boxes, np.arange(count), polygons[::-1], ignored
    )


@pytest.mark.parametrize("cuts", [[], [1], [0, 3, 3, 8], [2, 5]])
def test_parts_join_to_the_index_of_all(cuts: list[int]) -> None:
    samples = [_sample(number) for number in range(8)]
    whole = DatasetIndex.pack(samples, {0: "a"})
    parts = [DatasetIndex.pack(part.tolist(), {}) for part in np.split(_objects(samples), cuts)]
    joined = DatasetIndex.join(parts, {0: "a"}, whole.report)
    joined.check()
    assert joined.digest == whole.digest
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(joined.arrays()[name], array, strict=True)
    assert len(whole.ignored) == 4
    assert len(DatasetIndex.join([], {}, whole.report)) == 0


def _objects(samples: list[Sample]) -> np.ndarray:
    """The samples as an array of objects, which numpy can split."""
    array = np.empty(len(samples), object)
    array[:] = samples
    return array
