"""Several processes that share a validation get the figures of one, to the last bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from data.workers import ReadingStopped
from engine.detector_model import DetectorModel
from engine.evaluation.evaluate import evaluate
from engine.parts import Parts
from engine.training import dist, validation
from engine.training.build import make_loaders, prepare_run
from engine.training.dist import World
from engine.training.run import Progress, Run
from engine.training.validation import BatchShare, own_batches, validate, validation_settings
from tests.processes import run_two
from tests.tiny import raise_scores, write_data, write_free_graph, write_graph
from utils.config import TrainConfig
from utils.hyperparameters import Hyperparameters
from utils.structures import Metrics

SHEETS = ("val_batch0_labels.jpg", "val_batch0_pred.jpg")


def prepared(folder: Path, graph: Path, name: str, batch_size: int) -> Run:
    """A run whose averaged weights find something."""
    config = TrainConfig(
        cfg=str(graph), data=str(folder / "data.yaml"), imgsz=64, batch_size=batch_size, workers=0,
        device="cpu", project=str(folder), name=name, cache="no", noautoanchor=True,
    )  # fmt: skip
    run = prepare_run(config, Hyperparameters())
    raise_scores(run.state.ema.module)
    return run


def scored(run: Run) -> Metrics:
    model = cast(DetectorModel, run.state.ema.module)
    return evaluate(model, run.setup.loaders[1], validation_settings(run, Parts()))


def in_process(run: Run, rank: int, size: int) -> Run:
    """The same run as one of several processes sees it."""
    world, setup = World(rank, size, rank), run.setup
    loaders = make_loaders(setup.config, setup.hyp, run.state.model, setup.data, world)
    return Run(dataclasses.replace(setup, world=world, loaders=loaders), run.state)


def compare(ours: Metrics, theirs: Metrics) -> None:
    """All figures but times are equal, printed with all their digits."""
    assert ours.map50 > 0
    assert all(loss > 0 for loss in ours.losses)
    assert repr(dataclasses.replace(ours, speed_ms={})) == repr(
        dataclasses.replace(theirs, speed_ms={})
    )
    assert ours.speed_ms.keys() == theirs.speed_ms.keys()
    assert np.array_equal(ours.details.confusion, theirs.details.confusion)
    assert np.array_equal(ours.details.class_ap, theirs.details.class_ap)
    assert np.array_equal(ours.details.curves.pr_curve, theirs.details.curves.pr_curve)
    assert ours.details.input_shape == theirs.details.input_shape


@pytest.mark.parametrize(
    ("size", "images", "write"),
    [(2, 9, write_graph), (2, 4, write_graph), (3, 9, write_free_graph)],
)
def test_shares_make_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, images: int, write
) -> None:
    """Batches of unequal numbers, or of none at all for a process; one image cannot be read."""
    write_data(tmp_path, train=6, val=images)
    graph, shares = write(tmp_path), list[BatchShare]()
    alone = prepared(tmp_path, graph, "alone", batch_size=2)
    run = prepared(tmp_path, graph, "shared", batch_size=2 * size)
    (tmp_path / "images" / "val" / "001.png").write_bytes(b"")
    monkeypatch.setattr("data.failures.MOST_LOST", 0.3)
    expected = scored(alone)

    def gather(_world: World, share: BatchShare) -> list[BatchShare]:
        shares.append(share)
        return shares[::-1]  # the main process comes last here, and needs all of them

    monkeypatch.setattr(dist, "gather", gather)
    for rank in reversed(range(size)):
        found = scored(in_process(run, rank, size))
    assert [share.numbers for share in shares[::-1]] == [
        own_batches(-(-images // 4), World(rank, size, rank)) for rank in range(size)
    ]
    assert sum(batch.images.numel() > 0 for share in shares for batch in share.batches) == 1
    compare(found, expected)
    assert "1 validation images could not be read" in str(found.notes)
    for sheet in SHEETS:
        ours, theirs = (one.setup.folder / sheet for one in (run, alone))
        assert ours.read_bytes() == theirs.read_bytes()

    monkeypatch.setattr("data.failures.MOST_LOST", 0.01)
    with pytest.raises(ReadingStopped, match=f"1 of {images} images cannot be read, .*001.png"):
        scored(in_process(run, size - 1, size))


def test_the_drawn_batch_is_the_main_process_s_and_the_rest_is_dealt() -> None:
    dealt = [own_batches(8, World(rank, 3, rank)) for rank in range(3)]
    assert dealt == [(0, 3, 6), (1, 4, 7), (2, 5)]
    assert [own_batches(1, World(rank, 3, rank)) for rank in range(3)] == [(0,), (), ()]
    assert own_batches(0, World(0, 2, 0)) == ()


@pytest.mark.parametrize(
    ("device", "precision", "notes", "expected"),
    [
        ("cpu", "auto", [], "fp32"),
        ("cpu", "bf16", [], "fp32"),
        ("cuda", "auto", [], "fp16"),
        ("cuda", "bf16", [], "fp16"),
        ("cuda", "fp32", [], "fp32"),
        ("cuda", "auto", [validation.OVERFLOWS], "fp32"),
    ],
)
def test_half_precision_is_for_accelerators(
    tmp_path: Path, device: str, precision: str, notes: list[str], expected: str
) -> None:
    config = TrainConfig(precision=precision)
    setup = SimpleNamespace(
        config=config, world=World(), device=torch.device(device), loss=None, folder=tmp_path
    )
    run = SimpleNamespace(setup=setup, state=SimpleNamespace(progress=Progress(notes=notes)))
    assert validation_settings(cast(Run, run), Parts()).precision == expected


def test_what_overflows_in_half_is_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(tmp_path, train=4, val=2)
    run = prepared(tmp_path, write_graph(tmp_path), "run", batch_size=2)
    expected = validate(run, Parts())
    assert expected is not None
    used: list[str] = []

    def in_half(model, loader, settings):
        used.append(settings.precision)
        losses = (0.1, float("inf"), 0.1) if settings.precision == "fp16" else expected.losses
        return dataclasses.replace(expected, losses=losses)

    monkeypatch.setattr(validation, "evaluate", in_half)
    setup = dataclasses.replace(run.setup, device=torch.device("cuda"))
    for _ in range(2):
        found = validate(Run(setup, run.state), Parts())
        assert found is not None
        assert found.losses == expected.losses
    assert used == ["fp16", "fp32", "fp32"]
    assert validation.OVERFLOWS in run.state.progress.notes


TWO = """
import dataclasses, sys, torch
from pathlib import Path
from engine.evaluation.evaluate import evaluate
from engine.parts import Parts
from engine.training import dist
from engine.training.validation import validate, validation_settings
from tests.engine.training.test_validation import compare, prepared
torch.set_num_threads(1)
folder = Path(sys.argv[1])
run = prepared(folder, folder / "tiny.yaml", "two", batch_size=4)
world, averages = run.setup.world, run.state.ema.averages
averages[0].mul_(1 + world.rank)  # only those of the main process count
shared = validate(run, Parts())
assert (shared is None) == (world.rank > 0)
assert len(set(dist.gather(world, sum(float(one.sum()) for one in averages)))) == 1
if shared is not None:
    loader = run.setup.loaders[1]
    loader.read_only(None)
    settings = dataclasses.replace(validation_settings(run, Parts()), exchange=None)
    compare(shared, evaluate(run.state.ema.module, loader, settings))
    print("equal", len(loader))
dist.stop(world)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("images", "batches"), [(9, 3), (3, 1)])
def test_two_processes_score_what_one_does(tmp_path: Path, images: int, batches: int) -> None:
    write_data(tmp_path, train=6, val=images)
    write_graph(tmp_path)
    done = run_two(TWO, tmp_path)
    assert f"equal {batches}" in done
