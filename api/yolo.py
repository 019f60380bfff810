"""YOLO: train, validate, predict and export from Python, under Ultralytics' names.

    from api import YOLO
    model = YOLO("models/yolov8n_SimAM.yaml").load("best.pt")
    model.train(data="my.yaml", epochs=50, imgsz=640)
    for result in model("images/"):
        print(result.path, result.boxes.xyxy)

Graphs with anchors (YOLOv5) and without (YOLOv8, YOLO11) are used in the same way. Every call
builds the configuration of a script and runs that script's own functions, with the script's
defaults. A mistake raises UserError; nothing here ends the process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

import export
import val
from api.callbacks import Callbacks
from api.explaining import ExplainCalls
from api.fused import FusedCopy, Network
from api.keywords import KeywordError, Keywords, attention_texts, read_keywords
from api.model_calls import ModelCalls
from api.results import Results
from api.scores import DetMetrics
from api.trainer import Predictor, Teller, Trainer, Validator
from api.tuning import HYPERPARAMETERS, TuneCalls
from api.weights import copy_weights, open_weights, trainable
from data.sources.memory import from_tensor, open_any
from data.sources.open import Source, usual_source
from engine.evaluation.settings import SPLITS, ValConfig
from engine.explain.feature_writer import add_features
from engine.export.settings import ExportConfig
from engine.inference.console import Console, SilentConsole
from engine.inference.detector import Detector
from engine.inference.outputs import Outputs, conclude
from engine.inference.pipeline import show
from engine.inference.settings import DetectConfig
from engine.training.plan import plan
from models.graph.load import load_graph
from models.graph.own_files import use_modules
from models.graph.sites import insert
from models.lint.advice import remarks_on
from models.yolo import DetectionModel
from train import train
from utils.cli import build
from utils.config import TrainConfig
from utils.device import take_device
from utils.errors import UserError


class YOLO(ExplainCalls, TuneCalls, ModelCalls):
    """A detector and the file that it comes from.

    Attributes:
        model, names: the network; class number -> name.
        cfg, weights: the model YAML or the checkpoint, "" if there is none.
        save_dir: folder of the last run, None before the first.
        metrics: scores of the last evaluation, None before the first.
    """

    def __init__(
        self,
        model: str | Path,
        task: str | None = "detect",
        verbose: bool = False,
        scale: str = "",
        attention: str | Sequence[str] | None = (),
        modules: str | Path | Sequence[str | Path] = (),
    ) -> None:
        """Build the network of a file.

        Args:
            model: a model YAML, for random weights, or a checkpoint.
            task: "detect"; there is no other.
            verbose: whether to print the rows and costs.
            scale: n, s, m, l or x, of a YAML that has several sizes; "" takes it from the name.
            attention: modules to insert into the graph, such as "SimAM@neck", or a list of such
                (models/graph/sites.py); the weights of a checkpoint are kept.
            modules: Python files with classes of your own for the graph (docs/own_modules.md).

        Raises:
            UserError: the file is missing, damaged or of an unknown kind.
        """
        if task not in ("detect", None):
            raise KeywordError(f"YOLO: task={task!r}: only detect is part of this project")
        self._modules = {"modules": files} if (files := use_modules(modules)) else {}
        self.cfg = self.weights = ""
        self.scale = scale
        self.attention = attention_texts(attention)
        self.save_dir: Path | None = None
        self.metrics: DetMetrics | None = None
        self._fused, self._callbacks = FusedCopy(), Callbacks()
        if str(model).endswith((".yaml", ".yml")):
            self.cfg = str(model)
            self._trained_at, self._data = 0, ""
            graph = insert(load_graph(self.cfg, scale), self.attention)
            self.model: Network = DetectionModel(graph)
            for line in remarks_on(self.model):
                print(line)
        else:
            self._take(str(model), self.attention)
        if verbose:
            self.info(detailed=True)

    def _take(self, weights: str, attention: tuple[str, ...] = ()) -> None:
        """Replace the model by that of a file, with attention inserted."""
        self.model, self._trained_at, self._data = open_weights(weights, attention, self._device)
        self.weights, self.cfg, self.scale = weights, "", ""
        self.attention = attention

    def load(self, weights: str | Path) -> YOLO:
        """Copy all tensors that fit from a checkpoint; train() starts with the one loaded last."""
        copy_weights(trainable(self.model, "load"), str(weights))
        self.weights = str(weights)
        return self

    def train(
        self,
        resume: bool | str | Path = False,
        pretrained: bool | str | Path = True,
        callbacks: object = (),
        **options: object,
    ) -> DetMetrics:
        """Train; afterwards the object holds best.pt.

        The network is built anew from its file, so changes made in memory are lost.

        Args:
            resume: continue the interrupted run of this checkpoint, or of the given one; other
                keywords are ignored then.
            pretrained: a checkpoint to start from; True for the weights of this object, False for
                random ones.
            callbacks: functions to call besides those of add_callback(): a list of functions with
                the names of moments (on_fit_epoch_end …), or {moment: function}.
            options: train.py's flags (batch, device …) and hyperparameters (lr0, mosaic …). If data
                is left out, the project's generated shapes are used.

        Returns:
            Scores of the best epoch.

        Raises:
            UserError: a keyword, a file or a value is wrong, or a callback has failed.
            KeyboardInterrupt: Ctrl-C or SIGTERM stopped the training; the run is saved.
        """
        functions = self._callbacks.with_more(callbacks)
        options = {"device": self._device or None, **options}
        given, changes = read_keywords(TrainConfig, options, "train", HYPERPARAMETERS)
        if str(resume).endswith((".yaml", ".yml")):
            raise KeywordError(
                f"train: resume={str(resume)!r}: must be a checkpoint; a data set is given as data="
            )
        if resume:
            checkpoint = (self.weights or "newest") if resume is True else str(resume)
            given, changes = {"resume": checkpoint}, {}
        else:
            inserted = (*self.attention, *given.pop("attention", ()))
            given = {**self._start(pretrained, inserted), **given}
        run = plan(given, changes)
        self.save_dir, self.trainer = run.setup.folder, Trainer(run)
        try:
            metrics = train(run, Teller(functions, self.trainer))
        except SystemExit:  # raised by train.py after Ctrl-C or SIGTERM, when the run is saved
            saved = f"the run is saved; train(resume='{run.setup.last}') goes on with it"
            raise KeyboardInterrupt(saved) from None
        if metrics is None:
            raise UserError(
                "train: only the main process of several has a result; use train.py with torchrun"
            )
        self._take(str(run.setup.best if run.setup.best.exists() else run.setup.last))
        self.metrics = DetMetrics(metrics, self.names, run.setup.folder)
        return self.metrics

    def _start(self, pretrained: bool | str | Path, attention: tuple[str, ...]) -> Keywords:
        """The flags that name the graph and weights with which a training starts."""
        trainable(self.model, "train")
        own = self.weights if pretrained else ""
        weights = str(pretrained) if isinstance(pretrained, (str, Path)) else own
        if not self.cfg and not weights:
            what = "pretrained=False: this model is from a checkpoint"
            raise UserError(f"train: {what}; make it of its YAML instead")
        flags = {"cfg": self.cfg, "weights": weights, "scale": self.scale, "attention": attention}
        return {name: value for name, value in flags.items() if value} | self._modules

    def val(self, **options: object) -> DetMetrics:
        """Evaluate by val.py's flags: data, split, imgsz, batch, conf, iou, save_json, plots …

        If data or imgsz is left out, the value that the model was trained with is used.
        """
        given, _ = read_keywords(ValConfig, {"device": self._device or None, **options}, "val")
        if given.get("task", "val") not in SPLITS:
            raise KeywordError(f"val: split={given['task']!r}: must be train, val or test")
        if given.get("attention"):
            raise KeywordError(
                "val: attention: is inserted when the model is made; write YOLO(…, attention=[…])"
            )
        given["weights"] = (self.weights or self.cfg,)
        if self._trained_at:
            given.setdefault("imgsz", self._trained_at)
        config, validator = val.complete(given), Validator(self.names, None, training=False)
        self._callbacks.call("on_val_start", validator)
        metrics = val.validate_split(config, self._ready())
        self.save_dir = validator.save_dir = metrics.details.save_dir
        self.metrics = DetMetrics(metrics, metrics.details.names, self.save_dir)
        validator.metrics, validator.names = self.metrics, self.metrics.names
        self._callbacks.call("on_val_end", validator)
        return self.metrics

    def __call__(
        self, source: object = None, stream: bool = False, **options: Any
    ) -> list[Results] | Iterator[Results]:
        """Call predict() with the same arguments."""
        return self.predict(source, stream, **options)

    def predict(
        self, source: object = None, stream: bool = False, verbose: bool = True, **options: object
    ) -> list[Results] | Iterator[Results]:
        """Find objects.

        Args:
            source: path, folder, glob, camera number, URL, Pillow image, array [H, W, 3] BGR,
                tensor [B, 3, H, W] RGB in 0..1 (searched at its own size, whatever imgsz says), or
                a list; None takes validation images of the model's data set.
            stream: whether to return a generator, which long videos need, instead of a list.
            verbose: whether to print a line per image.
            options: detect.py's flags (conf, iou, imgsz, classes, save, save_txt …).

        Raises:
            UserError: a keyword, a value or the source is wrong.
        """
        if isinstance(source, Tensor):
            source = from_tensor(source)
            options["imgsz"] = source[0].shape[:2]
        usual = {"device": self._device or None, "imgsz": self._trained_at or None, "save": False}
        given, _ = read_keywords(DetectConfig, {**usual, **options}, "predict")
        config = build(DetectConfig, given)
        config.check_classes("predict: classes=", self.names)
        frames = usual_source(self._data) if source is None else open_any(source, config.vid_stride)
        results = self._results(frames, config, Console() if verbose else SilentConsole(), stream)
        return results if stream else list(results)

    def _results(
        self, frames: Source, config: DetectConfig, console: Console, stream: bool
    ) -> Iterator[Results]:
        """Run the loop of detect.py, with Results for each frame."""
        with contextlib.ExitStack() as stack:
            stack.callback(frames.close)
            folder = config.new_folder()
            self.save_dir = folder or self.save_dir
            detector = Detector(self._ready(config.device, config.half, config.tf32), config)
            stack.callback(console.close, detector.shape, detector.channels)
            console.say(detector.size_note)
            outputs = add_features(Outputs(config, folder), detector)
            # The receiver of a stream may read the files of a result, or change its image.
            write = stack.enter_context(outputs.writing(behind=not stream))
            shown = stack.enter_context(contextlib.closing(show(frames, detector, console, write)))
            predictor = Predictor(config, folder)
            self._callbacks.call("on_predict_start", predictor)
            for found in shown:
                predictor.results = [Results(found, folder)]
                self._callbacks.call("on_predict_batch_end", predictor)
                yield from predictor.results
        conclude(frames, console, outputs)
        self._callbacks.call("on_predict_end", predictor)

    def _ready(self, name: str = "", half: bool = False, tf32: bool = False) -> Network:
        """A fused copy of the model as it is now, on the device of this name."""
        return self._fused.of(self.model, take_device(name or self._device, tf32), half)

    def export(self, format: str = "torchscript", **options: object) -> str:
        """Export by export.py's flags (imgsz, dynamic, half, opset …); return the file's path."""
        model = trainable(self.model, "export")
        if self._trained_at:
            options.setdefault("imgsz", self._trained_at)
        given, _ = read_keywords(
            ExportConfig, {"device": self._device or None, **options}, "export"
        )
        config = build(ExportConfig, {**given, "include": (format,)})
        return str(export.export(model, config, self.weights or Path(self.cfg).name)[0])
