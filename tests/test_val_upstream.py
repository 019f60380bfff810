"""Checkpoints of YOLOv5 and Ultralytics score here as they do in the programs themselves.

The reference scores are in float32 and without a time limit. The test needs the files:
GOLDEN_CHECKPOINTS=CHECKPOINTS GOLDEN_DATASETS=FOLDER_WITH_BCCD pytest -m slow FILE
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from api.yolo import YOLO

CHECKPOINTS = Path(os.environ.get("GOLDEN_CHECKPOINTS", "nowhere"))
BCCD = Path(os.environ.get("GOLDEN_DATASETS", "nowhere")) / "bccd"
NAMES = ["RBC", "WBC", "Platelets"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHECKPOINTS.is_dir() and BCCD.is_dir()),
        reason="needs GOLDEN_CHECKPOINTS and GOLDEN_DATASETS",
    ),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test split with YOLO labels, converted from the boxes of the XML files."""
    root = tmp_path_factory.mktemp("bccd")
    (root / "images").symlink_to(BCCD / "JPEGImages")
    (root / "labels").mkdir()
    stems = (BCCD / "ImageSets" / "Main" / "test.txt").read_text().split()
    for stem in stems:
        rows = read_voc(BCCD / "Annotations" / f"{stem}.xml")
        (root / "labels" / f"{stem}.txt").write_text("\n".join(rows) + "\n")
    (root / "test.txt").write_text("\n".join(f"{root}/images/{stem}.jpg" for stem in stems))
    (root / "data.yaml").write_text(
        f"path: {root}\ntrain: test.txt\nval: test.txt\nnames: {NAMES}\n"
    )
    return root / "data.yaml"


def read_voc(path: Path) -> list[str]:
    tree = ElementTree.parse(path).getroot()
    width, height = (int(tree.findtext(f"size/{side}", "")) for side in ("width", "height"))
    rows = []
    for item in tree.iter("object"):
        x1, y1, x2, y2 = (
            int(item.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax")
        )
        box = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        rows.append(
            " ".join(
                [str(NAMES.index(item.findtext("name", ""))), *(f"{value:.6f}" for value in box)]
            )
        )
    return rows


@pytest.mark.parametrize(
    ("name", "protocol", "map50", "map95", "tolerance"),
    [
        ("yolov5n_bccd", "yolov5", 0.7976681980830733, 0.45557089579010274, 1e-5),
        ("yolov5n_SimAM_bccd", "yolov5", 0.0627050199859616, 0.015179529366718346, 1e-5),
        ("yolov8n_bccd", "yolov8", 0.8282, 0.5027, 1e-3),
    ],
)
def test_scores_of_the_original_programs(
    data: Path,
    tmp_path: Path,
    name: str,
    protocol: str,
    map50: float,
    map95: float,
    tolerance: float,
) -> None:
    found = YOLO(CHECKPOINTS / f"{name}.pt").val(
        data=data,
        imgsz=320,
        batch=16,
        device="cpu",
        workers=0,
        plots=False,
        protocol=protocol,
        project=str(tmp_path),
    )
    assert found.box.map50 == pytest.approx(map50, abs=tolerance)
    assert found.box.map == pytest.approx(map95, abs=tolerance)
