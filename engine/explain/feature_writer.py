"""detect.py --visualize: a writer that stores the feature maps of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.detector_model import DetectorModel
from engine.explain.explainer import subject_in
from engine.explain.features import write_features
from engine.inference.detector import Detector
from engine.inference.outputs import Outputs
from engine.inference.prepared import InputFormat
from engine.inference.writers import result_stem
from models.yolo import DetectionModel
from utils.device import autocast, choose_half
from utils.errors import UserError
from utils.structures import Detections, Frame


class FeatureWriter:
    """Runs the model once more for each frame and writes the maps of its rows into STEM/."""

    def __init__(self, model: DetectorModel, wanted: InputFormat, folder: Path) -> None:
        """Prepare to write below a folder.

        Args:
            model: A single detector in evaluation mode.
            wanted: What its input looks like.
            folder: Of the run.

        Raises:
            UserError: The model is an ensemble or an exported file, which has no rows.
        """
        self.model, self.format, self.folder = one_graph(model), wanted, folder

    def __call__(self, frame: Frame, _: Detections) -> None:
        x = subject_in(self.model, frame, self.format).x
        is_half = next(self.model.parameters()).dtype.itemsize == 2
        with autocast(x.device, choose_half(x.device) if is_half else "fp32"):
            write_features(self.model, x, self.folder / result_stem(frame))


def one_graph(model: DetectorModel, weights: Sequence[str] = ()) -> DetectionModel:
    """The model, if it has rows whose maps can be written.

    Raises UserError, which names the files, for an ensemble and for an exported file.
    """
    if not isinstance(model, DetectionModel):
        raise UserError(
            f"--visualize: {', '.join(weights) or 'this model'} has no rows whose maps could be"
            " written; give one checkpoint, no exported file and no ensemble"
        )
    return model


def add_features(outputs: Outputs, detector: Detector) -> Outputs:
    """Let the outputs of a run write feature maps too, if its flags ask for them.

    Raises UserError for --visualize with an ensemble or an exported file.
    """
    if detector.config.visualize and outputs.folder is not None:
        outputs.add(FeatureWriter(detector.model, detector.format, outputs.folder))
    return outputs
