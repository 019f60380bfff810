"""The project under the names that Ultralytics' users know: `from api import YOLO`."""

from api.yolo import YOLO

__all__ = ["YOLO"]
