"""val.py as a command: flags, choices made for the user, files, tasks, mistakes in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import val
from engine.evaluation.tasks import STUDY_SIZES, eval_settings, task_labels
from models.graph.load import load_graph
from models.yolo import DetectionModel
from tests.tiny import lively, write_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError
from utils.families import V5
from utils.files import ROOT, save_yaml
from utils.structures import Metrics
from utils.yaml_file import load_yaml


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images with a square each, two classes, as a YOLO data set."""
    root = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for number in range(6):
        for kind in ("images", "labels"):
            (root / kind / "val").mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 255, (60, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(root / "images" / "val" / f"{number}.png"), image)
        (root / "labels" / "val" / f"{number}.txt").write_text(f"{number % 2} 0.5 0.5 0.4 0.5\n")
    names = {0: "red", 1: "green"}
    save_yaml(
        root / "set.yaml",
        {
            "path": str(root),
            "train": "images/val",
            "val": "images/val",
            "names": names,
            "defaults": {"imgsz": 96},
        },
    )
    return root / "set.yaml"


@pytest.fixture(scope="module")
def weights(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained yolov5n as a checkpoint that remembers its data set."""
    names = {0: "red", 1: "green"}
    model = DetectionModel(load_graph("yolov5n.yaml"), class_count=2, names=names)
    path = tmp_path_factory.mktemp("run") / "exp" / "weights" / "best.pt"
    path.parent.mkdir(parents=True)
    checkpoints.save(
        checkpoints.Checkpoint(model.graph, names, model.state_dict(), data=str(data)), path
    )
    return path


def test_val_needs_no_drawing_library_and_a_missing_checkpoint_is_one_line() -> None:
    """In one process, since its start takes seconds: what the import loads, then the program."""
    heavy = ("matplotlib", "cv2", "pandas", "faster_coco_eval")
    code = (
        f"import runpy, sys, val; print([name for name in {heavy} if name in sys.modules])\n"
        "sys.argv = ['val.py', '--weights', 'missing.pt', '--device', 'cpu']\n"
        "runpy.run_path('val.py', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == "[]"
    assert done.stderr.count("\n") == 1
    assert "missing.pt" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--dnn",), "ONNX Runtime runs .onnx files"),
        (("--imgsz", "8"), "--imgsz=8"),
        (("--iou", "1.5"), "--iou-thres=1.5"),
        (("--batch-size", "0"), "--batch-size=0"),
        (("--task", "valid"), "--task"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_wrong_flags(data: Path, flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        val.main(["--weights", "x.yaml", "--data", str(data), *flags])


def test_every_flag_of_yolov5_is_known() -> None:
    line = (
        "--data x --weights a b --batch-size 1 --imgsz 64 --img 64 --img-size 64 --conf-thres .1"
        " --iou-thres .1 --max-det 9 --task test --device cpu --workers 1 --single-cls --augment"
        " --verbose --save-txt --save-hybrid --save-conf --save-json --project p --name n"
        " --exist-ok --half"
    )
    given = val.VAL_LINE.read(line.split())
    config = val.build(val.ValConfig, given)
    assert config.weights == ("a", "b")
    assert (config.imgsz, config.conf_thres, config.task, config.save_hybrid) == (
        64,
        0.1,
        "test",
        True,
    )


def test_val_writes_the_requested_files(
    data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--weights",
        str(weights),
        "--project",
        str(tmp_path),
        "--device",
        "cpu",
        "--workers",
        "0",
        "--batch",
        "4",
    ]
    metrics = val.main(
        [*flags, "--save-txt", "--save-conf", "--save-json", "--conf-thres", "0.0001"]
    )
    assert (metrics.images, metrics.instances) == (6, 6)
    assert {
        "confusion_matrix.png",
        "PR_curve.png",
        "val_batch0_pred.jpg",
        "val_batch1_labels.jpg",
        "labels",
        "best_predictions.json",
    } <= {file.name for file in (tmp_path / "exp").iterdir()}
    said = capsys.readouterr().out
    assert f"--data not given: taking {data}" in said
    assert "--imgsz not given: taking 96" in said
    assert "AP by size" in said
    assert "ms inference" in said
    assert f"Results saved to {tmp_path / 'exp'}" in said
    val.main([*flags, "--noplots", "--augment", "--single-cls"])
    assert (tmp_path / "exp2").is_dir()


def test_an_ensemble_pools_the_boxes(data: Path, weights: Path, tmp_path: Path) -> None:
    flags = [
        "--data",
        str(data),
        "--project",
        str(tmp_path),
        "--device",
        "cpu",
        "--workers",
        "0",
        "--noplots",
    ]
    alone = val.main([*flags, "--weights", str(weights)])
    twice = val.main([*flags, "--weights", str(weights), str(weights)])
    assert twice.map == pytest.approx(alone.map, abs=1e-6)  # suppression removes every doubled box


def test_speed_measures_square_images(data: Path, weights: Path, tmp_path: Path) -> None:
    flags = [
        "--task",
        "speed",
        "--project",
        str(tmp_path),
        "--device",
        "cpu",
        "--workers",
        "0",
        "--imgsz",
        "64",
    ]
    results = val.main([*flags, "--data", str(data), "--weights", str(weights)])
    assert results["best"].details.input_shape[2:] == (64, 64)


def test_study_keeps_a_row_for_each_size(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(STUDY_SIZES) == [256, 384, 512, 640, 768, 896, 1024, 1152, 1280, 1408, 1536]
    monkeypatch.setattr(val, "STUDY_SIZES", range(64, 128 + 1, 64))
    val.main(["--task", "study", "--project", str(tmp_path), "--device", "cpu", "--workers", "0",
              "--data", str(data), "--weights", str(weights)])  # fmt: skip
    table = np.loadtxt(tmp_path / "exp" / "study_set_best.txt")
    assert table.shape == (2, 10)  # P, R, mAP50, mAP50-95, three losses, three times
    assert (table[:, 7:] > 0).all()
    assert cv2.imread(str(tmp_path / "exp" / "study.png")).shape[0] > 400


def test_a_checkpoint_without_anchors_takes_the_suggestions_for_its_family(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "v8"
    folder.mkdir()
    model = DetectionModel(load_graph("yolov8n.yaml"), class_count=2, names={0: "red", 1: "green"})
    checkpoints.save(
        checkpoints.Checkpoint(model.graph, model.names, model.state_dict()), folder / "best.pt"
    )
    suggesting = tmp_path / "suggesting.yaml"
    suggesting.write_text(data.read_text().replace("imgsz: 96", "imgsz: 96\n  v8: {imgsz: 64}"))
    given = {"weights": (str(folder / "best.pt"),), "data": str(suggesting)}
    config = val.complete(dict(given))
    assert (config.imgsz, config.protocol) == (64, "yolov5")
    assert eval_settings(config).suppression(model.family).iou == 0.7
    assert (
        eval_settings(val.complete({**given, "iou_thres": 0.5})).suppression(model.family).iou
        == 0.5
    )
    flags = [
        "--weights",
        *given["weights"],
        "--data",
        str(suggesting),
        "--project",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    metrics = val.main(
        [*flags, "--workers", "0", "--noplots", "--protocol", "yolov8", "--save-hybrid"]
    )
    assert metrics.map == metrics.fitness > 0.9  # hybrid labels are always found
    assert "by YOLOv8's protocol" in capsys.readouterr().out


def test_the_usual_overlap_with_anchors_is_yolov5s(weights: Path, data: Path) -> None:
    config = val.complete({"weights": (str(weights),), "data": str(data)})
    assert config.imgsz == 96
    assert eval_settings(config).suppression(V5).iou == 0.6


def test_other_classes_than_the_checkpoints_are_refused(
    weights: Path, data: Path, tmp_path: Path
) -> None:
    content = {
        "path": str(data.parent),
        "train": "images/val",
        "val": "images/val",
        "names": ["a", "b", "c"],
    }
    save_yaml(tmp_path / "three.yaml", content)
    with pytest.raises(UserError, match="3 classes"):
        val.main(
            ["--weights", str(weights), "--data", str(tmp_path / "three.yaml"), "--device", "cpu"]
        )
    assert not (tmp_path / "runs").exists()


def test_labels_of_tasks_distinguish_runs() -> None:
    assert task_labels(["a/n.pt", "b/s.pt"]) == ["n", "s"]
    assert task_labels(["r/exp/weights/best.pt", "r/exp2/weights/best.pt"]) == [
        "exp_best",
        "exp2_best",
    ]


def test_an_inserted_identity_scores_the_same(
    data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """mAP and every written box equal the plain checkpoint's; without identity the boxes differ."""
    flags = [
        "--weights",
        str(weights),
        "--data",
        str(data),
        "--device",
        "cpu",
        "--workers",
        "0",
        "--imgsz",
        "96",
        "--noplots",
        "--save-txt",
        "--save-conf",
        "--project",
        str(tmp_path),
    ]
    texts = []
    places = ["--attention", "SE@neck+backbone.P4", "CBAM@inside C3"]
    for name, more in (
        ("plain", []),
        ("same", [*places, "--attention-init", "identity"]),
        ("new", places),
    ):
        metrics = val.main([*flags, "--name", name, *more])
        files = sorted((tmp_path / name / "labels").glob("*.txt"))
        texts.append((metrics.map50, metrics.map, [file.read_text() for file in files]))
    assert texts[0][2]
    assert texts[0] == texts[1]
    assert texts[2] != texts[0]


def test_attention_init_alone_is_refused(data: Path, weights: Path) -> None:
    with pytest.raises(UserError, match="--attention-init identity: needs --attention, whose"):
        val.main(["--weights", str(weights), "--data", str(data), "--attention-init", "identity"])


def other_names(data: Path, folder: Path, names: list[str], swap: bool = False) -> Path:
    """A copy of a data set under other class names, with the numbers 0 and 1 of labels swapped."""
    content = load_yaml(data)
    shutil.copytree(content["path"], folder / "set")
    for file in (folder / "set/labels/val").glob("*.txt") if swap else ():
        number, *box = file.read_text().split(" ")
        file.write_text(" ".join([str(1 - int(number)), *box]))
    path = folder / "other.yaml"
    save_yaml(path, {**content, "path": str(folder / "set"), "names": names})
    return path


@pytest.fixture(scope="module")
def lively_weights(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that finds something in every image, both classes with other scores."""
    folder = tmp_path_factory.mktemp("lively")
    names = {0: "red", 1: "green"}
    model = lively(write_graph(folder), names)
    path = folder / "best.pt"
    checkpoints.save(
        checkpoints.Checkpoint(model.graph, names, model.state_dict(), data=str(data)), path
    )
    return path


def score(weights: Path, data: Path, folder: Path) -> Metrics:
    flags = ["--weights", str(weights), "--data", str(data), "--project", str(folder)]
    found = val.main([*flags, "--device", "cpu", "--workers", "0", "--noplots"])
    assert isinstance(found, Metrics)
    return found


def test_a_data_set_with_the_classes_in_another_order_scores_the_same(
    data: Path, lively_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = score(lively_weights, data, tmp_path)
    other = other_names(data, tmp_path, ["Green", "red"], swap=True)
    found = score(lively_weights, other, tmp_path)
    note = f"{other} has the classes of {lively_weights} in another order; they match by name"
    assert known.notes == ()
    assert found.notes == (note,)
    assert f"note: {note}" in capsys.readouterr().out
    by_name = [{row.name.lower(): (row.instances, row.ap50, row.ap) for row in one.classes}
               for one in (known, found)]  # fmt: skip
    assert by_name[0] == by_name[1]
    assert by_name[0]["red"] != by_name[0]["green"]


def test_renamed_classes_are_scored_by_number_with_a_note(
    data: Path, lively_weights: Path, tmp_path: Path
) -> None:
    other = other_names(data, tmp_path, ["red", "blue"])
    (note,) = score(lively_weights, other, tmp_path).notes
    assert note.startswith("1 of 2 class names differ, such as class 1: blue in")


def test_a_class_under_another_number_is_refused(
    data: Path, lively_weights: Path, tmp_path: Path
) -> None:
    other = other_names(data, tmp_path, ["green", "blue"])
    with pytest.raises(UserError, match="class 0 is green, which is class 1 in"):
        score(lively_weights, other, tmp_path)


def test_a_background_set_is_scored_and_its_notes_stand_at_the_end_and_in_metrics_json(
    data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = data.parent / "images" / "val"
    (tmp_path / "images").mkdir()
    for number in (0, 1):
        shutil.copy(images / f"{number}.png", tmp_path / "images" / f"no_{number}.png")
    content = {"path": str(tmp_path), "train": "images", "val": "images", "names": ["red", "green"]}
    save_yaml(tmp_path / "d.yaml", content)
    flags = ["--img", "64", "--device", "cpu", "--workers", "0", "--noplots", "--save-json"]
    flags += ["--conf-thres", "0.002", "--project", str(tmp_path / "out")]
    metrics = val.main(["--weights", str(weights), "--data", str(tmp_path / "d.yaml"), *flags])
    assert isinstance(metrics, Metrics)
    assert (metrics.map, metrics.instances) == (0, 0)
    said = capsys.readouterr().out
    assert "val: none of 2 images has a label file, so all count as background" in said
    notes = [line.removeprefix("note: ") for line in said.splitlines() if line.startswith("note: ")]
    content = json.loads((tmp_path / "out" / "exp" / "metrics.json").read_text())
    assert content["notes"] == notes == list(metrics.notes)
    for part in ("no label file was found", "is above 0.001", "no object is labelled"):
        assert any(part in note for note in notes)
    assert any("image_id is a text" in note for note in notes)
    assert said.splitlines()[-1].startswith("Results saved to")


def test_a_coco_json_set_is_scored_from_the_file_that_is_written(
    data: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(data.parent / "images" / "val" / "0.png", tmp_path / "front.png")
    box = {"id": 1, "image_id": 41, "category_id": 7, "bbox": [10, 10, 30, 30], "area": 5}
    (tmp_path / "x.json").write_text(
        json.dumps(
            {
                "images": [{"id": 41, "file_name": "front.png"}],
                "categories": [{"id": 7, "name": "green"}],
                "annotations": [{**box, "iscrowd": 0}],
            }
        )
    )
    content = {"path": str(tmp_path), "train": "x.json", "val": "x.json", "names": ["red", "green"]}
    save_yaml(tmp_path / "d.yaml", content)
    flags = ["--img", "64", "--device", "cpu", "--workers", "0", "--noplots", "--save-json"]
    flags += ["--weights", str(weights), "--project", str(tmp_path / "out"), "--conf", "0.00001"]
    metrics = val.main(["--data", str(tmp_path / "d.yaml"), *flags])
    assert isinstance(metrics, Metrics)
    results = json.loads((tmp_path / "out" / "exp" / "best_predictions.json").read_text())
    assert {(row["image_id"], row["category_id"]) for row in results} == {(41, 7)}
    assert metrics.ap_small >= 0, "the area of the JSON file makes the object small"
    assert np.isnan(metrics.ap_medium)
    assert any(
        note.endswith("no category of the data set's JSON file: red") for note in metrics.notes
    )
    assert "COCO's protocol on" in capsys.readouterr().out
