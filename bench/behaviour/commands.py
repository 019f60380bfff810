"""The commands whose exit status, text and files the record of behaviour holds.

Most are mistakes that the programs must refuse. A line is a command, in which `@/` stands for the
folder of inputs that bench/behaviour/inputs.py writes. Each runs in an empty folder of its
own.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.behaviour.inputs import GRAPHS, HYPS, PICKLES, write_inputs
from bench.behaviour.sandbox import Sandbox

PROGRAMS = (
    "train.py",
    "val.py",
    "detect.py",
    "export.py",
    "benchmarks.py",
    "ablate.py",
    "models/yolo.py",
    "data/convert.py",
    "-m models.attention",
)
TRAIN = (
    "train.py --epochs 1 --imgsz 64 --device cpu --workers 0 --noplots --precision fp32 "
    "--data @/small.yaml"
)
MODEL = f"{TRAIN} --cfg yolov5n.yaml"
VAL = "val.py --imgsz 64 --device cpu --workers 0 --noplots"
DETECT = "detect.py --device cpu --nosave --save-txt"
TRAIN_FLAGS = """
--bad
--evolve
--quad
--local-rank 1
--epochs 0
--epochs many
--imgsz 16
--batch-size 0
--workers -1
--label-smoothing 2
--optimizer Lion
--patience -1
--close-mosaic -1
--seed -1
--precision fp8
--protocol coco
--cache sometimes
--rect --image-weights
--device 7
--device 0,1
--device tpu
--device mps
--freeze -1
--freeze 99
--freeze 0 1 x
--sparsity -1
--sparsity 1e-4
--scale s
--attention Foo@neck
--attention SimAM@nowhere
--attention SimAM
--attention SE:reduction=0@neck
--attention SE:strength=1@neck
--attention SimAM:e_lambda=512@neck
--attention SE@index.99
--attention-init identity
--attention-init zero --attention SE@neck
--resume nowhere.pt
--resume @/good.pt
--resume
--hyp nowhere.yaml
--weights nowhere.pt
--weights @/images/00000.jpg
--weights @/good.pt --data coco128.yaml
--data nowhere.yaml
--data @/images
--data @/good.pt
"""
OTHERS = f"""
{TRAIN}
{TRAIN} --cfg nowhere.yaml
{TRAIN} --cfg yolov8.yaml --scale q
{TRAIN} --cfg yolov8n.yaml --hyp @/hyps/anchors.yaml
{VAL}
{VAL} --weights nowhere.pt
{VAL} --weights @/good.pt --data @/small.yaml
{VAL} --weights @/good.pt --data @/data/three-classes.yaml
{VAL} --weights @/good.pt --data @/data/some-bad-labels.yaml
{VAL} --weights @/good.pt --data @/small.yaml --task test
{VAL} --weights @/good.pt --task everything
{VAL} --weights @/good.pt --conf-thres 2
{VAL} --weights @/good.pt --iou-thres -1
{VAL} --weights @/good.pt --max-det 0
{VAL} --weights @/good.pt --dnn
{VAL} --weights nowhere.onnx --data @/small.yaml
{VAL} --weights best.onnx
{VAL} --weights best.engine --data @/small.yaml
{VAL} --weights @/good.pt --attention-init identity
{VAL} --weights @/good.pt --attention Foo@neck --data @/small.yaml
{VAL} --weights yolov8n.yaml @/good.pt --data @/small.yaml
{DETECT}
{DETECT} --weights nowhere.pt --source @/images
{DETECT} --weights @/good.pt --source @/images
{DETECT} --weights @/good.pt --source nowhere.jpg
{DETECT} --weights @/good.pt --source nowhere/*.jpg
{DETECT} --weights @/good.pt --source @/sources/empty
{DETECT} --weights @/good.pt --source @/sources/broken.jpg
{DETECT} --weights @/good.pt --source @/sources/list.txt
{DETECT} --weights @/good.pt --source @/sources/notes.docx
{DETECT} --weights @/good.pt --source @/sources/some-broken
{DETECT} --weights @/good.pt --source "screen x"
{DETECT} --weights @/good.pt --source @/images --classes 77
{DETECT} --weights @/good.pt --source @/images --imgsz 16
{DETECT} --weights @/good.pt --source @/images --imgsz 64 64 64
{DETECT} --weights @/good.pt --source @/images --conf-thres -1
{DETECT} --weights @/good.pt --source @/images --vid-stride 0
{DETECT} --weights @/good.pt --source @/images --line-thickness -1
{DETECT} --weights @/good.pt --source @/images --save-format 3
{DETECT} --weights @/good.pt --source @/images --data coco128.yaml
{DETECT} --weights @/good.pt --source @/images --dnn
{DETECT} --weights nowhere.onnx --source @/images
{DETECT} --weights best.tflite --source @/images
{DETECT} --weights @/good.pt --source @/images --update
export.py
export.py --weights nowhere.pt
export.py --weights @/good.pt --include engine
export.py --weights best.onnx
export.py --weights @/good.pt --include nonsense
export.py --weights @/good.pt --imgsz 16
export.py --weights @/good.pt --opset 11
export.py --weights @/good.pt --batch-size 0
export.py --weights @/good.pt --nms --conf-thres 3
export.py --weights @/good.pt --device 7
export.py --weights @/good.pt --dynamic --include torchscript
export.py --weights @/good.pt --int8
export.py --weights @/good.pt --int8 --include onnx
benchmarks.py --weights best.onnx
benchmarks.py --weights @/good.pt --hard-fail much
ablate.py --data @/small.yaml --attention SimAM --project .
ablate.py --data @/small.yaml --cfg nowhere.yaml --attention SimAM --project .
ablate.py --data @/small.yaml --cfg yolov5n.yaml --attention Foo --project .
ablate.py --data @/small.yaml --cfg yolov5n.yaml --attention SimAM --at nowhere --project .
ablate.py --data @/small.yaml --cfg yolov5n.yaml --attention SimAM --seeds 0 --project .
ablate.py --data @/small.yaml --cfg yolov5n.yaml --attention SimAM --seed 3
ablate.py --data @/small.yaml --cfg yolov5n.yaml --attention SimAM --resume
ablate.py --data @/small.yaml --cfg yolov5n.yaml --attention SimAM --train "--bad" --project .
ablate.py --data @/small.yaml --cfg yolov5n.yaml --attention SimAM --train "--seed 3" --project .
ablate.py --data @/small.yaml --cfg yolov5n.yaml --attention SimAM --device 7 --project .
ablate.py --data @/small.yaml --cfg yolov5n.yaml --attention SimAM --engine slurm
ablate.py --data nowhere.yaml --cfg yolov5n.yaml --attention SimAM --project .
models/yolo.py --cfg nowhere.yaml
models/yolo.py --cfg yolov8.yaml --scale q
models/yolo.py --cfg yolov5s.yaml --scale n
models/yolo.py --cfg yolov5s_SimAM.yaml
models/yolo.py --cfg yolov8n.yaml --sites
models/yolo.py --cfg yolov5s.yaml --sites
models/yolo.py --cfg yolov5s.yaml --attention SimAM@neck SE:reduction=8@inside.C3 --out mine.yaml
models/yolo.py --cfg yolov8s.yaml --attention ECA@head.P3+backbone.sppf --out mine.yaml
models/yolo.py --cfg yolov5s.yaml --imgsz 0
models/yolo.py --cfg yolov5s.yaml --batch-size 0
models/yolo.py --cfg yolov5s.yaml --bad
models/yolo.py --lint nowhere.yaml
models/yolo.py --lint yolov5s.yaml --out mine.yaml
models/yolo.py --lint yolov5s.yaml yolov8n.yaml --fix --out mine.yaml
models/yolo.py --lint @/graphs/shifted.yaml
models/yolo.py --lint @/graphs/shifted.yaml --fix --out mine.yaml
models/yolo.py --lint @/graphs/module.yaml
models/yolo.py --lint @/good.pt
models/yolo.py --fix
data/convert.py
data/convert.py --data @/small.yaml
data/convert.py --data @/small.yaml --source @/voc --out mine
data/convert.py --data nowhere.yaml --out mine
data/convert.py --source nowhere --out mine
data/convert.py --source @/sources/empty --out mine
data/convert.py --source @/voc --out mine
data/convert.py --source @/voc --out @/images
data/convert.py --source @/coco.json --images @/images --out mine
data/convert.py --source @/broken.json --images @/images --out mine
data/convert.py --source @/voc --out mine --format yaml
data/convert.py --data @/data/some-bad-labels.yaml --out mine
-m models.attention --channels 0
-m models.attention --batch 1024 --size 2048
-m models.attention --size 99999
-m models.attention --device 7
-m models.attention --bad
"""
DATA_SETS = (
    "no-names",
    "count",
    "numbering",
    "boolean",
    "no-train",
    "no-val",
    "missing-folder",
    "format",
    "path",
    "defaults",
    "suggestion",
    "syntax",
    "list",
    "tag",
    "all-bad-labels",
    "wrong-class",
    "no-images",
    "generator",
    "source",
)


def commands() -> list[str]:
    """All commands, each once; the command is also its name in the record."""
    found = [f"{program} --help" for program in PROGRAMS]
    found += [f"{MODEL} {flags}" for flags in TRAIN_FLAGS.strip().splitlines()]
    found += OTHERS.strip().splitlines()
    found += [f"models/yolo.py --cfg @/graphs/{name}.yaml" for name in GRAPHS]
    found += [f"{MODEL} --hyp @/hyps/{name}.yaml" for name in HYPS]
    found += [f"{MODEL} --data @/data/{name}.yaml" for name in DATA_SETS]
    for name in PICKLES:
        found.append(f"{MODEL} --weights @/pickles/{name}.pt")
        found.append(f"{DETECT} --source @/images --weights @/pickles/{name}.pt")
    found += [
        "train.py --resume @/pickles/flipped.pt",
        f"{VAL} --weights @/pickles/malicious.pt",
        "export.py --weights @/pickles/malicious.pt",
    ]
    return list(dict.fromkeys(found))


def measure_commands(
    sandbox: Sandbox, jobs: int
) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """Yield each command and its entries, in order."""
    write_inputs(sandbox.inputs)
    names = commands()
    with ThreadPoolExecutor(jobs) as pool:
        yield from zip(
            names,
            pool.map(lambda each: measure_command(sandbox, *each), enumerate(names)),
            strict=True,
        )
    # A malicious checkpoint that is executed makes such a file (inputs.write_pickles).
    traces = sorted(path.name for path in sandbox.inputs.glob("executed*"))
    yield (
        "what the malicious checkpoints left",
        {"status": {"files that a checkpoint wrote": traces}},
    )


def measure_command(sandbox: Sandbox, number: int, command: str) -> dict[str, dict[str, Any]]:
    """The status and the text of one command, and the files that it leaves in its folder."""
    place = f"commands/{number:03}"
    outcome = sandbox.run(shlex.split(command), place)
    files = {
        f"{command}: {name}": value
        for name, value in sandbox.written(sandbox.folder / place).items()
    }
    reports = {name: value for name, value in files.items() if name.endswith("report.csv")}
    return {
        "status": {command: outcome.status},
        "text": {command: outcome.text, **reports},  # reports are messages in a table
        "files": {name: value for name, value in files.items() if name not in reports},
    }
