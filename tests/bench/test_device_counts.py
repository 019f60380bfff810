"""The script counts one step of train.py, and has a row for each graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import device_counts
from tests.simulated_cuda import COUNTS, CUDA, simulated_cuda
from tests.tiny import write_graph


@pytest.mark.slow
def test_a_row_has_launches_waits_and_the_lines_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = device_counts.train.train_batch

    def slower(run, batch, timing):
        size = read(run, batch, timing)
        run.state.model.stride.sum().item()
        run.state.model.stride.new_tensor([1.0])
        return size

    path = str(write_graph(tmp_path))
    device_counts.count_all([path])
    row = capsys.readouterr().out.splitlines()[-1].split()
    monkeypatch.setattr(device_counts.train, "train_batch", slower)
    device_counts.count_all([path])
    other = capsys.readouterr().out.splitlines()[-1].split()
    assert (row[0], row[2:4], other[2:4]) == (path, ["3", "0"], ["4", "1"])
    assert int(other[1]) == int(row[1]) + 1
    assert "models/losses/assign.py" in " ".join(row)
    assert "test_device_counts.py" in " ".join(other)


def test_all_shipped_graphs_are_counted() -> None:
    names = device_counts.shipped_graphs()
    assert {"yolov5n.yaml", "yolov8_EMA.yaml", "yolo11.yaml", "yolov5-p7.yaml"} <= set(names)


def test_counts_start_at_zero() -> None:
    with simulated_cuda():
        device_counts.example_batch(64).targets.to(CUDA).sum().item()
        assert (COUNTS.operations, COUNTS.waits.total(), COUNTS.copies.total()) == (1, 1, 1)
    with simulated_cuda():
        assert COUNTS.operations == 0
