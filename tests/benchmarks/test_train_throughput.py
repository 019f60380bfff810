"""The throughput benchmark counts the right epochs of any program."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from utils.files import ROOT
from utils.yaml_file import load_yaml

PROGRAM = """
import pathlib, sys, time
project, name = (sys.argv[sys.argv.index(flag) + 1] for flag in ("--project", "--name"))
folder = pathlib.Path(project) / name
folder.mkdir(parents=True)
for epoch, seconds in enumerate([0.6, 0.2, 0.2, 0.5]):
    time.sleep(seconds)
    with open(folder / "results.csv", "a") as file:
        file.write(("header\\n" if epoch == 0 else "") + f"{epoch}\\n")
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "train_throughput", ROOT / "benchmarks/train_throughput.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_throughput"] = module
    spec.loader.exec_module(module)
    return module


def test_first_and_last_epoch_are_not_counted(benchmark, tmp_path):
    side = benchmark.Side("fake", [sys.executable, "-c", PROGRAM, "0"], tmp_path / "fake")
    benchmark.take_turn(side, 0, 20)
    assert len(side.rates[0]) == 2
    assert side.median == pytest.approx(
        100, rel=0.5
    )  # 20 images in 0.2 s; the others would give 33 and 40


def test_a_program_that_fails_stops_the_benchmark(benchmark, tmp_path):
    side = benchmark.Side("fake", [sys.executable, "-c", PROGRAM, "3"], tmp_path / "fake")
    with pytest.raises(SystemExit, match="fake ended with status 3"):
        benchmark.take_turn(side, 0, 20)


def test_both_programs_get_the_same_flags_and_the_reference_a_home_of_its_own(
    benchmark, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["x", "--reference-python", "reference/bin/python"])
    ours, reference = benchmark.make_sides(
        benchmark.parse_throughput_flags(), tmp_path / "data.yaml", tmp_path
    )
    assert ours.start[2:] == reference.start[3:]
    assert reference.environment["HOME"].startswith(str(tmp_path))
    assert (tmp_path / "home/Ultralytics/Arial.ttf").stat().st_size > 10_000
    assert ours.environment == {}


def test_graphs_without_anchors_are_compared_with_ultralytics(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys,
        "argv",
        ["x", "--reference-python", "python", "--cfg", "yolov8n.yaml", "--imgsz", "160"],
    )
    ours, reference = benchmark.make_sides(
        benchmark.parse_throughput_flags(), tmp_path / "data.yaml", tmp_path
    )
    assert {"model=yolov8n.yaml", f"data={tmp_path / 'data.yaml'}", "imgsz=160", "batch=16"} <= set(
        reference.start
    )
    assert ours.start[ours.start.index("--imgsz") + 1] == "160"
    assert [part.format("p", "n") for part in reference.place] == ["project=p", "name=n"]


def test_the_copy_of_the_data_set_is_what_yolov5_reads(benchmark, tmp_path, monkeypatch):
    from data.synthetic.shapes import generate

    generate(tmp_path / "made", train=5, val=2)
    content = (
        f"path: {tmp_path / 'made'}\ntrain: images/train\nval: images/val\nnames: [a, b, c, d, e]\n"
    )
    (tmp_path / "mine.yaml").write_text(content)
    file, count = benchmark.copy_dataset(str(tmp_path / "mine.yaml"), 3, tmp_path / "copy")
    assert count == 3
    assert load_yaml(file)["names"] == list("abcde")
    for number in range(3):
        rows = [
            (tmp_path / place).read_text().split()
            for place in (
                f"made/labels/train/{number:05}.txt",
                f"copy/labels/train/{number:06}.txt",
            )
        ]
        assert [float(word) for word in rows[1]] == pytest.approx(
            [float(word) for word in rows[0]], abs=2e-6
        )
