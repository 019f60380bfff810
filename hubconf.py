"""torch.hub entry points: models that accept images of any kind and return YOLOv5's hub results.

    from torch.hub import load
    model = load("path/of/this/project", "custom", path="best.pt", source="local")
    results = model("image.jpg", size=640)
    results.pandas().xyxy[0]

Arrays are RGB here. The models are in api/hub_model.py, their results in api/hub_results.py.
Nothing is downloaded: without a local checkpoint, weights are random.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

if "api" in sys.modules:  # the program may have its own; then ours stands beside it
    _own = sys.modules["api"]
    _own.__path__ = [*getattr(_own, "__path__", ()), str(Path(__file__).resolve().parent / "api")]

import api.packages  # noqa: F401  # lets the rest be found beside a program's own `utils`
from api.hub_model import AutoShape
from engine.exported.load import load_exported
from models.graph.load import load_graph
from models.graph.own_files import use_modules
from models.weights.channels import channels_line
from models.weights.load import load_model, read_weights
from models.weights.transfer import transfer
from models.weights.upstream.adopt import with_graph
from models.yolo import DetectionModel
from utils.device import take_device
from utils.exported_names import is_exported
from utils.files import find_file

# torch.hub refuses to load the models if one of these is missing.
dependencies = ["torch", "torchvision", "numpy", "cv2", "yaml"]


def custom(
    path: str | Path,
    autoshape: bool = True,
    _verbose: bool = True,
    device: object = None,
    modules: str | Sequence[str] = (),
) -> nn.Module:
    """Load the model of a local file.

    Args:
        path: a checkpoint, an exported file, or a model YAML for random weights.
        autoshape: whether to accept images of any kind; False returns the bare network.
        _verbose: ignored; accepted because YOLOv5's scripts pass it.
        device: such as 0 or cpu; None chooses.
        modules: Python files with the own classes of the model's graph; only these are imported.

    Raises:
        UserError: the file is missing or damaged, or the device does not exist.
    """
    use_modules(modules)
    place = take_device("" if device is None else str(device))
    model = load_exported(path, place) if is_exported(path) else load_model(path, place)
    return AutoShape(model) if autoshape else model


def _entry(name: str) -> Callable[..., nn.Module]:
    """Make the entry point of a model in models/."""

    def create(
        pretrained: bool | str | Path = True,
        channels: int = 3,
        classes: int | None = None,
        autoshape: bool = True,
        _verbose: bool = True,
        device: object = None,
    ) -> nn.Module:
        path = find_file(pretrained) if isinstance(pretrained, (str, Path)) else None
        source = with_graph(read_weights(path), load_graph(f"{name}.yaml"), path) if path else None
        # The class names of a checkpoint are used only if it has as many classes as the model.
        count = classes or (len(source.names) if source else None)
        names = source.names if source and len(source.names) == count else None
        graph = load_graph(f"{name}.yaml")
        model = DetectionModel({"ch": channels, **graph}, class_count=count, names=names)
        if source:
            print(f"{name}: {transfer(model, source).line(str(path))}")
            if line := channels_line(source.graph.get("ch", 3), model.channels):
                print(f"{name}: {line}")
        elif pretrained:
            print(
                f"{name}: random weights, nothing is downloaded; give pretrained='FILE.pt', or use"
                " custom('FILE.pt')"
            )
        ready = model.to(take_device("" if device is None else str(device)))
        return AutoShape(ready.fuse().eval()) if autoshape else ready

    create.__name__ = name
    # torch.hub.help() shows this text.
    create.__doc__ = f"""Make {name}.

    Args:
        pretrained: a local checkpoint; anything else gives random weights.
        channels: number of channels of the images.
        classes: number of classes; None takes the checkpoint's, or 80.
        autoshape: whether to accept images of any kind; False returns the bare network.
        _verbose: ignored; accepted because YOLOv5's scripts pass it.
        device: such as 0 or cpu; None chooses.
    """
    return create


yolov5n, yolov5s, yolov5m, yolov5l, yolov5x = (_entry(f"yolov5{size}") for size in "nsmlx")
yolov8n, yolov8s, yolov8m, yolov8l, yolov8x = (_entry(f"yolov8{size}") for size in "nsmlx")
yolo11n, yolo11s, yolo11m, yolo11l, yolo11x = (_entry(f"yolo11{size}") for size in "nsmlx")
yolo12n, yolo12s, yolo12m, yolo12l, yolo12x = (_entry(f"yolo12{size}") for size in "nsmlx")
