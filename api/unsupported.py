"""Methods of Ultralytics' YOLO that this project does not have; each names an alternative."""

from __future__ import annotations

from typing import NoReturn

from utils.errors import UserError


class UnsupportedCalls:
    """A base class of YOLO whose methods raise UserError with an alternative."""

    def track(self, *_: object, **__: object) -> NoReturn:
        raise UserError(
            "track: is not part of this project; feed predict(stream=True) to a tracker of your own"
        )

    def benchmark(self, *_: object, **__: object) -> NoReturn:
        raise UserError(
            "benchmark: has no call; use python benchmarks.py --weights FILE.pt, or val() of a file"
        )
