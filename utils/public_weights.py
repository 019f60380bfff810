"""What to do for a file of published weights that is not on this machine.

YOLOv5 and Ultralytics fetch `yolov5s.pt` and the like by themselves. Nothing is downloaded here, so
that the message for a missing file says where its owner publishes it.
"""

from __future__ import annotations

import re
from pathlib import PurePath

V5_PAGE = "https://github.com/ultralytics/yolov5/releases/tag/v7.0"
ASSETS_PAGE = "https://github.com/ultralytics/assets/releases"
# Names of files -> the page with them.
PUBLISHED = (
    (re.compile(r"yolov5[nsmlx]6?\.pt"), V5_PAGE),
    (re.compile(r"(yolov8|yolo1[12])[nsmlx]\.pt"), ASSETS_PAGE),
)
OTHER_TASK = re.compile(r"yolo(v5|v8|11|12|v12)[nsmlx]6?-(seg|cls|pose|obb)\.pt")


def remedy_for(name: str) -> str:
    """What to do about a missing file: where it is published and where to put it.

    Args:
        name: The name or path that the user gave.

    Returns:
        A part of a sentence; "check the path" for a file that is not known.
    """
    file = PurePath(name).name
    if OTHER_TASK.fullmatch(file):
        return "and weights of that task do not work here, since the detectors find boxes only"
    for pattern, page in PUBLISHED:
        if pattern.fullmatch(file):
            return (
                "nothing is downloaded by itself. Its owner, Ultralytics, publishes it under"
                f" AGPL-3.0 at {page} ; it works here: save it, and give its path, e.g."
                f" --weights {name}"
            )
    return "check the path"
