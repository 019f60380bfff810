"""What the measurements of heat maps read: a checkpoint, and the first images of a source."""

from __future__ import annotations

import argparse
from itertools import islice

from data.sources.open import open_source
from models.weights.load import load_model
from models.yolo import DetectionModel
from utils.structures import Frame


def read_given(description: str) -> tuple[DetectionModel, list[Frame], int]:
    """Read the command line; return the model, the images, and the side in pixels of --imgsz."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--images", type=int, default=10, help="of the source, from the first on")
    given = parser.parse_args()
    frames = list(islice(open_source(given.source), given.images))
    return load_model(given.weights), frames, given.imgsz
