"""An exported file as a detector, which is used like the model of a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from engine.exported.facts import FileFacts, family_of_output, read_facts
from engine.exported.runtime import Runtime
from utils.boxes import xyxy_to_xywh
from utils.errors import UserError
from utils.families import V8

PROBE_STRIDES = 4  # sides of the first input of a file that takes any, in strides


class ExportedDetector(nn.Module):
    """A detector whose network a file computes.

    A file with a fixed batch is run as often as a batch needs it. One that includes suppression
    gives its boxes with a single score each, so that suppressing them again changes nothing unless
    the thresholds are stricter than the file's.

    Attributes:
        names, family, stride, channels: As those of a detector.
        fixed_size: (height, width) in pixels, if it takes no other; else None.
        usual_size: (height, width) for which it was made, pixels; None if it does not say.
        suppresses: Whether it includes non-maximum suppression.
        device: Where it was opened.
    """

    def __init__(self, opener: Callable[[torch.device], Runtime], device: torch.device) -> None:
        """Open a file, and run it once, on black images, to see the kind of its output.

        Raises UserError if it is no detector's.
        """
        super().__init__()
        self.device, self._opener = device, opener
        self._elsewhere: dict[torch.device, ExportedDetector] = {}
        self.runtime = runtime = opener(device)
        self.network = runtime.module
        facts = read_facts(runtime.metadata, runtime.where)
        batch, channels, height, width = runtime.shape
        self.batch, self.channels = batch, channels or facts.channels
        self.fixed_size = (height, width) if height and width else None
        self.usual_size = self.fixed_size or facts.size
        self.stride = torch.tensor([float(facts.stride)])
        shape = self._probe(facts)
        self.family, self.suppresses, self.names = family_of_output(facts, shape, runtime.where)
        if self.suppresses:  # its rows have one score for each box, as those without objectness
            self.family = dataclasses.replace(self.family, box_columns=V8.box_columns)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor, augment: bool = False) -> tuple[Tensor, None]:
        """[B, C, H, W] in 0..1 -> ([B, N, 5 + nc] or, without objectness, [B, N, 4 + nc], None).

        Raises UserError for augment, and for a size that the file does not take.
        """
        if augment:
            raise UserError(
                f"--augment: {self.runtime.where} computes one size; give the checkpoint"
            )
        size = (images.shape[2], images.shape[3])
        if self.fixed_size and size != self.fixed_size:
            raise UserError(f"{self.only_takes()}, and not {size[0]}x{size[1]}")
        output = self.run(images).to(images.device, torch.float32)
        if self.suppresses:
            return self._decoded(output), None
        return output if self.family.has_objectness else output.transpose(1, 2), None

    def on(self, device: torch.device) -> ExportedDetector:
        """The same file on a device: this object, or another that is opened once."""
        if device == self.device:
            return self
        if device not in self._elsewhere:
            self._elsewhere[device] = ExportedDetector(self._opener, device)
        return self._elsewhere[device]

    def run(self, images: Tensor) -> Tensor:
        """The file's output for any number of images, [B, …]."""
        images = images.to(self.runtime.dtype)
        if self.batch is None:
            return self.runtime.run(images)
        found = []
        for part in images.split(self.batch):
            missing = self.batch - len(part)
            filled = torch.cat((part, part.new_zeros(missing, *part.shape[1:])))
            found.append(self.runtime.run(filled)[: len(part)])
        return torch.cat(found)

    def only_takes(self) -> str:
        """The words for an error about an image size, which name the remedy."""
        height, width = self.fixed_size or (0, 0)
        return (
            f"{self.runtime.where}: takes images of {height}x{width} only; leave --imgsz out, or"
            " export an ONNX file with --dynamic"
        )

    def _probe(self, facts: FileFacts) -> tuple[int, ...]:
        side = PROBE_STRIDES * facts.stride
        height, width = self.fixed_size or (side, side)
        return tuple(self.run(torch.zeros(1, self.channels, height, width)).shape)

    def _decoded(self, rows: Tensor) -> Tensor:
        """Rows [B, N, 6] of corners, score, class -> [B, N, 4 + nc] as a head decodes them."""
        numbers = torch.arange(len(self.names), device=rows.device)
        scores = rows[..., 4:5] * (rows[..., 5:6] == numbers)
        return torch.cat((xyxy_to_xywh(rows[..., :4]), scores), -1)


def agreed_size(model: ExportedDetector, wanted: tuple[int, ...], usual: int) -> tuple[int, ...]:
    """The image size to use with an exported file.

    Args:
        model: The file's detector.
        wanted: Side, or height and width, that a user gave; () for none.
        usual: The side where neither says anything, pixels.

    Raises:
        UserError: The file does not take the wanted size.
    """
    if not wanted:
        return model.usual_size or (usual,)
    if model.fixed_size and (wanted[0], wanted[-1]) != model.fixed_size:
        raise UserError(f"--imgsz {'x'.join(map(str, wanted))}: {model.only_takes()}")
    return wanted
