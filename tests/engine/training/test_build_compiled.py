"""--compile: training on images of many sizes does not compile the model for each of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters

import train
from engine.training.build import compiled, prepare_run
from engine.training.logbook import StepTiming
from models.graph.load import load_graph
from models.yolo import DetectionModel
from tests.tiny import write_data, write_graph
from utils.config import TrainConfig
from utils.hyperparameters import Hyperparameters


@pytest.mark.slow
def test_a_model_is_compiled_once_for_the_first_size_and_once_for_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once for the smaller batch at an epoch's end, at most."""
    counter, sizes = CompileCounterWithBackend("aot_eager"), list[torch.Size]()
    original, change_scale = torch.compile, train.change_scale
    monkeypatch.setattr(
        torch, "compile", lambda network, options: original(network, backend=counter)
    )

    def noted(*arguments):
        images, targets = change_scale(*arguments)
        sizes.append(images.shape)
        return images, targets

    monkeypatch.setattr(train, "change_scale", noted)
    config = TrainConfig(
        cfg=str(write_graph(tmp_path)), data=str(write_data(tmp_path)), imgsz=160, batch_size=4,
        workers=0, device="cpu", project=str(tmp_path), cache="no", compile=True, multi_scale=True,
    )  # fmt: skip
    run = prepare_run(config, Hyperparameters())
    counts = []
    for run.state.progress.epoch in range(4):
        run.state.progress.batch = 0
        train.start_epoch(run.setup, run.state)
        for batch in run.setup.loaders[0]:
            train.train_batch(run, batch, StepTiming())
        counts.append(counter.frame_count)
    assert len({size[2] for size in sizes}) > 4
    assert {size[0] for size in sizes} == {4, 2}
    assert counts[-1] == counts[1] <= 3


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with a C++ compiler")
def test_torch_s_own_compiler_guards_no_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes between which it chooses the same sums: it makes others below 4096 values."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    counters.clear()
    model = DetectionModel(load_graph(write_graph(tmp_path)), class_count=2).train()
    network = compiled(model.to(memory_format=torch.channels_last))
    for side in (192, 224, 256):
        images = torch.rand(4, 3, side, side).contiguous(memory_format=torch.channels_last)
        sum(level.square().mean() for level in network(images)).backward()
    assert counters["stats"]["unique_graphs"] == 2
    assert model.model[0].conv.weight.grad.isfinite().all()
