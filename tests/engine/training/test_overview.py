"""The first and the last lines of a run: what it trains, and what came of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engine.training.build import prepare_run
from engine.training.optim import make_optimizer
from engine.training.overview import changed_hyperparameters, closing_line, optimizer_line
from models.costs.profile import count_costs, gigaflops
from tests.tiny import write_data, write_graph
from utils.config import TrainConfig, choose_hyp
from utils.families import V5


def test_a_run_says_what_it_trains_and_what_came_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hyp = dataclasses.replace(choose_hyp("", {}, "", V5), mosaic=0.5)
    config = TrainConfig(
        cfg=str(write_graph(tmp_path)),
        data=str(write_data(tmp_path)),
        project=str(tmp_path),
        imgsz=64,
        batch_size=4,
        workers=0,
        cache="no",
        device="cpu",
        freeze=(1,),
    )
    run = prepare_run(config, hyp)
    said = capsys.readouterr().out
    model = run.state.model
    parameters = [one.numel() for one in model.parameters()]
    frozen = sum(one.numel() for one in model.model[0].parameters())
    flops = gigaflops(count_costs(model.to("meta"), 64))[0]
    assert f"{len(model.model)} rows, {sum(parameters):,} parameters, {frozen:,} of them" in said
    assert f"frozen, {flops:.2f} GFLOPs at 64 x 64 pixels\n" in said
    tensors = [len(group["params"]) for group in run.state.optimizer.param_groups]
    assert sum(tensors) == len(parameters)
    assert (
        f"tensors: {tensors[0]} biases, {tensors[1]} weights (decay 0.0005), {tensors[2]}" in said
    )
    assert "a step every 16 batches of 4 images\n" in said
    assert "as in hyp.scratch-low.yaml, but mosaic 0.5 instead of 1\n" in said
    assert "\x1b" not in said
    faster = dataclasses.replace(run.setup, config=dataclasses.replace(config, attention_lr=3.0))
    state = dataclasses.replace(
        run.state, optimizer=make_optimizer(model, faster.config, run.setup.hyp)
    )
    assert "norms and scales of attention at 3 times the rate;" in optimizer_line(faster, state)
    run.setup.last.write_bytes(b"x" * 2_340_000)
    run.state.progress.epoch = 1
    assert closing_line(run, 65.2, 0) == "Done: 1 epoch in 1 min 5 s, best epoch 0; last.pt 2.3 MB"
    assert run.setup.lock is not None
    run.setup.lock.close()


def test_standard_hyperparameters_do_not_differ() -> None:
    hyp = choose_hyp("", {}, "", V5)
    assert changed_hyperparameters(hyp, V5) == ([], V5.hyp)
