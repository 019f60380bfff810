"""The construction of a training run from its flags and hyperparameters.

prepare_run() builds data, model, optimizer, loaders, folder and loss in this order. run.py defines
the Run that they form, and train.py has the loop.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import torch
from torch import nn

from data.augment import largest_multi_scale
from data.dataset import DatasetSettings
from data.dataset_yaml import read_dataset_yaml
from data.grey import channel_notes
from data.loader import Loader, build_loader
from data.scanning.load import load_dataset
from data.workers import choose_workers
from engine.detector_model import image_channels
from engine.evaluation.notes import size_notes, training_notes
from engine.training import dist
from engine.training.autobatch import fit_batch_size
from engine.training.circumstances import keep_threads
from engine.training.ema import ModelEMA
from engine.training.lock import FolderLock
from engine.training.model import fit_anchors, freeze, make_model
from engine.training.optim import Schedule, choose_optimizer, make_optimizer
from engine.training.overview import overview
from engine.training.parallel import SharedNetwork
from engine.training.run import Progress, Run, Setup, Splits, TrainingState, restore
from engine.training.sparsity import Sparsity
from engine.training.validation import own_batches
from models.graph.load import doubled_notes
from models.lint.advice import remarks_on
from models.losses import build_loss
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint
from utils.config import TrainConfig
from utils.device import GPUS, arrange, choose_dtype, describe_device, use_device
from utils.files import make_folder, next_folder, save_yaml
from utils.hyperparameters import Hyperparameters
from utils.sizes import side_step, whole_side
from utils.version import __version__


def prepare_run(
    config: TrainConfig,
    hyp: Hyperparameters,
    resumed: Checkpoint | None = None,
    folder: Path | None = None,
    lock: FolderLock | None = None,
) -> Run:
    """Build a run from its configuration, or restore an interrupted one.

    Args:
        config, hyp: The flags and hyperparameters.
        resumed: The checkpoint of an interrupted run.
        folder: That run's folder; None makes a new one.
        lock: The lock of that folder; a new one is locked here.

    Raises:
        UserError: Anything that the user has to fix: data, model, flags, device.
    """
    world, device = start_process(config, resumed)
    data = load_data(config, world)
    model, notes = make_model(config, hyp, data[0], resumed)
    model = arrange(model.to(device), device)
    asked, config = config, fit_config(config, model, device)
    config, hyp, chosen = choose_optimizer(config, hyp, len(data[0]), model.spec.class_count)
    if chosen and world.is_main:
        print(chosen)
    if resumed is None:  # otherwise the checkpoint's graph has the anchors that were found
        fit_anchors(config, hyp, model, data[0])
    freeze(model, config.frozen_rows())
    optimizer = make_optimizer(model, config, hyp)
    loaders = make_loaders(config, hyp, model, data, world)
    scaler = torch.amp.GradScaler(
        device.type, enabled=choose_dtype(device, config.precision) == torch.float16
    )
    if folder is None:
        folder, lock = make_run_folder(config, world)
    setup = Setup(
        config,
        hyp,
        folder,
        world,
        device,
        data,
        loaders,
        build_loss(model.spec, hyp, config.imgsz, config.label_smoothing),
        Schedule(config, hyp, len(loaders[0]), model.family),
        lock,
    )
    network, sparsity = wrap(model, config, world, device), Sparsity(model, config.sparsity)
    state = TrainingState(model, network, ModelEMA(model), optimizer, scaler, sparsity, Progress())
    if resumed is not None:
        state = restore(setup, state, resumed)
    run = Run(setup, state)
    if world.is_main:
        announce(setup, state)
        for note in (*notes, *start_notes(run, asked.imgsz)):
            state.progress.add_note(note)
    return run


def start_notes(run: Run, imgsz: int) -> list[str]:
    """What to know of the images and how they are read; imgsz is the size asked for, pixels."""
    config = run.setup.config
    wanted = read_dataset_yaml(config.data).channels
    return [
        *channel_notes(run.state.model.channels, wanted, config.data),
        *size_notes(imgsz, config.imgsz),
        *training_notes(*run.setup.data),
        *(doubled_notes(config.cfg) if config.cfg else ()),
        *[loader.note for loader in run.setup.loaders if loader and loader.note][:1],
    ]


def start_process(
    config: TrainConfig, resumed: Checkpoint | None
) -> tuple[dist.World, torch.device]:
    """Join the other processes, choose the device, and seed and fix what the bits depend on."""
    world, device = dist.start(config.device)
    use_device(device, config.tf32)
    dist.refuse_alone(world, config)
    said = keep_threads(resumed)
    if said:
        print(said)
    torch.manual_seed(config.seed)  # for draws inside layers; all else has keyed streams
    if device.type == "cuda":
        # cuDNN's benchmark stays off: it chooses between algorithms by their time, so that two runs
        # would differ in their last bits.
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Every empty tensor would be filled with NaN, 50 times as many fills in a step. That is to
        # show a program that reads memory before it writes it, and changes no result of others.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return world, device


def announce(setup: Setup, state: TrainingState) -> None:
    """Write opt.yaml and hyp.yaml, and print what the user should know before the run starts."""
    save_yaml(setup.folder / "opt.yaml", {**setup.config.plain(), "version": __version__})
    save_yaml(setup.folder / "hyp.yaml", dataclasses.asdict(setup.hyp))
    for split, index in zip(("train", "val"), setup.data, strict=True):
        print(f"{split}: {index.report.table()}")
        if index.report.entries:
            index.report.write(setup.folder / f"data_{split}_report.csv")
    doubts = (f"warning: {doubt}" for doubt in setup.hyp.doubts(state.model.family))
    for line in (*overview(setup, state), *remarks_on(state.model), *doubts):
        print(line)
    dtype = choose_dtype(setup.device, setup.config.precision)
    print(describe_device(setup.device), str(dtype).removeprefix("torch."), sep=", ")
    about = read_dataset_yaml(setup.config.data).about
    if about:
        print(about)
    if not setup.config.noplots:
        print(
            f"Look into {setup.folder}: labels.jpg and train_batch0.jpg show the data from the"
            " first minute on, val_batch0_pred.jpg what the model finds after each epoch,"
            " results.png the curves at the end"
        )


def load_data(config: TrainConfig, world: dist.World) -> Splits:
    """Index both splits; the main process does so first, and the others find its cache."""
    if world.size > 1 and not world.is_main:
        torch.distributed.barrier()
    train = load_dataset(
        config.data, "train", single_cls=config.single_cls, imgsz_hint=config.imgsz
    )
    val = load_dataset(config.data, "val", single_cls=config.single_cls)
    if world.size > 1 and world.is_main:
        torch.distributed.barrier()
    return train, val


def fit_config(config: TrainConfig, model: DetectionModel, device: torch.device) -> TrainConfig:
    """Fill in the values that depend on the model: image size and automatic batch size.

    The image size becomes a multiple of the stride. It is at least two strides, since one would
    leave the coarsest map a single cell, from which a batch norm cannot compute a variance.

    Args:
        config: The flags.
        model: The model, on the device.
        device: The device, whose free memory limits an automatic batch size.

    Returns:
        The flags with both values filled in.
    """
    stride = side_step(model.stride)
    size = max(whole_side(config.imgsz, stride), 2 * stride)
    batch = config.batch_size
    if batch == -1:
        largest = largest_multi_scale(size, stride) if config.multi_scale else size
        batch, reason = fit_batch_size(model, largest, device, config.precision)
        print(reason)
    return dataclasses.replace(config, imgsz=size, batch_size=batch)


def make_loaders(
    config: TrainConfig,
    hyp: Hyperparameters,
    model: DetectionModel,
    data: Splits,
    world: dist.World,
) -> tuple[Loader, Loader]:
    """Make training batches, and rectangular validation batches; each process has a share of both.

    Args:
        config, hyp: Sizes and augmentation.
        model: The model, for its stride and device.
        data: The training and the validation split.
        world: The processes that share the training images.
    """
    share = dist.share_of_batch(world, config.batch_size)
    device = next(model.parameters()).device.type
    workers, pinned = choose_workers(config.workers, device, share), device in GPUS
    train = DatasetSettings(
        imgsz=config.imgsz,
        hyp=hyp,
        augment=True,
        batch_size=share,
        stride=int(model.stride.max()),
        rect=config.rect,
        seed=config.seed,
        cache=config.cache,
        copies=world.size,
        channels=image_channels(model),
        mosaic_pool=config.mosaic_pool,
        colours=device not in GPUS,
    )
    loader = build_loader(
        data[0],
        train,
        shuffle=True,
        rank=world.rank,
        world=world.size,
        workers=workers,
        pin_memory=pinned,
    )
    # Without gradients, twice the images fit into the same memory.
    val = dataclasses.replace(
        train, augment=False, batch_size=share * 2, rect=True, pad=0.5, copies=1
    )
    validation = build_loader(data[1], val, workers=workers, pin_memory=pinned)
    if world.size > 1:
        validation.read_only(own_batches(len(validation), world))
    return loader, validation


def wrap(
    model: DetectionModel, config: TrainConfig, world: dist.World, device: torch.device
) -> nn.Module:
    """The model as the loop calls it: bare, compiled, or wrapped for several processes.

    Args:
        model: The bare model.
        config: Says whether to compile, and to synchronise batch norms.
        world: The processes.
        device: The device of this process.
    """
    network: nn.Module = model
    if world.size > 1:
        if config.sync_bn and device.type in GPUS:
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        # The number of a process is not that of its device, as --device 2,3 shows.
        network = SharedNetwork(model, [device.index] if device.type in GPUS else None)
    return compiled(network) if config.compile else network


def compiled(network: nn.Module) -> nn.Module:
    """The network with compiled passes, which serve images of many sizes."""
    # Without the option, the backward pass is compiled for the strides of its maps, and so anew for
    # each size of multi-scale training. Our maps are channels-last anyway.
    return cast(nn.Module, torch.compile(network, options={"force_layout_optimization": True}))


def make_run_folder(config: TrainConfig, world: dist.World) -> tuple[Path, FolderLock | None]:
    """Make the folder project/name, numbered if it exists, and lock it.

    The folder is the same for every process; only the main one, which writes, has the lock. Raises
    UserError if another program trains in the folder.
    """
    folder = lock = None
    if world.is_main:
        name = Path(config.cfg).stem if config.name == "cfg" else config.name
        folder = next_folder(config.project, name, config.exist_ok)
        lock = FolderLock(folder)
        make_folder(folder / "weights")
    shared_folder = dist.broadcast(world, folder)
    assert shared_folder is not None
    return shared_folder, lock
