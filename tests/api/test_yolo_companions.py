"""Programs that users of Ultralytics have beside it, as far as they are installed."""

from __future__ import annotations

import importlib.util
import re
import runpy
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import yaml

from api.callbacks import MOMENTS
from api.results import Results
from api.yolo import YOLO
from engine.tuning.space import Range, usual_ranges
from tests.api.conftest import NAMES
from utils.families import V5, V8
from utils.files import ROOT


def example(name: str) -> ModuleType:
    """A file of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def result(weights: Path) -> Results:
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    results = YOLO(weights).predict(image, conf=0.1, max_det=5, device="cpu", verbose=False)
    assert isinstance(results, list)
    assert len(results[0])
    return results[0]


def test_supervision_reads_and_draws_results(result: Results) -> None:
    sv = pytest.importorskip("supervision")
    found = sv.Detections.from_ultralytics(result)
    assert np.allclose(found.xyxy, result.boxes.xyxy)
    assert np.allclose(found.confidence, result.boxes.conf)
    names = [NAMES[int(number)] for number in result.boxes.cls.tolist()]
    assert found.data["class_name"].tolist() == names
    drawn = sv.BoxAnnotator().annotate(result.orig_img.copy(), found)
    drawn = sv.LabelAnnotator().annotate(drawn, found, labels=names)
    assert (drawn != result.orig_img).any()
    assert sv.Detections.from_ultralytics(result[:0]).is_empty()


@pytest.mark.filterwarnings("ignore")  # supervision's, that its tracker will move
def test_supervisions_tracker_follows_detections(result: Results) -> None:
    sv = pytest.importorskip("supervision")
    if not hasattr(sv, "ByteTrack"):
        pytest.skip("this supervision has no ByteTrack")
    tracker = sv.ByteTrack(track_activation_threshold=0.05)
    one = sv.Detections.from_ultralytics(result[:1])
    numbers = [tracker.update_with_detections(one).tracker_id.tolist() for _ in range(4)]
    assert numbers[-1] == numbers[-2] == numbers[-3]
    assert len(numbers[-1]) == 1


def test_a_tracker_follows_detections(result: Results) -> None:
    sv = pytest.importorskip("supervision")
    trackers = pytest.importorskip("trackers")  # supervision's own ByteTrack has moved there
    tracker = trackers.ByteTrackTracker(
        minimum_consecutive_frames=1,
        track_activation_threshold=0.0,
        high_conf_det_threshold=0.0,
    )
    one = sv.Detections.from_ultralytics(result[:1])
    numbers = [tracker.update(one).tracker_id.tolist() for _ in range(4)]
    assert numbers[-1] == numbers[-2] != [-1]


def test_sahi_predicts_in_slices(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("sahi")
    sliced = example("sahi_slices")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((96, 160, 3), 90, np.uint8))
    model = sliced.SlicedModel(
        model=YOLO(weights), device="cpu", confidence_threshold=0.1, image_size=64
    )
    found = sliced.get_sliced_prediction(
        str(tmp_path / "a.png"), model, slice_height=64, slice_width=64, verbose=0
    ).object_prediction_list
    assert found
    assert {one.category.name for one in found} <= set(NAMES.values())
    assert max(one.bbox.maxx for one in found) > 64  # beyond the first slice


QUICK = {"imgsz": 64, "batch": 4, "device": "cpu", "workers": 0, "plots": False, "project": "p"}


@pytest.mark.slow
def test_mlflow_has_parameters_scores_and_the_checkpoint(
    graph: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    used = example("callbacks_mlflow")
    functions = [used.on_train_start, used.on_fit_epoch_end, used.on_train_end]
    model = YOLO(graph)
    model.train(data=folder / "data.yaml", epochs=2, callbacks=functions, **QUICK)
    (run,) = mlflow.search_runs(output_format="list", search_all_experiments=True)
    assert (run.info.status, run.data.params["imgsz"]) == ("FINISHED", "64")
    assert model.trainer is not None
    assert run.data.metrics["metrics/mAP50_B_"] == model.trainer.metrics["metrics/mAP50(B)"]
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train/box_loss")
    assert [one.step for one in history] == [0, 1]
    (kept,) = mlflow.MlflowClient().list_artifacts(run.info.run_id)
    assert kept.path == "best.pt"


@pytest.mark.slow
def test_optuna_prunes_a_trial(graph: Path, folder: Path) -> None:
    pytest.importorskip("optuna")
    import optuna

    class FromTheSecond(optuna.pruners.BasePruner):
        def prune(self, study: object, trial: optuna.trial.FrozenTrial) -> bool:
            return trial.number == 1 and trial.last_step == 1

    used = example("callbacks_optuna")
    study = optuna.create_study(direction="maximize", pruner=FromTheSecond())
    options = {**QUICK, "epochs": 3}
    study.optimize(lambda trial: used.train_trial(trial, graph, folder / "data.yaml", **options), 2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED"]
    assert [len(trial.intermediate_values) for trial in study.trials] == [3, 2]


BLOCKS = re.findall(
    r"^```python\n(.*?)^```",
    (ROOT / "docs/companions.md").read_text(encoding="utf-8"),
    flags=re.M | re.S,
)
PACKAGES = ("supervision", "trackers", "optuna")


def write_street(folder: Path) -> None:
    """The image and the video that the document speaks of."""
    frames = np.random.default_rng(0).integers(0, 255, (4, 96, 128, 3), np.uint8)
    cv2.imwrite(str(folder / "street.jpg"), frames[0])
    video = cv2.VideoWriter(
        str(folder / "street.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5, (128, 96)
    )
    for frame in frames:
        video.write(frame)
    video.release()


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["anchors"], indirect=True)
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_document_runs(
    number: int, weights: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = BLOCKS[number]
    for package in PACKAGES:
        if package in block or (package == "optuna" and ".tune(" in block):
            pytest.importorskip(package)
    weights.rename("best.pt")
    write_street(Path())
    quick = {"imgsz": 64, "batch_size": 4, "workers": 0, "device": "cpu", "noplots": True}
    content = yaml.safe_load((folder / "data.yaml").read_text())
    Path("my.yaml").write_text(yaml.safe_dump({**content, "path": str(folder), "defaults": quick}))
    Path("block.py").write_text(block)
    runpy.run_path("block.py")
    assert "error" not in capsys.readouterr().err


def test_the_document_names_every_moment() -> None:
    text = (ROOT / "docs/companions.md").read_text(encoding="utf-8")
    assert len(BLOCKS) == 5
    assert [moment for moment in MOMENTS if f"`{moment}`" not in text] == []


def test_the_document_has_the_usual_ranges() -> None:
    text = (ROOT / "docs/companions.md").read_text(encoding="utf-8")
    columns = (usual_ranges(V5, "SGD"), usual_ranges(V8, "AdamW"))
    names = list(dict.fromkeys([*columns[0], *columns[1]]))
    rows = [
        f"| {name} | {' | '.join(in_words(ranges.get(name)) for ranges in columns)} |"
        for name in names
    ]
    assert "\n".join(rows) in text


def in_words(one: Range | None) -> str:
    return "" if one is None else f"{one.low:g} to {one.high:g}{', log' if one.is_log else ''}"
