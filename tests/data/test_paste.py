"""Copy-paste against YOLOv5's own pixels and boxes."""

import hashlib
import json
import random

import cv2
import numpy as np

from data.labelled import Labels
from data.paste import copy_paste, paste_mirrored
from utils.files import ROOT

GOLDEN = ROOT / "tests" / "golden" / "yolov5"
AUGMENT = json.loads((GOLDEN / "augment.json").read_text())
ARRAYS = np.load(GOLDEN / "augment.npz")


def golden_labels():
    x1, y1, x2, y2 = ARRAYS["targets"][:, 1:].T
    points = np.stack([x1, y1, (x1 + x2) / 2, y1, x2, y1, x2, y2, x1, y2], 1).reshape(-1, 2)
    return Labels(ARRAYS["targets"][:, 1:], ARRAYS["targets"][:, 0], points, np.full(6, 5))


def test_copy_paste_against_golden():
    chosen = random.Random(1).sample(range(6), k=round(0.9 * 6))
    image, labels = paste_mirrored(ARRAYS["im"].copy(), golden_labels(), chosen)
    np.testing.assert_allclose(
        np.column_stack([labels.classes, labels.boxes]), ARRAYS["copy_paste_labels"], atol=1e-3
    )
    assert len(labels.counts) == AUGMENT["copy_paste_nseg"]
    if cv2.__version__ == AUGMENT["cv2"]:
        assert hashlib.sha256(image.tobytes()).hexdigest() == AUGMENT["copy_paste_sha256"]


def test_copy_paste_needs_polygons():
    labels = Labels(ARRAYS["targets"][:, 1:], ARRAYS["targets"][:, 0])
    image = ARRAYS["im"].copy()
    assert copy_paste(image, labels, 1.0, 0) == (image, labels)
