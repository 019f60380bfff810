"""Costs: GFLOPs as YOLOv5 states them, bytes moved, times, memory, and the verdicts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.command import main
from models.costs.profile import (
    Counter,
    count_costs,
    gigaflops,
    kept_by_rows,
    state_addresses,
    time_rows,
    whole_size,
)
from models.graph.load import load_graph
from models.yolo import DetectionModel
from tests.models.sizes import slow_between
from utils.errors import run_main
from utils.files import ROOT

GIGAFLOPS = {  # at 640 px: as YOLOv5 prints them, and after fusing
    "yolov5n": (4.6, 4.5),
    "yolov5s": (16.6, 16.4),
    "yolov5m": (49.2, 48.9),
    "yolov5l": (109.6, 109.0),
    "yolov5x": (206.3, 205.4),
    "yolov5n6": (4.7, 4.6),
    "yolov5s6": (17.0, 16.8),
    "yolov5m6": (50.3, 49.9),
    "yolov5l6": (111.8, 111.2),
    "yolov5x6": (210.4, 209.6),
    "yolov5-bifpn": (110.4, 109.8),
    "yolov5-fpn": (100.3, 99.8),
    "yolov5-p2": (126.3, 125.6),
    "yolov5-p34": (15.1, 14.9),
    "yolov5-p6": (111.8, 111.2),
    "yolov5-p7": (116.5, 115.9),
    "yolov5-panet": (109.6, 109.0),
    "yolov5s-ghost": (8.9, 8.7),
    "yolov5s-LeakyReLU": (16.6, 16.4),
    "yolov5s-transformer": (16.8, 16.6),
    "yolov3": (156.6, 155.9),
    "yolov3-spp": (157.5, 156.7),
    "yolov3-tiny": (13.3, 13.2),
}


def on_meta(name: str) -> DetectionModel:
    with torch.device("meta"):
        return DetectionModel(load_graph(f"{name}.yaml"))


@pytest.mark.parametrize("name", slow_between(GIGAFLOPS))
def test_gigaflops_equal_yolov5s(name: str) -> None:
    model = on_meta(name)
    fused, printed = gigaflops(count_costs(model, whole_size(640, model)))
    assert (round(printed, 1), round(fused, 1)) == GIGAFLOPS[name]


def test_attention_without_parameters_is_not_free() -> None:
    plain, attended = (
        sum(cost.elementwise for cost in count_costs(on_meta(name), 640))
        for name in ("yolov5s", "yolov5s_SimAM")
    )
    maps = 4 * sum(channels * side**2 for channels, side in ((128, 80), (256, 40), (512, 20)))
    assert 10 * maps < attended - plain < 20 * maps


def test_costs_grow_with_the_batch() -> None:
    model = on_meta("yolov5n")
    one, two = count_costs(model, 320), count_costs(model, 320, 2)
    assert [2 * cost.flops for cost in one] == [cost.flops for cost in two]
    assert two[-1].shape == "2x6300x85"


def test_counter_reads_and_writes() -> None:
    x = torch.empty(10, 10)
    with Counter() as counter:
        y = x.view(100) + 1  # reads 100 and writes 100 floats; the view costs nothing
        y @ y.view(100)
    assert counter.elementwise in (800, 800 + 4 * 201)  # a dot product counts as one or the other
    assert counter.moved == 800 + 4 * 201


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_fused_attention_counts_its_two_products(device: str) -> None:
    q = torch.zeros(2, 4, 50, 16, device=device)
    with torch.no_grad(), Counter() as counter:
        nn.functional.scaled_dot_product_attention(q, q, q)
    assert counter.flops == 2 * (2 * 2 * 4 * 50 * 50 * 16)  # q kᵀ, and the shares times v


def small() -> DetectionModel:
    graph = load_graph("yolov5n.yaml")
    return DetectionModel({**graph, "width_multiple": 0.0625})


def test_times_and_memory_of_each_row() -> None:
    model = small()
    x = torch.zeros(1, 3, 64, 64)
    times = time_rows(model, x)
    kept = kept_by_rows(model, x)
    assert len(times) == len(kept) == 25
    assert all(0 < ms < 10_000 for ms in times)
    assert (
        kept[0] >= 3 * 4 * 8 * 32 * 32
    )  # results of convolution and norm, and the activation's for the next row
    assert kept[11] == 0  # nearest-neighbour upsampling keeps nothing


def test_profile_adds_columns(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.yaml"
    file.write_text((load_graph_text()).replace("width_multiple: 0.25", "width_multiple: 0.0625"))
    assert (
        run_main(main, ["--cfg", str(file), "--imgsz", "64", "--line-profile", "--device", "cpu"])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-5:] == ["ms", "on", "cpu", "MB", "kept"]
    assert len({len(line) for line in lines[1:26]}) == 1
    assert "at 64x64 px, batch 1" in "\n".join(lines)


def load_graph_text() -> str:
    return (ROOT / "models" / "yolov5n.yaml").read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--all", "--cfg", "models/yolov5n.yaml"], "--cfg: is for one graph"),
        (["--all", "--profile"], "--profile: is for one graph"),
        (["--sites", "--profile"], "--profile: measures rows"),
        (
            ["--lint", "models/yolov5n.yaml", "--cfg", "models/yolov5s.yaml"],
            "--cfg: does not go with --lint",
        ),
    ],
)
def test_flags_that_would_be_ignored_are_refused(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(main, flags) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_all_lists_every_graph(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    step: int,
) -> None:
    """All of a tree that has every fourth shipped graph, and under -m slow of the one shipped."""
    files = [file.relative_to(ROOT) for file in sorted((ROOT / "models").rglob("*.yaml"))[::step]]
    if step > 1:
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / file)
        monkeypatch.setattr("models.command.ROOT", tmp_path)
    assert run_main(main, ["--test"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) - 1 == len(files) >= 15
    assert all("the graph is sound" in line for line in lines[:-1])
    assert all(Path(line.split()[0]).name in str(files) for line in lines[:-1])
    assert lines[-1] == f"{len(files)} of {len(files)} graphs sound"


def test_what_a_module_holds_anyway_is_no_cost_of_training() -> None:
    """Parameters and buffers: a batch norm in evaluation mode keeps its statistics for backward."""
    norm = nn.BatchNorm2d(3)
    held = [tensor.untyped_storage().data_ptr() for tensor in norm.state_dict().values()]
    assert set(held) == state_addresses(norm)
