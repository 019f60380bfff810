"""Whole runs in miniature: files, exact resume, signals, refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import detect
import train
import val
from engine.training import ending, finish
from engine.training.run import Run, save_last
from tests.tiny import run_flags, write_data, write_free_graph, write_graph
from utils.checkpoint import previous_of, read
from utils.errors import UserError, run_main
from utils.files import read_results
from utils.structures import EvaluationDetails, Metrics
from utils.version import __version__
from utils.yaml_file import load_yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("material")
    return run_flags(write_graph(folder), write_data(folder), "--cache", "no")


@pytest.fixture(scope="module")
def free(material: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same with a graph without anchors."""
    return ["--cfg", str(write_free_graph(tmp_path_factory.mktemp("free"))), *material[2:]]


def run(material: list[str], folder: Path, *more: str) -> Path:
    train.main([*material, "--project", str(folder), "--name", "run", "--exist-ok", *more])
    return folder / "run"


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read(path).state


def test_a_run_leaves_what_yolov5_leaves(material: list[str], tmp_path: Path) -> None:
    folder = run(material, tmp_path, "--epochs", "2")
    expected = {
        "hyp.yaml",
        "opt.yaml",
        "results.csv",
        "results.png",
        "labels.jpg",
        "train_batch0.jpg",
        "weights",
        "val_batch0_pred.jpg",
        "confusion_matrix.png",
        "PR_curve.png",
        "timing.json",
        "curves.npz",
        "metrics.json",
    }
    assert expected <= set(os.listdir(folder))
    rows = read_results(folder / "results.csv")
    assert [row["epoch"] for row in rows] == [0, 1]
    assert rows[1]["train/box_loss"] > 0
    assert rows[1]["val/obj_loss"] > 0
    scores = json.loads((folder / "metrics.json").read_text())
    assert (scores["epochs"], scores["train_images"]) == (2, 10)
    assert scores["memory_mb"] > 50
    assert scores["average"]["updates"] > 0
    assert scores["average"]["start_share"] < 0.01
    assert scores["swapped"] == []
    assert max(row["metrics/mAP_0.5:0.95"] for row in rows) == pytest.approx(
        scores["map"], abs=0.01
    )
    assert [row["name"] for row in scores["classes"]] == ["bright", "dark"]
    for name in ("last.pt", "best.pt"):
        checkpoint = read(folder / "weights" / name)
        assert checkpoint.training is None
        assert checkpoint.names == {0: "bright", 1: "dark"}
        assert checkpoint.state["model.0.conv.weight"].dtype == torch.float16


def test_the_first_epoch_says_what_the_rest_takes_and_shows_predictions(
    material: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A sentence of the data set, where to look, and the time to come; the final scoring is left
    out here.
    """
    monkeypatch.setattr(train, "finish_run", lambda run, timing, seconds: None)
    data = tmp_path / "told.yaml"
    data.write_text(Path(material[3]).read_text() + "about: Squares, bright\n  and dark.\n")
    folder = run([*material[:3], str(data), *material[4:]], tmp_path, "--epochs", "3")
    said = capsys.readouterr().out
    assert "Squares, bright and dark.\n" in said
    assert f"Look into {folder}: labels.jpg and train_batch0.jpg" in said
    (line,) = [line for line in said.splitlines() if line.startswith("One epoch took")]
    assert re.fullmatch(r"One epoch took \d+ s; the other 2 take about .*s\.", line)
    assert (folder / "val_batch0_pred.jpg").exists()
    assert not (folder / "PR_curve.png").exists()
    quiet = run(material, tmp_path / "quiet", "--epochs", "1", "--noplots")
    said = capsys.readouterr().out
    assert "Look into" not in said
    assert "One epoch took" not in said
    assert not (quiet / "val_batch0_pred.jpg").exists()


def test_a_run_stopped_while_it_is_scored_is_not_finished(
    material: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resuming goes straight to the scoring; metrics.json appears last."""
    import signal

    whole = run(material, tmp_path / "a", "--epochs", "2", "--noplots")
    score = finish.from_checkpoint

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return score(*arguments, **options)

    monkeypatch.setattr(finish, "from_checkpoint", interrupted)
    with pytest.raises(SystemExit):
        run(material, tmp_path / "b", "--epochs", "2", "--noplots")
    folder = tmp_path / "b" / "run"
    assert not (folder / "metrics.json").exists()
    monkeypatch.undo()
    train.main(["--resume", str(folder / "weights" / "last.pt")])
    one, other = (json.loads((place / "metrics.json").read_text()) for place in (whole, folder))
    assert one["map"] == other["map"]
    assert one["epochs"] == other["epochs"] == 2
    assert all(torch.equal(value, weights(folder / "weights/best.pt")[key])
               for key, value in weights(whole / "weights/best.pt").items())  # fmt: skip


def test_a_run_without_anchors_is_validated_and_used_like_any_other(
    free: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(free, tmp_path, "--epochs", "2", "--protocol", "yolov8")
    said = capsys.readouterr().out
    assert said.count("optimizer auto: AdamW, lr0 0.001667") == 1
    written = load_yaml(folder / "opt.yaml")
    assert (written["optimizer"], written["version"]) == ("AdamW", __version__)
    hyp = load_yaml(folder / "hyp.yaml")
    assert (hyp["lr0"], hyp["momentum"], hyp["warmup_bias_lr"], hyp["box"]) == (
        0.001667,
        0.9,
        0,
        7.5,
    )
    rows = read_results(folder / "results.csv")
    assert rows[1]["train/dfl_loss"] > 0
    assert rows[1]["val/dfl_loss"] > 0
    assert "train/obj_loss" not in rows[1]
    best = folder / "weights" / "best.pt"
    assert read(best).graph["scale"] == "n"
    place = ("--project", str(tmp_path), "--device", "cpu", "--imgsz", "64")
    metrics = val.main(
        ["--weights", str(best), *place, "--workers", "0", "--name", "val", "--augment"]
    )
    assert (metrics.images, metrics.protocol) == (4, "yolov5")
    source = str(Path(free[3]).parent / "images" / "val")
    flags = ("--source", source, "--conf-thres", "0", "--save-txt")
    found = detect.main(["--weights", str(best), str(best), *place, *flags])
    assert found is not None
    assert len(list((found / "labels").iterdir())) == 4


@pytest.fixture(scope="module", params=["v5", "v8"])
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], Path]:
    """The flags of a run with accumulated batches, and the folder of one that nothing stopped."""
    material = request.getfixturevalue("material" if request.param == "v5" else "free")
    folder = tmp_path_factory.mktemp("undisturbed")
    hyp = folder / "hyp.yaml"
    hyp.write_text("nominal_batch: 8\nwarmup_iterations: 4\nwarmup_epochs: 1.0\nmixup: 0.5\n")
    more = f"--epochs 3 --hyp {hyp} --multi-scale --close-mosaic 0 --noplots"
    flags = [*material, *more.split(" ")]
    return flags, run(flags, folder)


@pytest.mark.parametrize(
    ("undisturbed", "after_steps"),
    [
        ("v5", 2),
        ("v5", 3),
        ("v5", 5),
        ("v8", 2),
        pytest.param("v8", 3, marks=pytest.mark.slow),
        pytest.param("v8", 5, marks=pytest.mark.slow),
    ],
    indirect=["undisturbed"],
)
def test_interrupted_and_resumed_equals_undisturbed(
    undisturbed: tuple[list[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after_steps: int,
) -> None:
    """SIGTERM in the middle and at the end of an epoch, between accumulated batches: weights end
    bit-identical.
    """
    flags, whole = undisturbed
    original, calls = train.check_loss, []

    def kill_at(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == after_steps:
            os.kill(os.getpid(), signal.SIGTERM)
        original(*arguments)

    monkeypatch.setattr(train, "check_loss", kill_at)
    with pytest.raises(SystemExit) as left:
        run(flags, tmp_path / "cut")
    assert left.value.code == 143
    monkeypatch.setattr(train, "check_loss", original)
    last = tmp_path / "cut" / "run" / "weights" / "last.pt"
    train.main(["--resume", str(last)])
    assert len(calls) == after_steps
    ours, theirs = weights(last), weights(whole / "weights" / "last.pt")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert (tmp_path / "cut" / "run" / "results.csv").read_text() == (
        whole / "results.csv"
    ).read_text()


def test_a_run_resumed_from_the_last_epoch_equals_undisturbed(
    material: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard kill leaves the last epoch's checkpoint; resuming from it gives the same weights."""
    flags = ("--epochs", "3", "--noplots")
    whole = run(material, tmp_path / "whole", *flags)
    original = save_last

    def save_and_die(run: Run) -> None:
        original(run)
        raise MemoryError

    monkeypatch.setattr(ending, "save_last", save_and_die)
    with pytest.raises(MemoryError):
        run(material, tmp_path / "cut", *flags)
    monkeypatch.setattr(ending, "save_last", original)
    last = tmp_path / "cut" / "run" / "weights" / "last.pt"
    train.main(["--resume", str(last)])
    ours, theirs = weights(last), weights(whole / "weights" / "last.pt")
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("family", ["v5", "v8"])
def test_a_loss_that_is_no_number_is_named_and_the_last_good_checkpoint_kept(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    material = request.getfixturevalue("material" if family == "v5" else "free")
    original = save_last

    def poison(run: Run) -> None:
        original(run)
        run.state.model.model[2].cv1.conv.weight.data[0] = float("nan")

    monkeypatch.setattr(ending, "save_last", poison)
    with pytest.raises(
        UserError, match=r"epoch 1, batch 0 .*model\.2\.cv1\.conv\.weight.*last\.pt.*lr0"
    ):
        run(material, tmp_path, "--epochs", "3", "--noplots")
    kept = read(tmp_path / "run" / "weights" / "last.pt")
    assert all(torch.isfinite(value).all() for value in kept.state.values())


def test_a_poisoned_model_is_never_saved(
    material: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = train.write_epoch

    def poison(run: Run, *others: object) -> None:
        original(run, *others)
        run.state.model.model[0].bn.running_var[0] = float("inf")

    monkeypatch.setattr(train, "write_epoch", poison)
    with pytest.raises(
        UserError, match=r"model\.0\.bn\.running_var is not finite, so nothing was saved"
    ):
        run(material, tmp_path, "--epochs", "3", "--noplots")
    assert not previous_of(tmp_path / "run" / "weights" / "last.pt").exists()


def test_frozen_rows_stay_as_they_were(material: list[str], tmp_path: Path) -> None:
    first = run(material, tmp_path / "a", "--epochs", "1", "--noplots", "--noautoanchor")
    second = run(
        material,
        tmp_path / "b",
        "--epochs",
        "2",
        "--noplots",
        "--noautoanchor",
        "--freeze",
        "3",
        "--weights",
        str(first / "weights" / "best.pt"),
    )
    before, after = weights(first / "weights" / "best.pt"), weights(second / "weights" / "last.pt")
    frozen = [key for key in before if key.split(".")[1] in "012" and "num_batches" not in key]
    assert frozen
    assert all(
        torch.allclose(before[key].float(), after[key].float(), rtol=1e-3, atol=1e-4)
        for key in frozen
    )
    assert not torch.equal(before["model.3.conv.weight"], after["model.3.conv.weight"])


@pytest.mark.parametrize(
    "flags",
    [
        ["--image-weights", "--cos-lr", "--label-smoothing", "0.1", "--optimizer", "AdamW"],
        ["--rect", "--single-cls", "--optimizer", "Adam", "--noautoanchor", "--precision", "fp32"],
        [
            "--multi-scale",
            "--close-mosaic",
            "1",
            "--save-period",
            "1",
            "--workers",
            "1",
            "--cache",
            "ram",
        ],
        [
            "--noval",
            "--nosave",
            "--freeze",
            "5",
            "--hyp",
            "hyp.VOC.yaml",
            "--cache",
            "disk",
            "--sync-bn",
        ],
    ],
)
def test_flags_of_yolov5_work_together(
    material: list[str], tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLO_CACHE_DIR", str(tmp_path / "cache"))
    folder = run(material, tmp_path, "--epochs", "2", "--noplots", *flags)
    rows = read_results(folder / "results.csv")
    assert len(rows) == 2
    assert rows[1]["train/obj_loss"] > 0
    kept = {file.name for file in (folder / "weights").iterdir()}
    assert kept == {"last.pt", "best.pt"} | (
        {"epoch0.pt", "epoch1.pt"} if "--save-period" in flags else set()
    )
    if "--single-cls" in flags:
        assert len(read(folder / "weights" / "best.pt").names) == 1


@pytest.mark.parametrize(
    "flags",
    [
        ["--image-weights", "--cos-lr", "--optimizer", "SGD", "--scale", "s", "--freeze", "3"],
        [
            "--rect",
            "--single-cls",
            "--optimizer",
            "Adam",
            "--noautoanchor",
            "--precision",
            "fp32",
            "--noval",
        ],
        [
            "--multi-scale",
            "--close-mosaic",
            "1",
            "--save-period",
            "1",
            "--hyp",
            "hyp.VOC.yaml",
            "--cache",
            "ram",
        ],
    ],
)
def test_flags_work_without_anchors_too(
    free: list[str], tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(free, tmp_path, "--epochs", "2", "--noplots", *flags)
    assert read_results(folder / "results.csv")[1]["train/dfl_loss"] > 0
    kept = read(folder / "weights" / "best.pt")
    assert len(kept.names) == (1 if "--single-cls" in flags else 2)
    assert kept.graph["scale"] == ("s" if "--scale" in flags else "n")
    assert ("warning: hyp: box=0.02" in capsys.readouterr().out) is ("--hyp" in flags)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--label-smoothing", "0.1"], "--label-smoothing=0.1"),
        (["--scale", "q"], "q"),
        (["--optimizer", "MuSGD"], "MuSGD"),
    ],
)
def test_what_graphs_without_anchors_do_not_have_is_one_line(
    free: list[str],
    tmp_path: Path,
    flags: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_main(train.main, [*free, "--project", str(tmp_path), *flags]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_patience_ends_a_run_that_no_longer_gains(
    material: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitness .1 .3 .2 .3 .3: only a strict gain counts, so two epochs after the second the run
    ends.
    """
    scores = iter([0.1, 0.3, 0.2, 0.3, 0.3])

    def scored(*_: object) -> Metrics:
        value = next(scores)
        details = EvaluationDetails(class_ap=np.array([value, value]))
        return Metrics(1, 1, value, value, value, value, losses=(0.0, 0.0, 0.0), details=details)

    monkeypatch.setattr(train, "validate", scored)
    monkeypatch.setattr(train, "finish_run", lambda run, timing, seconds: None)
    folder = run(material, tmp_path, "--epochs", "9", "--noplots", "--patience", "2")
    assert [row["metrics/recall"] for row in read_results(folder / "results.csv")] == [
        0.1,
        0.3,
        0.2,
        0.3,
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cfg", "models/none.yaml"], "none.yaml"),
        (["--data", "data/none.yaml"], "none.yaml"),
        (["--epochs", "0"], "--epochs"),
        (["--evolve", "300"], "tune.py"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--weights", "none.pt"], "none.pt"),
        (["--hyp", "none.yaml"], "none.yaml"),
        (["--batch-size", "x"], "batch"),
        (["--optimizer", "Lion"], "optimizer"),
        (["--resume", "none.pt"], "none.pt"),
        (["--device", "7"], "--device 7"),
    ],
)
def test_mistakes_are_one_line_and_status_2(
    material: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    message: str,
) -> None:
    assert run_main(train.main, [*material, "--project", str(tmp_path), *flags]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error


def torchrun(material: list[str], folder: Path, *flags: str) -> Path:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "train.py",
        *material,
        "--project",
        str(folder),
        "--name",
        "run",
        "--noplots",
        *flags,
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("Epoch    GPU_mem") == len(
        read_results(folder / "run" / "results.csv")
    )
    return folder / "run"


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(material: list[str], tmp_path: Path) -> None:
    """The same images, the same mean gradient: only batch statistics differ, as each process has
    its own half.
    """
    flags = ("--epochs", "3", "--precision", "fp32", "--noautoanchor", "--patience", "2")
    two = torchrun(material, tmp_path / "two", *flags)
    one = run(material, tmp_path / "one", *flags, "--noplots")
    ours, theirs = (read_results(folder / "results.csv") for folder in (two, one))
    assert len(ours) == len(theirs) == 3
    for column in ("train/box_loss", "train/obj_loss", "val/obj_loss"):
        assert ours[-1][column] == pytest.approx(theirs[-1][column], rel=0.3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["auto", "fp16", "fp32"])
def test_a_gpu_trains(material: list[str], tmp_path: Path, precision: str) -> None:
    """Half precision with and without a scaler, pinned memory, deterministic algorithms, plots."""
    folder = run(material, tmp_path, "--epochs", "2", "--device", "0", "--precision", precision)
    assert read_results(folder / "results.csv")[1]["train/obj_loss"] > 0
