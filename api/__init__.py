"""The project under the names that Ultralytics' users know: `from api import YOLO`."""

import api.packages  # noqa: F401  # first: it lets the rest be found beside a program's own `utils`
from api.yolo import YOLO

__all__ = ["YOLO"]
