"""benchmarks.py: one table of all formats, the reason for each that is missing, --hard-fail."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

import benchmarks
from benchmarks import INT8, FormatRow, failures, format_row, formats_of
from engine.export.benchmark_settings import BenchmarkConfig
from engine.export.formats import CONVERTERS, EXPORTERS
from tests.tiny import lively, write_data, write_free_graph, write_graph
from utils import checkpoint as checkpoints
from utils.errors import UserError, run_main

NAMES = {0: "bright", 1: "dark"}


@pytest.fixture(scope="module", params=[write_graph, write_free_graph], ids=["anchors", "free"])
def flags(request, tmp_path_factory) -> list[str]:
    """A checkpoint and its data set."""
    root = tmp_path_factory.mktemp("bench")
    model = lively(request.param(root), NAMES)
    checkpoints.save(
        checkpoints.Checkpoint(model.graph, NAMES, model.state_dict()), root / "best.pt"
    )
    data = write_data(root, train=1, val=4)
    words = f"--weights {root / 'best.pt'} --data {data} --imgsz 64 --device cpu --workers 0"
    return [*words.split(), "--project", str(root / "runs")]


def _fails(_task: object) -> Path:
    raise UserError("needs a package: pip install it")


def test_every_format_has_a_line(flags, monkeypatch, capsys):
    torchscript = EXPORTERS["torchscript"]
    monkeypatch.setattr(benchmarks, "EXPORTERS", {"torchscript": torchscript, "onnx": torchscript})
    monkeypatch.setitem(EXPORTERS, "onnx", _fails)
    assert benchmarks.main([*flags, "--hard-fail"]) == 1
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert "needs a package: pip install it" in rows["onnx"]
    assert "+0.0000" in rows["torchscript"]
    assert all(f"not made here: {CONVERTERS[name]}"[:60] in rows[name] for name in CONVERTERS)
    assert "4 images of 64x64, batches of 1, fp32, " in out
    reason = "needs a package: pip install it"
    assert err == f"--hard-fail: onnx: {reason}\n--hard-fail: onnx int8: {reason}\n"
    folder = Path(flags[-1]) / "exp"
    table = list(csv.DictReader((folder / "benchmarks.csv").open()))
    assert [row["format"] for row in table] == ["pytorch", "torchscript", "onnx", INT8, *CONVERTERS]
    scores = [float(row["mAP50-95"]) for row in table[:2]]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    assert (folder / "best.torchscript").is_file()


def test_the_checkpoint_alone_and_the_files_alone(flags, monkeypatch, capsys):
    monkeypatch.setattr(benchmarks, "EXPORTERS", {"torchscript": EXPORTERS["torchscript"]})
    assert benchmarks.main([*flags, "--pt-only"]) == 0
    assert "torchscript" not in capsys.readouterr().out
    assert benchmarks.main([*flags, "--test"]) == 0
    out = capsys.readouterr().out
    assert "torchscript" in out
    assert "images of" not in out


def test_what_makes_a_hard_failure():
    rows = [
        FormatRow("pytorch", map=0.5, apart=0.0),
        FormatRow("onnx", map=0.498, apart=-0.002),
        FormatRow("openvino", note="no package", failed=True),
        FormatRow(INT8, map=0.49, apart=-0.01, exact=False),
    ]
    made = failures(BenchmarkConfig(hard_fail="made"), rows)
    assert made == ["openvino: no package", "onnx: mAP50-95 differs by -0.0020"]
    assert failures(BenchmarkConfig(half=True), rows) == ["openvino: no package"]
    low = failures(BenchmarkConfig(hard_fail="0.495", half=True), rows)
    assert low == ["openvino: no package", f"{INT8}: mAP50-95 is below 0.495"]


@pytest.mark.parametrize(
    ("name", "scores", "note"),
    [
        ("onnx", (0.5, 0.4), ""),
        ("onnx", (0.52, 0.4005), "mAP50 differs by +0.0200"),
        ("onnx", (0.5, 0.398), "differs by more than 0.001"),
        (INT8, (0.5, 0.4), "convolutions in eight bits"),
    ],
)
def test_what_differs_is_noted(name, scores, note, tmp_path, monkeypatch):
    file = tmp_path / "best.onnx"
    file.write_bytes(b"")
    monkeypatch.setattr(benchmarks, "load_exported", lambda *_: None)
    found = FormatRow("", map50=scores[0], map=scores[1])
    bench = SimpleNamespace(
        config=BenchmarkConfig(), device=None, export=lambda _: file, score=lambda _: found
    )
    row = format_row(bench, name, FormatRow("pytorch", map50=0.5, map=0.4))
    assert (row.note, row.exact) == (note, name != INT8)


def test_eight_bits_need_images():
    assert INT8 in formats_of(BenchmarkConfig(data="my.yaml"))
    assert INT8 not in formats_of(BenchmarkConfig())
    assert INT8 not in formats_of(BenchmarkConfig(data="my.yaml", half=True))
    assert formats_of(BenchmarkConfig(data="my.yaml", pt_only=True)) == []


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime", "openvino")),
    reason="not all of onnx, onnxscript, onnxruntime and openvino are installed",
)
def test_all_formats_score_as_the_checkpoint(flags):
    config = benchmarks.build(BenchmarkConfig, benchmarks.BENCHMARK_LINE.read(flags))
    rows, _ = benchmarks.benchmark(config, say=lambda _: None)
    assert {row.name for row in rows if row.map is not None} == {"pytorch", INT8, *EXPORTERS}
    assert not failures(config, rows)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--imgsz", "8"], "--imgsz=8"),
        (["--batch-size", "0"], "--batch-size=0"),
        (["--hard-fail", "x"], "--hard-fail=x: must be a number"),
        (["--weights", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_mistakes_are_one_line(words, message, capsys):
    assert run_main(benchmarks.main, words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
