"""One model shared by threads: each call must give exactly what it gives alone.

    python -m bench.faults.threads --threads 16 --calls 20000

In each round all threads start with the first call of fresh models, call them through every
interface with images of different sizes, and now and then copy, move, draw or build a model. The
exit status is 1 if an answer differs, a call fails, or a built model has other weights.
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from api import YOLO
from api.hub_model import AutoShape
from api.results import Results
from api.weights import trainable
from engine.detector_model import DetectorModel
from engine.inference.pipeline import predict
from engine.inference.settings import DetectConfig
from models.yolo import DetectionModel
from utils.structures import Frame

GRAPHS: tuple[tuple[str, tuple[str, ...]], ...] = (  # YAML, attention
    ("models/yolov5n.yaml", ()),
    ("models/yolov8n.yaml", ()),
    ("models/yolo11n.yaml", ()),
    ("models/yolov8n.yaml", ("SimAM@neck", "ACmix@neck.P5")),
    ("models/yolov5n.yaml", ("BiFormer@neck.P5", "TripletAttention@neck.P4")),
    ("models/yolo11n.yaml", ("DAttention@neck.P5", "MHSA@neck.P4", "CBAM@neck.P3")),
)
SIDES = (32, 40, 64, 72, 96, 100, 128)  # pixels; all pairs of sides are far more than any cache
IMAGES = 24
CONFIDENCE = 0.05
Call = Callable[[np.ndarray], Tensor]


@dataclass(frozen=True)
class Shared:
    """One model with what all threads call."""

    yolo: YOLO
    hub: AutoShape
    bare: DetectionModel

    def calls(self) -> dict[str, Call]:
        """Interface -> a function of an image [H, W, 3] BGR that gives all that was found."""
        config = DetectConfig(imgsz=(96,), conf_thres=CONFIDENCE)
        options: dict[str, Any] = {"imgsz": 96, "conf": CONFIDENCE, "verbose": False}
        return {
            "YOLO": lambda image: _first(self.yolo(image, **options)).boxes.tensor(),
            "stream": lambda image: _first(self.yolo(image, True, **options)).boxes.tensor(),
            "torch.hub": lambda image: self.hub(image[..., ::-1], size=96).xyxy[0],
            "predict": lambda image: _rows(self.bare, image, config),
            "forward": partial(_decoded, self.bare),
        }


def _first(results: Iterable[Results]) -> Results:
    return next(iter(results))


def _rows(model: DetectorModel, image: np.ndarray, config: DetectConfig) -> Tensor:
    found = next(iter(predict(model, [Frame(image, "a.jpg", "a")], config)))
    return torch.cat((found.boxes, found.scores[:, None], found.classes[:, None]), 1)


@torch.no_grad()
def _decoded(model: DetectionModel, image: np.ndarray) -> Tensor:
    pixels = torch.from_numpy(image[:32, :32].copy()).permute(2, 0, 1)[None].float() / 255
    height, width = (32 * (1 + side % 4) for side in image.shape[:2])
    result: Tensor = model(torch.nn.functional.interpolate(pixels, (height, width)))[0]
    return result


def make_model(file: str, attention: Sequence[str]) -> DetectionModel:
    """A network of a graph whose scores are raised, so that it finds many boxes."""
    model = trainable(YOLO(file, attention=attention).model, "train")
    with torch.no_grad():
        for key, value in model.head.named_parameters():
            if key.endswith("bias"):
                value.add_(3)
    return model


def share(model: DetectionModel) -> Shared:
    """Fresh interfaces of a model; nothing was called yet."""
    yolo = YOLO(GRAPHS[0][0])
    yolo.model = copy.deepcopy(model)
    hub = AutoShape(copy.deepcopy(model))
    hub.conf = CONFIDENCE
    return Shared(yolo, hub, copy.deepcopy(model).eval())


def disturb(shared: Shared, image: np.ndarray, builds: dict[str, Tensor]) -> None:
    """What another thread may do meanwhile; none of it changes an answer."""
    copy.deepcopy(shared.bare)
    shared.yolo.to("cpu")
    shared.hub.eval()
    _first(shared.yolo(image, imgsz=64, verbose=False)).plot()
    built = YOLO(GRAPHS[1][0]).model.state_dict()
    if any(not torch.equal(value, builds[key]) for key, value in built.items()):
        raise ValueError("a model that was built in a thread has other weights")


class Campaign:
    """Calls shared models in threads and counts what went wrong, by its kind."""

    def __init__(self, graphs: int = len(GRAPHS), images: int = IMAGES) -> None:
        draw = np.random.default_rng(0)
        sizes = [draw.choice(SIDES, 2) for _ in range(images)]
        self.images = [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
        self.models = [make_model(*graph) for graph in GRAPHS[:graphs]]
        self.builds = YOLO(GRAPHS[1][0]).model.state_dict()
        alone = [share(model).calls() for model in self.models]
        self.answers = [
            {name: [call(image) for image in self.images] for name, call in calls.items()}
            for calls in alone
        ]
        self.wrong: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def round(self, threads: int, calls: int, seed: int) -> None:
        """Let threads make this many calls in all to fresh interfaces of all models."""
        shared = [share(model) for model in self.models]
        start = threading.Barrier(threads)

        def work(number: int) -> None:
            draw = random.Random(f"{seed} {number}")
            start.wait()
            for step in range(calls // threads):
                which = draw.randrange(len(shared))
                self._one(shared[which], which, draw)
                if step % 40 == 20:
                    image = draw.choice(self.images)
                    self._note("disturb", partial(disturb, shared[which], image, self.builds))

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _one(self, shared: Shared, which: int, draw: random.Random) -> None:
        name, call = draw.choice(list(shared.calls().items()))
        number = draw.randrange(len(self.images))

        def compare() -> None:
            if not torch.equal(call(self.images[number]), self.answers[which][name][number]):
                raise ValueError("another answer")

        self._note(name, compare)
        self.done[name] += 1

    def _note(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            self.wrong[f"{name}: {type(error).__name__}: {error}"] += 1
        except ValueError as error:
            self.wrong[f"{name}: {error}"] += 1


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--calls", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    sys.setswitchinterval(1e-6)
    warnings.filterwarnings("ignore", "BiLevel")  # of maps smaller than its windows
    before, started = warnings.showwarning, time.perf_counter()
    campaign = Campaign()
    found = sum(len(rows) for answers in campaign.answers for rows in answers["YOLO"])
    for number in range(given.rounds):
        campaign.round(given.threads, given.calls // given.rounds, number)
    if warnings.showwarning is not before:
        campaign.wrong["the warnings of one thread are left to all"] += 1
    print(f"{sum(campaign.done.values())} calls, {dict(campaign.done)}, {found} boxes known")
    print(f"{time.perf_counter() - started:.0f} s; wrong: {dict(campaign.wrong) or 'none'}")
    return 1 if campaign.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
