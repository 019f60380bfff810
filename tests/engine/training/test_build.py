"""The parts of a run: what settles, what is frozen, what is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import train
from engine.training.autobatch import BatchChoice
from engine.training.build import fit_config, prepare_run, start_process
from engine.training.dist import World
from engine.training.ema import ModelEMA
from engine.training.model import freeze, read_source
from engine.training.optim import make_optimizer
from engine.training.patience import should_stop
from engine.training.run import Progress, TrainingState, save_last
from engine.training.sparsity import Sparsity
from engine.training.step import gradient_norm, step
from models.graph.load import load_graph
from models.losses import build_loss
from models.yolo import DetectionModel
from tests.models.fill import GOLDEN_V8, fill, image, indexed
from tests.simulated_cuda import simulated_cuda
from tests.tiny import GRAPH, write_data, write_free_graph, write_graph
from utils.checkpoint import Checkpoint, read, save
from utils.config import TrainConfig
from utils.errors import UserError
from utils.families import V8
from utils.hyperparameters import Hyperparameters


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("material")
    return {
        "cfg": str(write_graph(folder)),
        "data": str(write_data(folder)),
        "cache": "no",
        "device": "cpu",
    }


def config(material: dict[str, str], folder: Path, **changes: object) -> TrainConfig:
    return TrainConfig(
        **{
            **material,
            "project": str(folder),
            "imgsz": 64,
            "batch_size": 4,
            "workers": 0,
            **changes,
        }
    )


def test_image_size_becomes_a_multiple_of_the_stride() -> None:
    model = DetectionModel(load_graph("models/yolov5n.yaml"))
    cpu = torch.device("cpu")
    assert fit_config(TrainConfig(imgsz=321), model, cpu).imgsz == 352
    assert fit_config(TrainConfig(imgsz=32), model, cpu).imgsz == 64
    assert fit_config(TrainConfig(batch_size=-1), model, cpu).batch_size == 16


def test_the_automatic_batch_fits_the_largest_size_that_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []

    def measure(model: object, size: int, *_: object) -> BatchChoice:
        sizes.append(size)
        return BatchChoice(4, "")

    monkeypatch.setattr("engine.training.build.fit_batch_size", measure)
    model = DetectionModel(load_graph("models/yolov5n.yaml"))
    for multi_scale in (False, True):
        config = TrainConfig(imgsz=640, batch_size=-1, multi_scale=multi_scale)
        assert fit_config(config, model, torch.device("cpu")).imgsz == 640
    assert sizes == [640, 960]


def test_freeze_stops_the_named_rows() -> None:
    model = DetectionModel(load_graph("models/yolov5n.yaml"))
    freeze(model, TrainConfig(freeze=(3,)).frozen_rows())
    learning = {row.i for row in model.model if any(p.requires_grad for p in row.parameters())}
    assert learning.isdisjoint({0, 1, 2})
    assert {3, 24} <= learning


def test_anchors_follow_the_data_unless_told_not_to(
    material: dict[str, str], tmp_path: Path
) -> None:
    hyp = Hyperparameters(anchor_t=1.05)
    kept = prepare_run(config(material, tmp_path, noautoanchor=True), hyp)
    found = prepare_run(config(material, tmp_path), hyp)
    assert kept.state.model.spec.anchors[0][0] == (10.0, 13.0)
    assert found.state.model.spec.anchors != kept.state.model.spec.anchors


def test_all_arms_of_a_comparison_start_alike(material: dict[str, str], tmp_path: Path) -> None:
    """A graph with one more row has the same weights in all others, and its loader the same
    images.
    """
    graph = tmp_path / "plain.yaml"
    plain = {**GRAPH, "backbone": [row for row in GRAPH["backbone"] if row[2] != "SimAM"]}
    plain["head"] = [[[3, 4], 1, "Detect", ["nc", "anchors"]]]
    graph.write_text(yaml.safe_dump(plain))
    first = prepare_run(config(material, tmp_path), Hyperparameters())
    second = prepare_run(config({**material, "cfg": str(graph)}, tmp_path), Hyperparameters())
    assert len(second.state.model.model) == len(first.state.model.model) - 1
    mine, theirs = first.state.model.state_dict(), second.state.model.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    for a, b in zip(first.setup.loaders[0], second.setup.loaders[0], strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.targets, b.targets)


def test_snapshot_and_restore_are_inverse(material: dict[str, str], tmp_path: Path) -> None:
    run = prepare_run(config(material, tmp_path), Hyperparameters())
    run.state.progress.batch, run.state.progress.epoch = 1, 2
    run.state.progress.loss_sums = [0.5, 1.0, 1.5]
    for parameter in run.state.model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    run.state.optimizer.step()
    save_last(run)
    again = prepare_run(run.setup.config, run.setup.hyp, read(run.setup.last), run.setup.folder)
    assert again.state.progress == run.state.progress
    assert all(
        torch.equal(a, b)
        for a, b in zip(run.state.model.parameters(), again.state.model.parameters(), strict=True)
    )
    pairs = zip(run.state.model.parameters(), again.state.model.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) and a.grad.any() for a, b in pairs)
    mine, theirs = (
        run.state.optimizer.state_dict()["state"],
        again.state.optimizer.state_dict()["state"],
    )
    assert mine.keys() == theirs.keys()
    assert all(
        torch.equal(mine[key]["momentum_buffer"], theirs[key]["momentum_buffer"]) for key in mine
    )


def test_neither_a_graph_nor_weights_is_a_mistake(material: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--cfg"):
        prepare_run(config({**material, "cfg": ""}, tmp_path), Hyperparameters())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("defaults: {imgsz: large}", "imgsz"),
        ("defaults: {imagesize: 320}", "imagesize"),
        ("defaults: {hyp: {lr: 1}}", "lr"),
        ("defaults: {hyp: [1]}", "hyp"),
        ("defaults: {epochs: 0}", "epochs"),
    ],
)
def test_bad_suggestions_of_a_data_set_name_their_file(
    material: dict[str, str], tmp_path: Path, line: str, message: str
) -> None:
    data = tmp_path / "data.yaml"
    data.write_text(Path(material["data"]).read_text() + line + "\n")
    with pytest.raises(UserError, match=message) as caught:
        train.main(["--cfg", material["cfg"], "--data", str(data), "--project", str(tmp_path)])
    assert "data.yaml" in str(caught.value) or message == "epochs"


def test_freezing_too_much_or_what_is_not_there_is_a_mistake() -> None:
    model = DetectionModel(load_graph("models/yolov5n.yaml"))
    with pytest.raises(UserError, match="--freeze 99"):
        freeze(model, (3, 99))
    with pytest.raises(UserError, match="nothing to learn"):
        freeze(model, tuple(range(25)))


def test_a_run_whose_data_lost_a_class_does_not_resume(
    material: dict[str, str], tmp_path: Path
) -> None:
    run = prepare_run(config(material, tmp_path), Hyperparameters())
    save_last(run)
    data = tmp_path / "more.yaml"
    data.write_text(Path(material["data"]).read_text().replace("- dark", "- dark\n- gray"))
    changed = config({**material, "data": str(data)}, tmp_path)
    with pytest.raises(UserError, match="has 3 classes, but the interrupted run had 2"):
        prepare_run(changed, run.setup.hyp, read(run.setup.last), run.setup.folder)


def test_other_class_names_at_a_resume_are_refused_or_named(
    material: dict[str, str], tmp_path: Path
) -> None:
    run = prepare_run(config(material, tmp_path), Hyperparameters())
    save_last(run)
    data, text = tmp_path / "renamed.yaml", Path(material["data"]).read_text()
    changed = config({**material, "data": str(data)}, tmp_path)
    data.write_text(text.replace("- bright\n- dark", "- dark\n- bright"))
    with pytest.raises(UserError, match="has the classes of the interrupted run in another order"):
        prepare_run(changed, run.setup.hyp, read(run.setup.last), run.setup.folder)
    data.write_text(text.replace("- dark", "- black"))
    again = prepare_run(changed, run.setup.hyp, read(run.setup.last), run.setup.folder)
    assert any("such as class 1: black" in note for note in again.state.progress.notes)


@pytest.mark.parametrize(
    ("epoch", "rank", "noval", "stops"),
    [
        (8, 0, False, True),
        (7, 0, False, False),
        (8, 1, False, False),
        (8, 0, True, False),
        (300, 1, True, True),
    ],
)
def test_only_the_process_that_knows_the_fitness_stops_early(
    epoch: int, rank: int, noval: bool, stops: bool
) -> None:
    """Best in epoch 4 and a patience of 3: after epoch 7 it is over, but not for those who never
    validate.
    """
    progress = Progress(epoch=epoch, best_epoch=4, best_fitness=0.1)
    config = TrainConfig(epochs=300, patience=3, noval=noval)
    assert should_stop(config, World(rank, 2), progress) is stops


def golden_targets(golden: dict, height: int, width: int) -> torch.Tensor:
    """Targets [T, 6] image_index, class, corners in pixels from centres and sizes as shares."""
    boxes = torch.tensor(golden["bboxes"]) * torch.tensor([width, height, width, height])
    corners = torch.cat((boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2), 1)
    return torch.cat((torch.tensor([golden["batch_idx"], golden["cls"]]).T, corners), 1)


def test_three_steps_without_anchors_equal_golden() -> None:
    """YOLOv8n for 3 classes: loss, every gradient's norm, clipping, SGD's steps and the moving
    average.

    In float64, so that what remains is the rounding of the golden program, which computed in
    float32: steps amplify it, from 7e-7 of the first loss to 2.9e-4 of the third.
    """
    golden = json.loads((GOLDEN_V8 / "train_step.json").read_text())
    model = DetectionModel(load_graph("yolov8n.yaml"), class_count=3).double()
    fill(model)
    config, hyp = TrainConfig(optimizer="SGD", batch_size=64), Hyperparameters.load("hyp.v8.yaml")
    state = TrainingState(
        model=model.train(),
        network=model,
        ema=ModelEMA(model),
        optimizer=make_optimizer(model, config, hyp),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        sparsity=Sparsity(model, 0.0),
        progress=Progress(),
    )
    loss, images = build_loss(model.spec, hyp, 96), image(61, 2, 3, 64, 96).double()
    targets = golden_targets(golden, 64, 96).double()
    for number, wanted in enumerate(golden["sgd"]["steps"]):
        total, items = loss(model(images), targets, (64, 96))
        total.backward()
        box, cls, dfl = wanted["loss_times_bs"]
        assert (2 * items).tolist() == pytest.approx(
            [box, cls, dfl], rel=1e-5 if number == 0 else 1e-3
        )
        learning = [
            (indexed(model, key), value)
            for key, value in model.named_parameters()
            if value.requires_grad
        ]
        norms = {key: value.grad.norm() for key, value in learning}
        whole = torch.stack(list(norms.values())).norm()
        assert whole.item() == pytest.approx(
            wanted["grad_norm_before_clip"], rel=1e-4 if number == 0 else 1e-3
        )
        if number == 0:
            first = golden["first_backward"]["grad_norms"]
            assert norms.keys() == first.keys()
            assert {key: value.item() for key, value in norms.items()} == pytest.approx(
                first, rel=1e-4, abs=1e-4
            )
        step(state, gradient_norm(state))
    assert state.ema.updates == golden["sgd"]["ema_updates"]
    for key, wanted in golden["sgd"]["after"].items():
        mine = {indexed(model, name): value for name, value in model.state_dict().items()}[key]
        mean = state.ema.module.state_dict()
        average = {indexed(model, name): value for name, value in mean.items()}[key]
        assert mine.norm().item() == pytest.approx(wanted["norm"], rel=1e-4)
        assert average.norm().item() == pytest.approx(wanted["ema_norm"], rel=1e-4)
        assert mine.flatten()[:4].tolist() == pytest.approx(wanted["first4"], rel=1e-3, abs=1e-4)


def test_auto_and_the_familys_schedule_are_in_the_run(
    material: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = {**material, "cfg": str(write_free_graph(tmp_path))}
    hyp = Hyperparameters.load("hyp.v8.yaml")
    run = prepare_run(config(free, tmp_path, optimizer="auto", scale="s"), hyp)
    said = capsys.readouterr().out
    assert said.count("optimizer auto: AdamW") == 1
    assert (run.setup.config.optimizer, run.setup.hyp.lr0, run.setup.schedule.hyp.lr0) == (
        "AdamW",
        0.001667,
        0.001667,
    )
    assert isinstance(run.state.optimizer, torch.optim.AdamW)
    assert run.setup.schedule.family is V8
    assert run.setup.loss.names == ("box", "cls", "dfl")
    assert run.state.model.graph["scale"] == "s"
    save_last(run)
    again = prepare_run(run.setup.config, run.setup.hyp, read(run.setup.last), run.setup.folder)
    assert "optimizer auto" not in capsys.readouterr().out
    assert again.setup.schedule == run.setup.schedule
    assert [group["lr"] for group in again.state.optimizer.param_groups] == [0.001667] * 3


def test_weights_of_the_plain_graph_fit_and_what_is_fresh_is_said(
    material: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The graph of --cfg has SimAM before its last Conv, so that by YOLOv5's names only the rows
    before it fit.
    """
    plain = {**GRAPH, "backbone": [row for row in GRAPH["backbone"] if row[2] != "SimAM"]}
    plain["head"] = [[[3, 4], 1, "Detect", ["nc", "anchors"]]]
    for names, said in ((["dark", "bright"], "(100 %)"), (["bright", "gray"], "4 more in part")):
        source = DetectionModel(plain, names=names, seed=9)
        save(Checkpoint(source.graph, source.names, source.state_dict()), tmp_path / "plain.pt")
        run = prepare_run(
            config(material, tmp_path, weights=str(tmp_path / "plain.pt")), Hyperparameters()
        )
        lines = capsys.readouterr().out.splitlines()
        (line,) = [line for line in lines if line.startswith("Transferred ")]
        total = len(run.state.model.state_dict())
        copied, by_name = (total, total - 11) if said == "(100 %)" else (total - 4, total - 11)
        assert line.startswith(f"Transferred {copied} of {total} tensors (")
        assert f"from {tmp_path / 'plain.pt'}" in line
        assert said in line
        assert line.endswith(f"; matching by name would give {by_name}")
        table = [line for line in lines if "1 of 2 classes new" in line]
        assert [line.split()[:5] for line in table] == (
            [] if copied == total else [["row", "6", "Detect", "row", "5"]]
        )
        assert torch.equal(
            run.state.model.state_dict()["model.4.conv.weight"],
            source.state_dict()["model.4.conv.weight"],
        )


def test_a_scale_needs_a_graph(material: dict[str, str], tmp_path: Path) -> None:
    run = prepare_run(config(material, tmp_path), Hyperparameters())
    save_last(run)
    with pytest.raises(UserError, match=r"--scale s: .* give --cfg too"):
        read_source("", str(run.setup.last), "s")
    assert read_source("", str(run.setup.last))[0]["anchors"]


def test_a_gpu_computes_the_same_bits_again_without_filling_empty_tensors() -> None:
    deterministic: Any = torch.utils.deterministic
    was = torch.are_deterministic_algorithms_enabled(), deterministic.fill_uninitialized_memory
    try:
        with simulated_cuda():
            _, device = start_process(TrainConfig(device="0"), None)
            assert torch.are_deterministic_algorithms_enabled()
        assert device == torch.device("cuda:0")
        assert not deterministic.fill_uninitialized_memory
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(was[0])
        deterministic.fill_uninitialized_memory = was[1]
