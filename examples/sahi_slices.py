"""SAHI's sliced prediction of small objects in large images, with a model of this project.

    python examples/sahi_slices.py best.pt image.jpg

Needs `pip install sahi`. SAHI's own adapter for Ultralytics works with YOLO of this project, except
that it asks for the package ultralytics, which is not needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the project's folder

from sahi.models.ultralytics import UltralyticsDetectionModel
from sahi.predict import get_sliced_prediction

from api import YOLO


class SlicedModel(UltralyticsDetectionModel):
    def check_dependencies(self, packages: object = None) -> None:
        """Ask for no package, since the model is given."""


def main(weights: str, image: str, side: int = 640) -> None:
    model = SlicedModel(model=YOLO(weights), device="cpu", confidence_threshold=0.25)
    found = get_sliced_prediction(image, model, slice_height=side, slice_width=side)
    for one in found.object_prediction_list:
        print(one.category.name, round(one.score.value, 3), one.bbox.to_xyxy())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
