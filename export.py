"""Turn a trained detector into a file that other programs run: ONNX or TorchScript.

    python export.py --weights runs/train/exp/weights/best.pt --include onnx torchscript
    python export.py --weights runs/train/exp/weights/best.pt --save-upstream

Input `images` [B, 3, H, W], RGB in 0..1. Output `output0`: of graphs with anchors [B, N, 5 + nc],
rows of x, y, w, h in pixels, objectness, classes, as YOLOv5 gives them; of graphs without [B, 4 +
nc, N], as YOLOv8. With --nms [B, max_det, 6]: x1, y1, x2, y2, confidence, class, zeros behind the
last one. The files hold class names and stride. --save-upstream writes the weights under the names
that YOLOv5 and YOLOv8 have for the same graph.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from models.graph.read import read_graph
from models.heads.anchor_free import DetectV8, reference_points
from models.weights.load import load_model, newest_best
from models.weights.transfer import upstream_keys
from utils.boxes import xywh_to_xyxy
from utils.cli import build, flag, read_flags
from utils.device import select_device
from utils.errors import UserError, run_main
from utils.files import atomic_write
from utils.nms import CLASS_OFFSET_PX

NOT_HERE = "is not part of this project"
TOLERANCE = 1e-4  # of what a float32 file gives, relative to values above 1
NEEDS_ONNX = "ONNX needs more packages: pip install onnx onnxscript"
CONVERTERS = {  # format -> what makes it of our files
    "engine": "trtexec --onnx=FILE.onnx --saveEngine=FILE.engine",
    "openvino": "ovc FILE.onnx",
    "saved_model": "onnx2tf -i FILE.onnx",
    "pb": "onnx2tf -i FILE.onnx",
    "tflite": "onnx2tf -i FILE.onnx",
    "edgetpu": "onnx2tf -i FILE.onnx -oiqt, then edgetpu_compiler",
    "tfjs": "onnx2tf, then tensorflowjs_converter",
    "coreml": "coremltools.convert() of FILE.torchscript",
    "ncnn": "pnnx FILE.torchscript",
    "paddle": "x2paddle --framework onnx --model FILE.onnx",
    "mnn": "MNNConvert -f ONNX --modelFile FILE.onnx",
    "rknn": "rknn-toolkit2, which loads FILE.onnx",
}


@dataclass(frozen=True)
class ExportConfig:
    """All flags of export.py. Raises UserError for an impossible value, with the flag's name."""

    weights: str = flag("", "checkpoint or model YAML; '' takes the best.pt trained last")
    include: tuple[str, ...] = flag(
        ["torchscript"], "formats: onnx, torchscript", aliases=("--format",)
    )
    imgsz: tuple[int, ...] = flag(
        [640], "image size: side, or height and width", aliases=("--img", "--img-size")
    )
    batch_size: int = flag(1, "images at once", aliases=("--batch",))
    device: str = flag(
        "", "where the model is traced: cuda device such as 0, or cpu; '' chooses the processor"
    )
    half: bool = flag(False, "weights, input and arithmetic in half precision")
    dynamic: bool = flag(
        False, "ONNX: any height and width (multiples of the stride), without --nms any batch too"
    )
    simplify: bool = flag(False, "ONNX: fold constants and drop what nobody reads; done always")
    opset: int = flag(0, "ONNX: operator set, 18 or later; 0 takes the exporter's own")
    nms: bool = flag(False, "put non-maximum suppression into the file")
    agnostic_nms: bool = flag(False, "--nms: let boxes of different classes suppress each other")
    conf_thres: float = flag(0.25, "--nms: lowest confidence", aliases=("--conf",))
    iou_thres: float | None = flag(
        None,
        "--nms: overlap above which the less confident of two boxes is dropped; left "
        "out: 0.45, for graphs without anchors 0.7",
        kind=float,
        aliases=("--iou",),
    )
    max_det: int = flag(300, "--nms: most detections of a image", aliases=("--topk-all",))
    save_upstream: bool = flag(
        False,
        "write NAME_upstream.pt, the weights as a state dict with YOLOv5's or YOLOv8's "
        "own keys; without --include nothing else",
    )

    def __post_init__(self) -> None:
        for name in self.include:
            if name not in FORMATS:
                raise UserError(f"--include {name}: {_elsewhere(name)}")
        if not 1 <= len(self.imgsz) <= 2 or any(side < 32 for side in self.imgsz):
            raise UserError(
                f"--imgsz={self.imgsz}: takes a side, or height and width, of at least 32 pixels"
            )
        for flag_name, value in (("--batch-size", self.batch_size), ("--max-det", self.max_det)):
            if value < 1:
                raise UserError(f"{flag_name}={value}: must be at least 1")
        if self.opset and self.opset < 18:
            raise UserError(
                f"--opset={self.opset}: PyTorch's exporter writes 18 and later; leave it out, or"
                " convert the file with onnx.version_converter"
            )
        for flag_name, share in (
            ("--conf-thres", self.conf_thres),
            ("--iou-thres", self.iou_thres),
        ):
            if share is not None and not 0 <= share <= 1:
                raise UserError(f"{flag_name}={share}: must be in 0..1")


REFUSED_FLAGS = {
    "--data": "is not needed; the checkpoint knows its classes",
    **dict.fromkeys(("--inplace", "--train"), f"{NOT_HERE}; a head is always exported whole"),
    **dict.fromkeys(
        ("--keras", "--tf-nms", "--per-tensor"), f"{NOT_HERE}; convert the ONNX file with onnx2tf"
    ),
    **dict.fromkeys(
        ("--int8", "--cache"), f"{NOT_HERE}; quantise the ONNX file with your runtime's own tool"
    ),
    **dict.fromkeys(
        ("--workspace", "--verbose"), f"{NOT_HERE}; build engines with trtexec from the ONNX file"
    ),
    "--optimize": f"{NOT_HERE}; apply torch.utils.mobile_optimizer to the TorchScript file",
    "--mlmodel": f"{NOT_HERE}; convert the TorchScript file with coremltools",
    "--topk-per-class": f"{NOT_HERE}; use --max-det",
}


def _elsewhere(name: str) -> str:
    ours = f"the formats here are {' and '.join(sorted(FORMATS))}"
    return (
        f"{ours}; make it of them with {CONVERTERS[name]}"
        if name in CONVERTERS
        else f"no such format; {ours}"
    )


class Exported(nn.Module):
    """A detector as the files hold it. source: a DetectionModel, which is copied, fused and left as
    it was.
    """

    def __init__(self, source: Any, config: ExportConfig) -> None:
        super().__init__()
        self.config, self.family = config, source.family
        self.detector = (
            copy.deepcopy(source).float().eval().fuse().to(memory_format=torch.contiguous_format)
        )
        head = self.detector.head
        if isinstance(head, DetectV8):
            head.__dict__["_reference"] = MethodType(_fresh_points, head)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> output0, as the file's head says."""
        decoded = self.detector(images)[0]
        if self.config.nms:
            return torch.stack([self.suppress(rows) for rows in decoded.unbind()])
        return decoded if self.family.has_objectness else decoded.transpose(1, 2)

    def suppress(self, rows: Tensor) -> Tensor:
        """[N, 5 + nc] or [N, 4 + nc] -> [max_det, 6]: utils.nms with best class only, in a shape
        known beforehand.
        """
        from torchvision.ops import nms

        config = self.config
        scores = rows[:, self.family.box_columns :]
        if self.family.has_objectness:
            scores = scores * rows[:, 4:5]
        scores, classes = scores.max(1)
        scores = torch.where(scores > config.conf_thres, scores, 0)
        corners = xywh_to_xyxy(rows[:, :4])
        shift = 0 if config.agnostic_nms else classes[:, None] * CLASS_OFFSET_PX
        iou = self.family.detection_iou if config.iou_thres is None else config.iou_thres
        kept = nms(corners + shift, scores, iou)
        found = torch.cat((corners, scores[:, None], classes[:, None].to(corners.dtype)), 1)[kept]
        found = torch.where(found[:, 4:5] > 0, found, 0)
        return torch.cat((found, found.new_zeros(config.max_det, 6)))[: config.max_det]


def _fresh_points(head: DetectV8, sizes: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """The head's reference points without its memory of former sizes, which a tracer must not see."""
    return reference_points(sizes, head.strides, device)


@dataclass(frozen=True)
class Job:
    """What one format is written from. images: the example input. path: of the checkpoint, suffix
    exchanged later.
    """

    model: Exported
    images: Tensor
    path: Path
    metadata: dict[str, str]


def export_onnx(job: Job) -> Path:
    """Write PATH.onnx, and compare it with the model where onnxruntime is installed."""
    config, path = job.model.config, job.path.with_suffix(".onnx")
    axes = {2: "height", 3: "width"} if config.dynamic else {}
    if config.dynamic and not config.nms:
        axes[0] = "batch"
    options: dict[str, Any] = {"dynamic_shapes": {"images": axes}} if axes else {}
    if config.opset:
        options["opset_version"] = config.opset
    try:
        with quiet():
            program = torch.onnx.export(
                job.model,
                (job.images,),
                dynamo=True,
                input_names=["images"],
                verbose=False,
                output_names=["output0"],
                **options,
            )
    except ImportError as error:
        raise UserError(f"--include onnx: {NEEDS_ONNX} ({error})") from None
    assert program is not None
    written = program.model.opset_imports[""]
    if config.opset not in (0, written):
        raise UserError(
            f"--opset={config.opset}: PyTorch's exporter writes {written} instead; give that or"
            " nothing"
        )
    program.model.metadata_props.update(job.metadata)
    content = program.model_proto.SerializeToString()
    with atomic_write(path) as file:
        file.write(content)
    _compare(job, content)
    return path


def _compare(job: Job, content: bytes) -> None:
    """Say how far onnxruntime's output is from torch's. Raises UserError if it is another one."""
    try:
        import onnxruntime
    except ImportError:
        print("onnx: not compared with the model; pip install onnxruntime to have that done")
        return
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    images = torch.rand(job.images.shape, generator=torch.Generator().manual_seed(0)).to(job.images)
    theirs = torch.from_numpy(session.run(None, {"images": images.cpu().numpy()})[0]).float()
    with torch.inference_mode():
        ours = job.model(images).float().cpu()
    worst = float(((theirs - ours).abs() / ours.abs().clamp(min=1)).max())
    if job.model.config.nms and not ours.any() and not theirs.any():
        print(
            "onnx: not compared with the model: neither finds anything in noise; a lower"
            " --conf-thres would"
        )
        return
    print(f"onnx: differs from the model by {worst:.1e} at most, relative to values above 1")
    if not job.model.config.half and not job.model.config.nms and not worst <= 10 * TOLERANCE:
        raise UserError(
            f"onnx: the file's output differs by {worst:.1e}; please report the graph, and use"
            " torchscript"
        )


def export_torchscript(job: Job) -> Path:
    """Write PATH.torchscript; its metadata is the extra file config.txt, as YOLOv5's."""
    path, buffer = job.path.with_suffix(".torchscript"), io.BytesIO()
    if job.model.config.dynamic:
        print("torchscript: --dynamic is for ONNX; this file takes images of the size given only")
    with quiet(), torch.no_grad():
        traced = torch.jit.trace(job.model, job.images, check_trace=False)
        torch.jit.save(traced, buffer, _extra_files={"config.txt": json.dumps(job.metadata)})
    with atomic_write(path) as file:
        file.write(buffer.getvalue())
    return path


FORMATS: dict[str, Callable[[Job], Path]] = {"onnx": export_onnx, "torchscript": export_torchscript}


@contextlib.contextmanager
def quiet() -> Any:
    """Without the exporters' warnings, which are about their own inner workings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def export(model: Any, config: ExportConfig, path: str | Path) -> list[Path]:
    """Write a DetectionModel in all formats of config beside path, whose suffix is exchanged;
    return the files.
    """
    stride = max(32, int(model.stride.max()))
    height, width = (-(-side // stride) * stride for side in (config.imgsz[0], config.imgsz[-1]))
    if (height, width) != (config.imgsz[0], config.imgsz[-1]):
        print(
            f"--imgsz {config.imgsz}: is no multiple of the stride {stride}, taking"
            f" {height}x{width}"
        )
    device = select_device(config.device or "cpu")
    exported = Exported(model, config).to(device)
    free = (
        config.dynamic and not config.nms
    )  # suppression goes image by image, so their number is fixed then
    batch = (
        max(config.batch_size, 2) if free else config.batch_size
    )  # of one image the tracer would make a rule
    images = torch.zeros(batch, 3, height, width, device=device)
    if config.half:
        exported, images = exported.half(), images.half()
    metadata = {
        "stride": str(int(model.stride.max())), "names": str(dict(model.names)), "task": "detect",
        "imgsz": str([height, width]), "batch": str(config.batch_size),
    }  # fmt: skip
    with torch.no_grad():
        exported(images)  # fails here, in words, rather than inside an exporter
    files = [
        FORMATS[name](Job(exported, images, Path(path), metadata))
        for name in dict.fromkeys(config.include)
    ]
    for file in files:
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return files


def save_upstream(model: Any, weights: str, half: bool = False) -> Path:
    """Write the state dict, keys as YOLOv5 and YOLOv8 count rows, beside the checkpoint, which must
    be one.

    half: numbers in half precision, as YOLOv5's own files have them.
    """
    if weights.endswith((".yaml", ".yml")):
        raise UserError(f"--save-upstream: {weights} has no weights; give a checkpoint")
    state = model.state_dict()
    if half:
        state = {
            key: value.half() if value.is_floating_point() else value
            for key, value in state.items()
        }
    names = upstream_keys(read_graph(model.graph), state)
    path = Path(weights).with_name(f"{Path(weights).stem}_upstream.pt")
    with atomic_write(path) as file:
        torch.save({names[key]: value.cpu() for key, value in state.items()}, file)
    print(
        f"{path}: {len(state)} tensors; in the other program:"
        " model.load_state_dict(torch.load(FILE))"
    )
    return path


def main(argv: list[str] | None = None) -> list[Path]:
    """Read the flags and export; files lie beside the checkpoint, those of a model YAML in the
    working folder.
    """
    given = read_flags(ExportConfig, argv, "Export a detector.", REFUSED_FLAGS)
    config = build(ExportConfig, given)
    weights = config.weights or str(newest_best())
    model = load_model(weights, fuse=False)
    files = [save_upstream(model, weights, config.half)] if config.save_upstream else []
    if files and "include" not in given:
        return files
    return files + export(
        model, config, Path(weights).name if weights.endswith((".yaml", ".yml")) else weights
    )


if __name__ == "__main__":
    sys.exit(run_main(main))
