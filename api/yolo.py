"""YOLO: train, validate, predict and export from Python, under the names that Ultralytics' users
know.

    from api import YOLO
    model = YOLO("models/yolov8n_SimAM.yaml").load("best.pt")
    model.train(data="my.yaml", epochs=50, imgsz=640)
    for result in model("images/"):
        print(result.path, result.boxes.xyxy)

Graphs with anchors (YOLOv5) and without (YOLOv8, YOLO11) alike. Every call builds the configuration
of a script and runs that script's own functions; defaults are the scripts'. A mistake raises
UserError, nothing here ends the process.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

import export
import val
from api.keywords import KeywordError, device_text, read_keywords
from api.results import Results
from api.scores import DetMetrics
from data.sources.memory import open_any
from data.sources.open import usual_source
from engine.inference.console import Console, Found
from engine.inference.detector import Detector
from engine.inference.outputs import Outputs, conclude
from engine.inference.settings import USUAL_SIZE, DetectConfig
from engine.training.plan import plan
from models.costs.profile import count_costs, gigaflops, summary, whole_size
from models.graph.read import load_graph
from models.graph.sites import insert
from models.lint.advice import warnings_of
from models.weights.load import from_checkpoint, read_weights
from models.weights.transfer import is_unnamed, transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from train import train
from utils.cli import build
from utils.config import Hyperparameters, TrainConfig
from utils.device import select_device
from utils.errors import UserError
from utils.files import find_file, next_folder

HYPERPARAMETERS = frozenset(field.name for field in dataclasses.fields(Hyperparameters))


class YOLO:
    """A detector and where it is from.

    model: a model YAML (random weights) or a checkpoint. scale: n, s, m, l or x, for a YAML that
    has several sizes; left out, the file's name says it. attention: modules to put into the graph,
    such as "SimAM@neck", or a list of such (models/graph/sites.py); a checkpoint's weights stay.
    verbose: print its rows and costs. Attributes: model, the network; names, class number -> name;
    save_dir, the folder of the last run. Raises UserError for a file that is missing, damaged or
    foreign.
    """

    def __init__(
        self, model: str | Path, task: str | None = "detect", verbose: bool = False, scale: str = "",
        attention: str | Sequence[str] | None = (),
    ) -> None:  # fmt: skip
        if task not in ("detect", None):
            raise KeywordError(f"YOLO: task={task!r}: only detect is part of this project")
        self.cfg = self.weights = ""
        self.scale, self.device = scale, ""
        self.attention = _texts(attention)
        self.save_dir: Path | None = None
        self.metrics: DetMetrics | None = None
        self._copy: tuple[Any, Any] = (None, None)
        if str(model).endswith((".yaml", ".yml")):
            self.cfg = str(model)
            self.model = DetectionModel(insert(load_graph(self.cfg, scale), self.attention))
            self._trained_at, self._data = 0, ""
            for warning in warnings_of(self.model):
                print(f"warning: {warning}")
        else:
            self._take(str(model), self.attention)
        if verbose:
            self.info(detailed=True)

    def _take(self, weights: str, attention: tuple[str, ...] = ()) -> None:
        """Become the model of a checkpoint, with attention put in."""
        checkpoint = read_weights(_local(weights))
        self.model = from_checkpoint(checkpoint, attention, where=weights)
        self.weights, self.cfg, self.scale = weights, "", ""
        self.attention, self._copy = attention, (None, None)
        self._trained_at, self._data = int(checkpoint.config.get("imgsz", 0)), checkpoint.data

    @property
    def names(self) -> dict[int, str]:
        return self.model.names

    def load(self, weights: str | Path) -> YOLO:
        """Copy from a checkpoint all tensors that both graphs have; train() begins with the one
        loaded last.
        """
        checkpoint = with_graph(read_weights(_local(str(weights))), self.model.graph, weights)
        report = transfer(self.model, checkpoint)
        if report.classes == tuple(range(len(checkpoint.names))) and not is_unnamed(
            checkpoint.names
        ):
            self.model.names = checkpoint.names
        self.weights = str(weights)
        print(report.line(weights))
        return self

    def to(self, device: Any) -> YOLO:
        """Compute on this device where a call names no other: 'cpu', 0, 'cuda:0' …"""
        self.device = device_text(device)
        select_device(self.device)
        return self

    def train(
        self,
        resume: bool | str | Path = False,
        pretrained: bool | str | Path = True,
        **options: Any,
    ) -> DetMetrics:
        """Train by train.py's flags (batch, data, device … as keywords) and hyperparameters (lr0,
        mosaic …).

        data: left out, the project's own default set. resume: go on with this checkpoint's
        interrupted run, or that of the given one; other keywords are ignored then. pretrained: a
        checkpoint to begin with; False for none at all. Afterwards the object holds best.pt. The
        network is built anew from its file: changes made in memory are lost.
        """
        options = {"device": self.device or None, **options}
        given, changes = read_keywords(TrainConfig, options, "train", HYPERPARAMETERS)
        if str(resume).endswith((".yaml", ".yml")):
            raise KeywordError(
                f"train: resume={str(resume)!r}: must be a checkpoint; a data set is given as data="
            )
        if resume:
            given, changes = (
                {"resume": (self.weights or "newest") if resume is True else str(resume)},
                {},
            )
        else:
            weights = (
                str(pretrained)
                if isinstance(pretrained, (str, Path))
                else self.weights
                if pretrained
                else ""
            )
            own: dict[str, Any] = {
                "cfg": self.cfg or self._own_graph(weights),
                "weights": weights,
                "scale": self.scale,
            }
            own["attention"] = (*self.attention, *given.pop("attention", ()))
            given = {**{name: value for name, value in own.items() if value}, **given}
        run = plan(given, changes)
        try:
            metrics = train(run)
        except SystemExit:  # Ctrl-C or SIGTERM: the run is saved
            raise KeyboardInterrupt from None
        if metrics is None:
            raise UserError(
                "train: only the main process of several has a result; use train.py with torchrun"
            )
        self.save_dir = run.setup.folder
        self._take(str(run.setup.best if run.setup.best.exists() else run.setup.last))
        self.metrics = DetMetrics(metrics, self.names, run.setup.folder)
        return self.metrics

    def _own_graph(self, weights: str) -> str:
        """The file of the graph to train if `weights`, which have one too, do not say it."""
        if not weights:
            raise UserError(
                "train: pretrained=False: this model is from a checkpoint; make it of its YAML"
                " instead"
            )
        return ""

    def val(self, **options: Any) -> DetMetrics:
        """Score by val.py's flags: data, split, imgsz, batch, conf, iou, save_json, plots …

        data and imgsz: left out, those that the model was trained with.
        """
        given, _ = read_keywords(val.ValConfig, {"device": self.device or None, **options}, "val")
        if given.get("task", "val") not in ("train", "val", "test"):
            raise KeywordError(f"val: split={given['task']!r}: must be train, val or test")
        if given.get("attention"):
            raise KeywordError(
                "val: attention: is put in when the model is made; write YOLO(…, attention=[…])"
            )
        given["weights"] = (self.weights or self.cfg,)
        if self._trained_at:
            given.setdefault("imgsz", self._trained_at)
        metrics = val.validate_split(val.complete(given), self._ready())
        self.metrics = DetMetrics(metrics, self.names, metrics.details.save_dir)
        self.save_dir = self.metrics.save_dir
        return self.metrics

    def __call__(
        self, source: Any = None, stream: bool = False, **options: Any
    ) -> list[Results] | Iterator[Results]:
        """predict()."""
        return self.predict(source, stream, **options)

    def predict(
        self, source: Any = None, stream: bool = False, **options: Any
    ) -> list[Results] | Iterator[Results]:
        """Find objects by detect.py's flags (conf, iou, imgsz, classes, save, save_txt …).

        source: path, folder, glob, camera number, URL, Pillow image, array [H, W, 3] BGR, tensor
        [B, 3, H, W] RGB in 0..1, or a list; None takes validation images of the model's data set.
        verbose=False prints nothing. Returns a list of Results, or with stream, which long videos
        need, a generator.
        """
        verbose = bool(options.pop("verbose", True))
        defaults = {"device": self.device or None, "imgsz": self._trained_at or None, "save": False}
        given, _ = read_keywords(DetectConfig, {**defaults, **options}, "predict")
        config = build(DetectConfig, given)
        unknown = [number for number in config.classes if number not in self.names]
        if unknown:
            raise UserError(
                f"predict: classes={unknown[0]}: the model's are numbered 0 to"
                f" {len(self.names) - 1}"
            )
        frames = usual_source(self._data) if source is None else open_any(source, config.vid_stride)
        results = self._results(frames, config, Console() if verbose else _SilentConsole())
        return results if stream else list(results)

    def _results(self, frames: Any, config: DetectConfig, console: Console) -> Iterator[Results]:
        """detect.py's way of a frame, one Results each."""
        with contextlib.ExitStack() as stack:
            stack.callback(frames.close)
            writes = not config.nosave or config.save_txt or config.save_csv or config.save_crop
            folder = next_folder(config.project, config.name, config.exist_ok) if writes else None
            self.save_dir = folder or self.save_dir
            detector = Detector(self._ready(config.device), config)
            stack.callback(console.close, detector.shape)
            outputs = stack.enter_context(contextlib.closing(Outputs(config, folder)))
            for frame in frames:
                found = detector(frame)
                console.show(found)
                go_on = outputs(found)
                yield Results(found, folder)
                if not go_on:
                    break
        conclude(frames, console, outputs)

    def _ready(self, device: str = "") -> DetectionModel:
        """A fused copy for inference on the device, made again when the weights have changed."""
        place = select_device(device or self.device)
        state = tuple(
            (value.data_ptr(), value._version)
            for value in self.model.state_dict(keep_vars=True).values()
        )
        if self._copy[0] != (place, state):
            model = copy.deepcopy(self.model).to(place).float().eval().fuse()
            self._copy = (
                (place, state),
                (model if place.type == "mps" else model.to(memory_format=torch.channels_last)),
            )
        self._copy[1].names = self.names
        return self._copy[1]

    def export(self, format: str = "torchscript", **options: Any) -> str:
        """Write an `onnx` or `torchscript` file by export.py's flags (imgsz, dynamic, half, opset,
        nms …); its path.
        """
        if self._trained_at:
            options.setdefault("imgsz", self._trained_at)
        given, _ = read_keywords(export.ExportConfig, options, "export")
        config = build(export.ExportConfig, {**given, "include": (format,)})
        return str(export.export(self.model, config, self.weights or Path(self.cfg).name)[0])

    def info(
        self, detailed: bool = False, verbose: bool = True, imgsz: int = USUAL_SIZE
    ) -> tuple[int, int, int, float]:
        """(layers, parameters, gradients, GFLOPs as YOLOv5 and YOLOv8 count them), printed unless
        verbose is False.
        """
        model = copy.deepcopy(self.model).to("meta")
        costs = count_costs(model, whole_size(imgsz, model))
        if detailed:
            for row in self.model.model:
                print(f"{row.i:>3} {row.f!s:>18} {row.np:>11,}  {row.type}")
        if verbose:
            print(summary(self.model, Path(self.cfg or self.weights).stem, costs))
        leaves = [
            module for module in self.model.modules() if not any(True for _ in module.children())
        ]
        sizes = [(value.numel(), value.requires_grad) for value in self.model.parameters()]
        learnt = sum(size for size, learns in sizes if learns)
        return len(leaves), sum(size for size, _ in sizes), learnt, round(gigaflops(costs)[1], 4)

    def fuse(self) -> YOLO:
        """Fold batch norms into convolutions, for inference.

        predict() and val() do so by themselves, on a copy.
        """
        self.model.fuse()
        return self

    def track(self, *_: Any, **__: Any) -> NoReturn:
        raise UserError(
            "track: is not part of this project; feed predict(stream=True) to a tracker of your own"
        )

    def tune(self, *_: Any, **__: Any) -> NoReturn:
        raise UserError(
            "tune: is not part of this project; search with Optuna around train(), comparing"
            " several seeds"
        )

    def add_callback(self, *_: Any, **__: Any) -> NoReturn:
        raise UserError(
            "add_callback: the loop has no callbacks; read results.csv in save_dir, or edit"
            " train.py"
        )

    def benchmark(self, *_: Any, **__: Any) -> NoReturn:
        raise UserError(
            "benchmark: is not part of this project; use val(), or python val.py --task speed"
        )


class _SilentConsole(Console):
    """Counts frames and says nothing."""

    def show(self, found: Found) -> None:
        self.frames += 1

    def close(self, shape: tuple[int, int]) -> None:
        """No speed line."""


def _texts(attention: Any) -> tuple[str, ...]:
    """attention=: one text or several. Raises KeywordError for anything else."""
    found = (
        (attention,)
        if isinstance(attention, str)
        else attention
        if isinstance(attention, (list, tuple))
        else None
    )
    if (found is None and attention is not None) or any(
        not isinstance(one, str) for one in found or ()
    ):
        raise KeywordError(
            f"YOLO: attention={attention!r}: must be text such as 'SimAM@neck', or a list of such"
        )
    return tuple(found or ())


def _local(weights: str) -> Path:
    """The checkpoint's file. Raises UserError that says that nothing is downloaded."""
    try:
        return find_file(weights)
    except UserError as error:
        raise UserError(
            f"{error}; nothing is downloaded here: train it, or begin with a YAML of models/"
        ) from None
