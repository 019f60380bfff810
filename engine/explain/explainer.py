"""Explain frames: the same objects or classes by one model or by several, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.augment import resize
from engine.detector_model import device_of, image_channels
from engine.explain.heat import Heat, Recorded, choose_rows, explain, record_with_gradient
from engine.explain.settings import ExplainConfig
from engine.explain.targets import Target, find_targets
from engine.inference.prepared import InputFormat, Prepared, prepare
from engine.inference.settings import USUAL_SIZE
from models.yolo import DetectionModel
from utils.boxes import to_original
from utils.sizes import side_step, whole_side
from utils.structures import Frame


@dataclass(frozen=True, slots=True)
class Panel:
    """What one model looks at for one target.

    Attributes:
        heat: [H, W] float32 in 0..1, in pixels of the frame; None if the model has no box there.
        score: Confidence of the object, or the sum of the class's confidences over all boxes.
    """

    heat: np.ndarray | None
    score: float


@dataclass(frozen=True, slots=True)
class Explained:
    """A target of a frame, explained by every model.

    Attributes:
        class_id: Number of its class.
        name: Name of its class.
        box: [4] xyxy in pixels of the frame, or None for a class.
        panels: Model's label -> its panel.
    """

    class_id: int
    name: str
    box: np.ndarray | None
    panels: dict[str, Panel]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All heat maps of a frame.

    Attributes:
        frame: The image.
        method: A key of engine.explain.settings.METHODS.
        rows: Model's label -> numbers of the rows whose maps were weighted.
        targets: The objects of the first model, best first, or the classes.
    """

    frame: Frame
    method: str
    rows: dict[str, list[int]]
    targets: list[Explained]


@dataclass(frozen=True, slots=True)
class Subject:
    """A frame as a model's input: x is [1, C, h, w] in 0..1 on the model's device."""

    prepared: Prepared
    x: Tensor

    def to_frame(self, heat: Tensor | np.ndarray) -> np.ndarray:
        """A map [h, w] of the input, without its border, in the size of the frame [H, W]."""
        left, top = (round(side) for side in self.prepared.pad)
        height, width = self.prepared.frame.image.shape[:2]
        inner_w = round(width * self.prepared.gain[0])
        inner_h = round(height * self.prepared.gain[1])
        inner = np.asarray(heat, dtype=np.float32)[top : top + inner_h, left : left + inner_w]
        return np.asarray(np.clip(resize(inner, (height, width), smooth=False), 0, 1))


def subject_of(model: DetectionModel, frame: Frame, imgsz: Sequence[int] = ()) -> Subject:
    """Scale a frame for a model.

    Args:
        model: The network.
        frame: The image.
        imgsz: Side, or height and width, that it is scaled to fit into; () for USUAL_SIZE.
    """
    stride, sides = side_step(model.stride), imgsz or (USUAL_SIZE,)
    shape = (whole_side(sides[0], stride), whole_side(sides[-1], stride))
    return subject_in(model, frame, InputFormat(shape, stride, image_channels(model)))


def subject_in(model: DetectionModel, frame: Frame, wanted: InputFormat) -> Subject:
    """Scale a frame to a format; see subject_of()."""
    prepared = prepare(frame, wanted)
    x = torch.from_numpy(prepared.pixels).to(device_of(model)).permute(2, 0, 1)[None]
    return Subject(prepared, x.float().div_(255).contiguous())


class Explainer:
    """Models with the settings of explain.py; a call explains a frame.

    The first model's detections are explained. For the others the box of the same object is looked
    for, so that all columns of a figure answer the same question.
    """

    def __init__(self, models: Mapping[str, DetectionModel], config: ExplainConfig) -> None:
        self.models, self.config = dict(models), config
        for model in self.models.values():
            model.eval().requires_grad_(False)
        self.rows = {
            label: choose_rows(model, config.layers, config.per)
            for label, model in self.models.items()
        }

    def __call__(self, frame: Frame) -> Explanation:
        first = next(iter(self.models.values()))
        subjects = {
            label: subject_of(model, frame, self.config.imgsz)
            for label, model in self.models.items()
        }
        passes = {
            label: record_with_gradient(model, subjects[label].x, self.rows[label])
            for label, model in self.models.items()
        }
        decoded = next(iter(passes.values())).decoded
        settings = self.config.nms(first.family)
        targets = find_targets(decoded, first.family, settings, self.config.per)
        targets = targets[: self.config.max_det]
        explained = [self._explain(target, subjects, passes) for target in targets]
        return Explanation(frame, self.config.method, self.rows, explained)

    def _explain(
        self, target: Target, subjects: Mapping[str, Subject], passes: Mapping[str, Recorded]
    ) -> Explained:
        panels = {}
        for label, model in self.models.items():
            same = in_input(target, next(iter(subjects.values())), subjects[label])
            heat = explain(model, passes[label], same, self.config.method)
            panels[label] = _panel(heat, subjects[label])
        first = next(iter(self.models.values()))
        name = first.names.get(target.class_id, str(target.class_id))
        box = None if target.box is None else in_frame(target.box, next(iter(subjects.values())))
        return Explained(target.class_id, name, box, panels)


def _panel(heat: Heat | None, subject: Subject) -> Panel:
    return Panel(None, 0.0) if heat is None else Panel(subject.to_frame(heat.map), heat.score)


def in_frame(box: Tensor, subject: Subject) -> np.ndarray:
    """A box [4] in pixels of the input, in pixels of the frame."""
    one, size = subject.prepared, subject.prepared.frame.image.shape[:2]
    return np.asarray(to_original(box[None], one.gain, one.pad, (size[0], size[1]))[0].cpu())


def in_input(target: Target, seen: Subject, wanted: Subject) -> Target:
    """A target in another model's input, which may have other borders."""
    if target.box is None or seen.prepared.size == wanted.prepared.size:
        return target
    gain, pad = wanted.prepared.gain, wanted.prepared.pad
    box = torch.from_numpy(in_frame(target.box, seen))
    return Target(target.class_id, box * torch.tensor(gain * 2) + torch.tensor(pad * 2))


def model_labels(paths: Sequence[str]) -> list[str]:
    """Short names for weights files, all different.

    A file called best.pt or last.pt is named by its run's folder.
    """
    labels = list[str]()
    for path in map(Path, paths):
        in_run = path.stem in ("best", "last") and path.parent.name == "weights"
        label = path.absolute().parent.parent.name if in_run else path.stem
        taken = labels.count(label) or label in labels
        labels.append(f"{label} ({len(labels) + 1})" if taken else label)
    return labels
