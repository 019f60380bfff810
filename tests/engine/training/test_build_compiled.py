"""--compile: training on images of many sizes does not compile the model for each of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import train
from engine.training.build import prepare_run
from engine.training.logbook import StepTiming
from tests.tiny import write_data, write_graph
from utils.config import TrainConfig
from utils.hyperparameters import Hyperparameters


@pytest.mark.slow
def test_a_model_is_compiled_once_for_the_first_size_and_once_for_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once for the smaller batch at an epoch's end, at most."""
    # Importing it takes 3 seconds, which a run without slow tests should not pay.
    from torch._dynamo.testing import CompileCounterWithBackend

    counter, sizes = CompileCounterWithBackend("aot_eager"), list[torch.Size]()
    asked: dict[str, object] = {}
    original, change_scale = torch.compile, train.change_scale
    monkeypatch.setattr(
        torch,
        "compile",
        lambda network, options: asked.update(options) or original(network, backend=counter),
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
    assert asked == {"force_layout_optimization": True}  # see engine.training.build.compiled
