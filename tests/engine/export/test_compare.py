"""A file that differs from its model is an error, except where rounding may swap boxes."""

from __future__ import annotations

import pytest
import torch

import export
from engine.export.compare import compare
from engine.export.settings import ExportConfig
from engine.export.task import ExportTask
from tests.engine.export.detectors import detector
from tests.tiny import write_graph
from utils.errors import UserError


def task_of(tmp_path, **flags: object) -> ExportTask:
    config = ExportConfig(imgsz=(64,), **flags)
    return export.make_task(detector(write_graph(tmp_path)), config, tmp_path / "best.pt")


def test_the_same_output_is_said_to_be_the_same(tmp_path, capsys):
    task = task_of(tmp_path)
    compare(task, "onnx", task.model)
    assert "onnx: differs from the model by 0.0e+00 at most" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [0.01, float("nan")])
def test_another_output_is_an_error_unless_it_may_be_rounded(tmp_path, wrong, capsys):
    task = task_of(tmp_path)
    with pytest.raises(UserError, match="onnx: the file's output differs by"):
        compare(task, "onnx", lambda images: task.model(images) + wrong)
    compare(task, "onnx", lambda images: task.model(images) + wrong, exact=False)
    assert "differs from the model by" in capsys.readouterr().out


def test_a_dynamic_file_is_compared_at_another_size_and_batch(tmp_path):
    task = task_of(tmp_path, dynamic=True)
    seen: list[tuple[int, ...]] = []

    def run(images: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(images.shape))
        return task.model(images)

    compare(task, "onnx", run)
    assert seen == [(2, 3, 64, 64), (3, 3, 64, 96)]
