"""The inputs of bench/behaviour/commands.py: graphs, recipes, data sets, checkpoints, sources.

Most are wrong on purpose. They are independent of the project, except that the damaged checkpoints
are copies of a good one. No pickle is executed here: the malicious ones are assembled from opcodes.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from pathlib import Path

import torch

GRAPH = """nc: 2
depth_multiple: 0.33
width_multiple: 0.25
anchors: [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]]
backbone:
  - [-1, 1, Conv, [32, 6, 2, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, C3, [64]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, SimAM, []]
  - [-1, 1, Conv, [128, 3, 2]]
head:
  - [[4, 5], 1, Detect, [nc, anchors]]
"""
GRAPHS = {  # name -> (text in GRAPH, its replacement)
    "sound": ("", ""),
    "module": ("C3, [64]", "Cnov, [64]"),
    "code": ("C3, [64]", "\"__import__('os').system('true')\", [64]"),
    "from-before": ("[-1, 1, C3, [64]]", "[-9, 1, C3, [64]]"),
    "from-behind": ("[-1, 1, C3, [64]]", "[99, 1, C3, [64]]"),
    "from-text": ("[-1, 1, C3, [64]]", "[first, 1, C3, [64]]"),
    "repeats": ("[-1, 1, C3, [64]]", "[-1, many, C3, [64]]"),
    "no-arguments": ("C3, [64]", "C3, []"),
    "many-arguments": ("C3, [64]", "C3, [64, True, 1, 0.5, 7, 8, 9]"),
    "channels": ("C3, [64]", "C3, [-64]"),
    "kernel": ("[64, 3, 2]", "[64, large, 2]"),
    "short-row": ("[-1, 1, C3, [64]]", "[-1, 1, C3]"),
    "no-row": ("[-1, 1, C3, [64]]", "C3"),
    "concat": ("[-1, 1, C3, [64]]", "[[-1, 0], 1, Concat, [1]]"),
    "lambda": ("SimAM, []", "SimAM, [512]"),
    "option": ("SimAM, []", "SimAM, {strength: 3}"),
    "spelling": ("SimAM, []", "SimAN, []"),
    "no-nc": ("nc: 2\n", ""),
    "nc": ("nc: 2\n", "nc: 0\n"),
    "depth": ("0.33", "-1"),
    "width": ("0.25", "1000"),
    "anchors": ("16, 30, 33, 23", "16, 30, 33"),
    "levels": ("[[4, 5], 1, Detect", "[[3, 4, 5], 1, Detect"),
    "no-head": ("head:", "tail:"),
    "no-detect": ("[[4, 5], 1, Detect, [nc, anchors]]", "[-1, 1, Conv, [64, 3, 2]]"),
    "activation": ("nc: 2\n", "nc: 2\nactivation: nn.Nothing()\n"),
    "syntax": ("- [-1, 1, C3, [64]]", "- [-1, 1, C3, [64]"),
    "tag": ("nc: 2\n", "nc: !!python/object/apply:os.system [true]\n"),
    "scales": ("depth_multiple: 0.33\n", "scales: {n: [0.3, x, 1]}\n"),
}
SHIFTED = """nc: 80
scales: {n: [0.33, 0.25, 1024]}
backbone:
  - [-1, 1, Conv, [64, 3, 2]] # 0
  - [-1, 1, Conv, [128, 3, 2]] # 1
  - [-1, 3, C2f, [128, True]] # 2
  - [-1, 1, SimAM, [256, 512]]
  - [-1, 1, Conv, [256, 3, 2]] # 3: P3
  - [-1, 6, C2f, [256, True]] # 4
  - [-1, 1, Conv, [512, 3, 2]] # 5: P4
  - [-1, 6, C2f, [512, True]] # 6
  - [-1, 1, Conv, [1024, 3, 2]] # 7: P5
  - [-1, 3, C2f, [1024, True]] # 8
  - [-1, 1, SPPF, [1024, 5]] # 9
head:
  - [-1, 1, nn.Upsample, [None, 2, nearest]] # 10
  - [[-1, 6], 1, Concat, [1]] # 11
  - [-1, 3, C2f, [512]] # 12
  - [-1, 1, nn.Upsample, [None, 2, nearest]] # 13
  - [[-1, 4], 1, Concat, [1]] # 14
  - [-1, 3, C2f, [256]] # 15
  - [[15], 1, Detect, [nc]] # 16
"""
HYPS = {
    "unknown": "lr: 0.01\n",
    "rate": "lr0: 0\n",
    "momentum": "momentum: 1.0\n",
    "mosaic": "mosaic: 2\n",
    "text": "lr0: fast\n",
    "nan": "lr0: .nan\n",
    "negative": "box: -1\n",
    "list": "- lr0\n",
    "boolean": "fliplr: yes\n",
    "ratio": "anchor_t: 0.5\n",
    "degrees": "degrees: [1, 2]\n",
    "huge": "lr0: 1.0e+30\n",
    "anchors": "box: 7.5\nanchors: 5\n",
}
NAMES = "names: [a, b, c, d, e]\n"
BOTH_SPLITS = "train: ../images\nval: ../images\n"
DATA = {
    "no-names": BOTH_SPLITS,
    "count": f"nc: 3\n{BOTH_SPLITS}{NAMES}",
    "no-train": f"val: ../images\n{NAMES}",
    "numbering": f"{BOTH_SPLITS}names: {{1: a, 2: b}}\n",
    "boolean": f"{BOTH_SPLITS}names: [yes, no, on, off, a]\n",
    "no-val": f"train: ../images\n{NAMES}",
    "missing-folder": f"train: nowhere\nval: nowhere\n{NAMES}",
    "format": f"format: pascal\n{BOTH_SPLITS}{NAMES}",
    "path": f"path: 7\n{BOTH_SPLITS}{NAMES}",
    "defaults": f"defaults: 3\n{BOTH_SPLITS}{NAMES}",
    "suggestion": f"defaults: {{rate: 3}}\n{BOTH_SPLITS}{NAMES}",
    "syntax": f"names: [a, b\n{BOTH_SPLITS}",
    "list": "- train\n- val\n",
    "source": f"train: {{image: x}}\nval: y\n{NAMES}",
    "tag": f"path: !!python/object/apply:os.getcwd []\n{BOTH_SPLITS}{NAMES}",
    "generator": f"generate: cats\n{BOTH_SPLITS}{NAMES}",
    "wrong-class": f"train: wrong-class/images\nval: wrong-class/images\n{NAMES}",
    "all-bad-labels": f"train: all-bad/images\nval: all-bad/images\n{NAMES}",
    "some-bad-labels": f"train: some-bad/images\nval: some-bad/images\n{NAMES}",
    "three-classes": f"{BOTH_SPLITS}names: [a, b, c]\n",
    "no-images": f"train: ../sources/empty\nval: ../images\n{NAMES}",
}
LABELS = {
    "count": "0 0.5 0.5 0.2\n",
    "nan": "0 nan 0.5 0.2 0.2\n",
    "large": "0 150 80 20 20\n",
    "negative": "-1 0.5 0.5 0.2 0.2\n",
    "text": "disc 0.5 0.5 0.2 0.2\n",
    "confidence": "0 0.5 0.5 0.2 0.2 0.9\n",
    "polygon": "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1\n",
}
GOOD_LABELS = {
    "plain": "0 0.5 0.5 0.2 0.2\n",
    "twice": "1 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n",
    "empty": "",
    "outline": "2 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n",
    "fraction": "1.5 0.5 0.5 0 0.2\n",
}
PICKLES = (
    "flipped",
    "truncated",
    "empty",
    "text",
    "compressed",
    "foreign",
    "bare",
    "malicious",
    "evaluating",
    "legacy",
)


def write_inputs(folder: Path) -> None:
    """Write everything below folder, which already holds `good.pt`, `images/` and `labels/`."""
    for name, (old, new) in GRAPHS.items():
        write(folder / f"graphs/{name}.yaml", GRAPH.replace(old, new, 1) if old else GRAPH)
    write(folder / "graphs/shifted.yaml", SHIFTED)
    for name, text in HYPS.items():
        write(folder / f"hyps/{name}.yaml", text)
    for name, text in DATA.items():
        write(folder / f"data/{name}.yaml", text)
    write_labels(folder, "all-bad", LABELS)
    write_labels(folder, "wrong-class", {"class": "9 0.5 0.5 0.2 0.2\n"})
    write_labels(folder, "some-bad", {**GOOD_LABELS, **LABELS})
    write_sources(folder)
    write_voc(folder)
    write_coco(folder)
    write_pickles(folder)


def write(path: Path, content: str | bytes) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_labels(folder: Path, name: str, labels: dict[str, str]) -> None:
    """Write a data set that has one image for each label file."""
    for stem, text in labels.items():
        write(folder / f"data/{name}/images/{stem}.jpg", (folder / "images/00000.jpg").read_bytes())
        write(folder / f"data/{name}/labels/{stem}.txt", text)


def write_sources(folder: Path) -> None:
    """Write sources of detect.py that cannot be read, or only in part."""
    sources = folder / "sources"
    (sources / "empty").mkdir(parents=True)
    write(sources / "broken.jpg", b"\xff\xd8\xff no image")
    write(sources / "notes.docx", "no image")
    write(sources / "list.txt", "nowhere.jpg\n")
    write(sources / "some-broken/a.jpg", b"\xff\xd8\xff no image")
    shutil.copyfile(folder / "images/00000.jpg", sources / "some-broken/b.jpg")


def write_voc(folder: Path) -> None:
    """Write a small Pascal VOC folder with a box outside its image and a broken file."""
    for number, stem in enumerate(("00000", "00001", "00002")):
        write(folder / f"voc/JPEGImages/{stem}.jpg", (folder / f"images/{stem}.jpg").read_bytes())
        boxes = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>5</ymin><xmax>{x + 30}"
            f"</xmax><ymax>40</ymax></bndbox></object>"
            for name, x in (("cell", 4 + number), ("platelet", 9000 * number))
        )
        end = "</annotation>" if number < 2 else ""
        size = "<size><width>160</width><height>160</height><depth>3</depth></size>"
        xml = f"<annotation><filename>{stem}.jpg</filename>{size}{boxes}{end}"
        write(folder / f"voc/Annotations/{stem}.xml", xml)
    write(folder / "voc/ImageSets/Main/train.txt", "00000\n00001\n00002\n")


def write_coco(folder: Path) -> None:
    """Write a small COCO file that can be read, and a truncated copy of it."""
    images = [
        {"id": number, "file_name": f"{number:05}.jpg", "width": 160, "height": 160}
        for number in range(2)
    ]
    boxes = [
        {
            "id": number,
            "image_id": number,
            "category_id": 7,
            "bbox": [5, 6, 30 + number, 20],
            "area": 600,
            "iscrowd": 0,
        }
        for number in range(2)
    ]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 7, "name": "cell"}]}
    write(folder / "coco.json", json.dumps(content))
    write(folder / "broken.json", json.dumps(content)[:-9])


def write_pickles(folder: Path) -> None:
    """Write damaged copies of good.pt, foreign files, and files that run a command if unpickled."""
    good = (folder / "good.pt").read_bytes()
    at = len(good) * 6 // 10
    harm = f"touch {folder}/executed"
    contents = {
        "flipped": good[:at] + bytes([good[at] ^ 64]) + good[at + 1 :],
        "truncated": good[: len(good) // 2],
        "empty": b"",
        "text": b"no checkpoint\n",
        "compressed": compressed(good),
        "legacy": calling("posix system", harm),
        "malicious": archive(
            {"best/data.pkl": calling("posix system", harm), "best/version": b"3\n"}
        ),
        "evaluating": archive(
            {"best/data.pkl": calling("builtins eval", "1 + 1"), "best/version": b"3\n"}
        ),
    }
    for name, content in contents.items():
        write(folder / f"pickles/{name}.pt", content)
    torch.save({"format": "another-program"}, folder / "pickles/foreign.pt")
    torch.save({"weight": torch.zeros(3)}, folder / "pickles/bare.pt")


def calling(function: str, argument: str) -> bytes:
    """A pickle that calls a function, given as `module name`, with a text when it is loaded."""
    module, name = function.split()
    text = argument.encode()
    # Opcodes: protocol 2, global, text, tuple of one, reduce (the call), stop.
    return (
        b"\x80\x02"
        + f"c{module}\n{name}\n".encode()
        + b"X"
        + struct.pack("<I", len(text))
        + text
        + b"\x85R."
    )


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file with these entries, the same bytes each time."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        for name, content in entries.items():
            # A fixed date, since the date is part of the bytes.
            out.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, compression)
    return file.getvalue()


def compressed(content: bytes) -> bytes:
    """The same archive with compressed entries."""
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        return archive({name: found.read(name) for name in found.namelist()}, zipfile.ZIP_DEFLATED)
