"""What a training run is made of, and how it is put together; train.py holds the loop itself,
run.py a run.

prepare(config) reads in the order in which things are built: folder, data, model, optimizer,
loaders, loss.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from data.dataset import DatasetSettings
from data.dataset_yaml import read_dataset_yaml
from data.index import DatasetIndex
from data.loader import Loader, build_loader
from data.scanning.load import load_dataset
from data.workers import choose_workers
from engine.training import dist
from engine.training.autoanchor import check_anchors
from engine.training.ema import ModelEMA
from engine.training.optim import Schedule, choose_optimizer, make_optimizer
from engine.training.run import Progress, Run, Setup, Splits, State, restore
from engine.training.sparsity import Sparsity
from models.attention import ATTENTION
from models.graph.read import load_graph, read_graph
from models.graph.sites import insert
from models.lint.advice import warnings_of
from models.losses import build_loss
from models.weights.load import read_weights
from models.weights.transfer import transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint
from utils.config import TrainConfig
from utils.device import choose_dtype, describe, fit_batch_size, select_device
from utils.errors import UserError
from utils.families import family_of
from utils.files import find_file, make_folder, next_folder, save_yaml
from utils.hyperparameters import Hyperparameters
from utils.seeds import stream
from utils.sizes import side_step, whole_side


def prepare(
    config: TrainConfig,
    hyp: Hyperparameters,
    resumed: Checkpoint | None = None,
    folder: Path | None = None,
) -> Run:
    """Build a run from its configuration, or put an interrupted one back.

    Raises UserError for anything the user has to mend: data, model, flags, device.
    """
    world = dist.start(config.device)
    device = select_device(dist.own_device(world, config.device))
    dist.refuse_alone(world, config)
    torch.manual_seed(config.seed)
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
    data = load_data(config, world)
    model = (
        make_model(config, hyp, data[0], resumed).to(device).to(memory_format=torch.channels_last)
    )
    config = settle(config, model, device)
    config, hyp, chosen = choose_optimizer(config, hyp, len(data[0]), model.spec.class_count)
    if chosen and world.is_main:
        print(chosen)
    if resumed is None:
        fit_anchors(config, hyp, model, data[0])
    freeze(model, config.frozen_rows())
    optimizer = make_optimizer(model, config, hyp)
    loaders = make_loaders(config, hyp, model, data, world)
    scaler = torch.amp.GradScaler(
        device.type, enabled=choose_dtype(device, config.precision) == torch.float16
    )
    setup = Setup(
        config,
        hyp,
        folder or make_run_folder(config, world),
        world,
        device,
        data,
        loaders,
        build_loss(model.spec, hyp, config.imgsz, config.label_smoothing),
        Schedule(config, hyp, len(loaders[0]), model.family),
    )
    network, sparsity = wrap(model, config, world, device), Sparsity(model, config.sparsity)
    state = State(model, network, ModelEMA(model), optimizer, scaler, sparsity, Progress())
    if resumed is not None:
        state = restore(setup, state, resumed)
    if world.is_main:
        announce(setup, model)
    return Run(setup, state)


def announce(setup: Setup, model: DetectionModel) -> None:
    """Write opt.yaml and hyp.yaml, and say what the user should know before the run starts."""
    save_yaml(setup.folder / "opt.yaml", setup.config.plain())
    save_yaml(setup.folder / "hyp.yaml", dataclasses.asdict(setup.hyp))
    for split, index in zip(("train", "val"), setup.data, strict=True):
        print(f"{split}: {index.report.table()}")
        if index.report.entries:
            index.report.write(setup.folder / f"data_{split}_report.csv")
    for warning in (*warnings_of(model), *setup.hyp.doubts(model.family)):
        print(f"warning: {warning}")
    dtype = choose_dtype(setup.device, setup.config.precision)
    print(describe(setup.device), str(dtype).removeprefix("torch."), sep=", ")
    about = read_dataset_yaml(setup.config.data).about
    if about:
        print(about)
    if not setup.config.noplots:
        print(
            f"Look into {setup.folder}: labels.jpg and train_batch0.jpg show the data from the first"
            " minute on, val_batch0_pred.jpg what the model finds after each epoch, results.png"
            " the curves at the end"
        )


def load_data(config: TrainConfig, world: dist.World) -> Splits:
    """Index both splits; the main process goes first, so that the others find its cache."""
    if world.size > 1 and not world.is_main:
        torch.distributed.barrier()
    train = load_dataset(
        config.data, "train", single_cls=config.single_cls, imgsz_hint=config.imgsz
    )
    val = load_dataset(config.data, "val", single_cls=config.single_cls)
    if world.size > 1 and world.is_main:
        torch.distributed.barrier()
    return train, val


def make_model(
    config: TrainConfig, hyp: Hyperparameters, data: DatasetIndex, resumed: Checkpoint | None
) -> DetectionModel:
    """The graph of --cfg, or of --weights, for the data set's classes, pretrained weights copied
    in.
    """
    if resumed is not None:
        if len(resumed.names) != len(data.names):
            raise UserError(
                f"{config.data}: has {len(data.names)} classes, but the interrupted run had "
                f"{len(resumed.names)}; put the names back, or start anew with --weights"
            )
        return DetectionModel(
            resumed.graph, class_count=len(data.names), names=data.names, seed=config.seed
        )
    graph, source = read_source(config.cfg, config.weights, config.scale)
    if config.attention:
        graph = insert(graph, config.attention, config.attention_init)
    elif config.attention_init:
        if not any(row.module in ATTENTION or row.inside for row in read_graph(graph).rows):
            raise UserError(
                f"--attention-init {config.attention_init}: {graph['yaml_file']} has no attention;"
                " add --attention, such as SimAM@neck"
            )
        graph = {**graph, "attention_init": config.attention_init}
    anchors = (round(hyp.anchors) or None) if family_of(graph).has_anchors else None
    model = DetectionModel(
        graph, class_count=len(data.names), anchors=anchors, names=data.names, seed=config.seed
    )
    if source is not None:
        exclude = ("anchors",) if config.cfg or hyp.anchors else ()
        report = transfer(model, source, exclude)
        print(report.line(config.weights))
        if report.fresh or config.verbose:
            print(report.table(everything=config.verbose))
    return model


def read_source(
    cfg: str, weights: str, scale: str = ""
) -> tuple[dict[str, Any], Checkpoint | None]:
    """The graph of --cfg, else of --weights; and the checkpoint of --weights, if there is one."""
    source = read_weights(find_file(weights)) if weights else None
    if cfg:
        graph = load_graph(cfg, scale)
        return graph, with_graph(source, graph, weights) if source is not None else None
    if source is None:
        raise UserError(
            "--cfg: give a model such as models/yolov5s.yaml or yolov8n.yaml, or --weights to go on"
            " from"
        )
    if scale:
        raise UserError(
            f"--scale {scale}: {weights} has its size; give --cfg too for another, or leave"
            " --scale out"
        )
    if not source.graph:
        raise UserError(
            f"--weights {weights}: holds tensors without a graph; give the graph that they are of"
            " as --cfg"
        )
    return source.graph, source


def settle(config: TrainConfig, model: DetectionModel, device: torch.device) -> TrainConfig:
    """Figures that depend on the model: the image size as a multiple of its stride, the automatic
    batch size.
    """
    stride = side_step(model.stride)
    size = max(whole_side(config.imgsz, stride), 2 * stride)
    if size != config.imgsz:
        print(f"--imgsz {config.imgsz} is not a multiple of the stride {stride}, using {size}")
    batch = (
        fit_batch_size(model, size, device, config.precision)
        if config.batch_size == -1
        else config.batch_size
    )
    return dataclasses.replace(config, imgsz=size, batch_size=batch)


def fit_anchors(
    config: TrainConfig, hyp: Hyperparameters, model: DetectionModel, data: DatasetIndex
) -> None:
    """Replace the anchors, if the head has any, if they miss more than 2 % of the boxes."""
    if not model.spec.anchors or (config.noautoanchor and not hyp.anchors):
        return
    generator = stream(config.seed, "anchors")
    found = check_anchors(data, model.spec.anchors, config.imgsz, hyp.anchor_t, generator)
    if found is not None:
        model.set_anchors(found)


def freeze(model: DetectionModel, rows: tuple[int, ...]) -> None:
    """Stop the rows' parameters from learning.

    Raises UserError for a row that is not there, or if none is left.
    """
    if rows and max(rows) >= len(model.model):
        raise UserError(
            f"--freeze {max(rows)}: the model has rows 0 to {len(model.model) - 1}; name some of"
            " those"
        )
    for row in model.model:
        if row.i in rows:
            row.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("--freeze: leaves nothing to learn; freeze fewer rows")


def make_loaders(
    config: TrainConfig,
    hyp: Hyperparameters,
    model: DetectionModel,
    data: Splits,
    world: dist.World,
) -> tuple[Loader, Loader | None]:
    """Training batches for every process; validation batches, rectangular, for the main one."""
    stride, share = int(model.stride.max()), dist.share_of_batch(world, config.batch_size)
    device = next(model.parameters()).device.type
    workers = choose_workers(config.workers, device, share)
    common: dict[str, Any] = {
        "imgsz": config.imgsz,
        "stride": stride,
        "hyp": hyp,
        "seed": config.seed,
    }
    common["cache"] = config.cache
    train = DatasetSettings(
        augment=True, rect=config.rect, batch_size=share, copies=world.size, **common
    )
    reading: dict[str, Any] = {"workers": workers, "pin_memory": device == "cuda"}
    loader = build_loader(
        data[0], train, shuffle=True, rank=world.rank, world=world.size, **reading
    )
    if not world.is_main:
        return loader, None
    val = DatasetSettings(augment=False, rect=True, batch_size=share * 2, pad=0.5, **common)
    return loader, build_loader(data[1], val, **reading)


def wrap(
    model: DetectionModel, config: TrainConfig, world: dist.World, device: torch.device
) -> nn.Module:
    """The model as the loop calls it."""
    network: nn.Module = model
    if world.size > 1:
        if config.sync_bn and device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        ids = [world.local_rank] if device.type == "cuda" else None
        network = nn.parallel.DistributedDataParallel(model, device_ids=ids, static_graph=True)
    return cast(nn.Module, torch.compile(network)) if config.compile else network


def make_run_folder(config: TrainConfig, world: dist.World) -> Path:
    """project/name, numbered; the same for every process."""
    folder = None
    if world.is_main:
        name = Path(config.cfg).stem if config.name == "cfg" else config.name
        folder = next_folder(config.project, name, config.exist_ok)
        make_folder(folder / "weights")
    return dist.broadcast(world, folder)  # type: ignore[return-value]
