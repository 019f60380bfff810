"""Damaged label files: each is read or refused in a line, in 5 s and 300 MB.

    python -m bench.faults.labels --files 1000

Every file is a valid one in which bytes, words or lines were changed at random, or one of a few
that are made to cost much. A process of its own reads them, whose time and memory are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from data.scanning.load import load_dataset
from utils.errors import UserError
from utils.files import read_results

MAX_SECONDS, MAX_MB = 5, 300
SIZE = (40, 60)  # height and width of the images
WORDS = [
    *("nan", "inf", "-1", "1e999", "0x1f", "", "1.005", "-0.005", "99", '"0"', "0,5", "é", "#"),
    *("9" * 400, "null", "true", "[]", "{}", "<object>", "</bndbox>", "&x;", "\x00", "\x1b[31m"),
    *("../../a", "C:\\a.png", "[" * 2000, "<a>" * 2000, "-" * 5000, "\ufeff", "\u2028"),
]
READ, REFUSED, FAILED = "read", "refused", "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of a damaged file: READ, REFUSED or FAILED; seconds of a core, and MB."""

    verdict: str
    seconds: float
    megabytes: float

    @property
    def holds(self) -> bool:
        """Whether there was no traceback, and time and memory were bounded."""
        return self.verdict != FAILED and self.seconds <= MAX_SECONDS and self.megabytes <= MAX_MB


def yolo_text() -> str:
    """A label file of boxes."""
    return "0 0.5 0.5 0.2 0.4\n1 0.25 0.25 0.1 0.1\n" * 3


def polygon_text() -> str:
    """A label file of polygons."""
    return "0 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5\n1 0.5 0.5 0.6 0.5 0.6 0.7\n"


def voc_text() -> str:
    """An XML file with an ordinary and a difficult object."""
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>30</xmax><ymax>30</ymax></bndbox>"
    objects = "".join(
        f"<object><name>a</name><difficult>{mark}</difficult>{box}</object>" for mark in (0, 1)
    )
    size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height><depth>3</depth></size>"
    return f"<annotation><filename>a.png</filename>{size}{objects}</annotation>"


def coco_text() -> str:
    """An instances file with a box, a polygon and a crowd."""
    more: list[dict[str, object]] = [
        {}, {"segmentation": [[5, 5, 20, 5, 20, 20]]}, {"iscrowd": 1},
    ]  # fmt: skip
    boxes = [
        {"id": row, "image_id": 41, "category_id": 7, "bbox": [5, 5, 20, 20], "area": 400, **part}
        for row, part in enumerate(more, 1)
    ]
    image = {"id": 41, "file_name": "a.png", "width": SIZE[1], "height": SIZE[0]}
    categories = [{"id": 7, "name": "a"}, {"id": 9, "name": "b"}]
    return json.dumps({"images": [image], "annotations": boxes, "categories": categories})


def list_text() -> str:
    """A list of images."""
    return "# all\n./images/a.png\nimages/a.png\n'images/a.png'\n"


def csv_text() -> str:
    """The results of a run."""
    return "   epoch,  train/box_loss, x/lr0\n 0, 0.5, 0.01\n 1, 0.25, 0.01\n"


def read_split(folder: Path, entry: str) -> None:
    """Load a data set whose training split is an entry of the YAML."""
    content = {"path": str(folder), "train": entry, "val": entry, "names": ["a", "b"]}
    (folder / "d.yaml").write_text(json.dumps(content))
    index = load_dataset(folder / "d.yaml", "val")
    index.report.table()
    index.report.write(folder / "report.csv")
    for sample in index:
        assert np.isfinite(sample.boxes).all(), "boxes are finite"
        assert len(sample.boxes) == len(sample.classes), "each box has a class"


# The place of each kind of file, its text, and how it is read.
KINDS: dict[str, tuple[str, Callable[[], str], Callable[[Path], object]]] = {
    "yolo": ("labels/a.txt", yolo_text, lambda folder: read_split(folder, "images")),
    "polygons": ("labels/a.txt", polygon_text, lambda folder: read_split(folder, "images")),
    "voc": ("Annotations/a.xml", voc_text, lambda folder: read_split(folder, "images")),
    "coco": ("images/x.json", coco_text, lambda folder: read_split(folder, "images/x.json")),
    "list": ("list.txt", list_text, lambda folder: read_split(folder, "list.txt")),
    "csv": ("results.csv", csv_text, lambda folder: read_results(folder / "results.csv")),
}


def costly_files() -> dict[str, list[bytes]]:
    """Files of each kind that are made to cost much, most of them for a few bytes."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    xml = [
        f'<!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]><annotation>&l11;</annotation>'.encode(),
        b"<annotation>" * 400_000,
        b"<annotation>" + b"<a/>" * 4_000_000 + b"</annotation>",
        b"<annotation " + b" ".join(b'a%d=""' % n for n in range(200_000)) + b"/>",
    ]
    rows = [
        b"0 .5 .5 .2 .2\n" * 1_000_000,
        b"".join(b"%d .5 .5 .2 .%06d\n" % (n % 2, n) for n in range(99_000)),
        b"0" + b" .5" * 5_000_000,
        b"9" * 15_000_000,
        b"\x00" * 80_000_000,
    ]
    texts = [
        b"[" * 100_000,
        b'{"images":' * 100_000,
        b"1" * 10_000_000,
        b'"' + b"a" * 20_000_000,
        b"[" + b"[]," * 400_000 + b"[]]",
        _instances(b"", b"[" * 900 + b"]" * 900),
        _instances(b"", b"[1,1,9," + b"1" * 4000 + b"]"),
        _instances(b"a\\u0000" + b"a/" * 1_000_000, b"[1,1,9,9]"),
        _instances(b"\\ud800", b"[1,1,NaN,9]"),
    ]
    lists = [b"\x00" * 1_000_000, b"a" * 10_000_000]
    return {"yolo": rows, "polygons": rows, "voc": xml, "coco": texts, "list": lists}


def _instances(name: bytes, box: bytes) -> bytes:
    return (
        b'{"images":[{"id":1,"file_name":"a.png"},{"id":2,"file_name":"%s.png"}],"categories":'
        b'[{"id":7,"name":"a"}],"annotations":[{"image_id":2,"category_id":7,"bbox":%s}]}'
        % (name, box)
    )


def damage(text: bytes, rng: np.random.Generator) -> bytes:
    """A copy with one to four random changes of bytes, words or lines."""
    for _ in range(rng.integers(1, 5)):
        at, end = sorted(rng.integers(0, len(text) + 1, 2).tolist())
        word = WORDS[rng.integers(len(WORDS))].encode()
        text = (
            text[:at] + bytes(rng.integers(0, 256, rng.integers(1, 9), np.uint8)) + text[at + 1 :],
            text[:at] + text[end:],
            text[:at],
            text[:at] + word + text[at:],
            text[:at] + word + text[end:],
            text.replace(b" ", word, 1),
            text[:at] + text[at:end] * 5 + text[end:],
            text.decode("utf-8", "replace").encode("utf-16"),
        )[rng.integers(8)]
    return text


def try_files(kind: str, contents: Sequence[bytes]) -> list[Outcome]:
    """Read damaged files of a kind one after the other, in a process that a failure may end.

    Args:
        kind: A key of KINDS.
        contents: The bytes of each file.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(contents):
        with tempfile.TemporaryDirectory() as name:
            rest, record = contents[len(outcomes) :], Path(name) / "outcomes"
            process = get_context("fork").Process(target=_read_all, args=(kind, rest, record))
            start = time.perf_counter()
            process.start()
            process.join()
            lines = record.read_text().split("\n")[:-1] if record.exists() else []
        outcomes += [_outcome_of(line) for line in lines]
        if process.exitcode:  # its traceback has been printed
            outcomes.append(Outcome(FAILED, time.perf_counter() - start, 0))
    return outcomes


def _outcome_of(line: str) -> Outcome:
    verdict, seconds, megabytes = line.split()
    return Outcome(verdict, float(seconds), float(megabytes))


def _read_all(kind: str, contents: Sequence[bytes], record: Path) -> None:
    """Read the files, and add a line about each to the record; only UserError is caught."""
    import cv2

    place, _, read = KINDS[kind]
    base = highest_memory()
    for number, content in enumerate(contents):
        folder = record.parent / str(number)
        os.environ["YOLO_CACHE_DIR"] = str(folder / "cache")
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)
        (folder / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "images" / "a.png"), np.full((*SIZE, 3), 90, np.uint8))
        start = time.process_time()  # other programs do not count
        verdict = read_one(read, folder)
        seconds = time.process_time() - start
        with open(record, "a") as file:
            file.write(f"{verdict} {seconds} {highest_memory() - base}\n")


def read_one(read: Callable[[Path], object], folder: Path) -> str:
    """READ, REFUSED in a printable line, or FAILED."""
    try:
        read(folder)
    except UserError as error:
        return REFUSED if str(error).isprintable() else FAILED
    return READ


def highest_memory() -> float:
    """The most memory that this process has had so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(kinds: Sequence[str], files: int, seed: int = 0, costly: bool = True) -> bool:
    """Try that many damaged files of each kind, print a table, and return whether all held."""
    print(f"{'kind':<10}{'files':>7}{'read':>7}{'refused':>9}{'failed':>8}{'max s':>8}{'MB':>8}")
    good = True
    for kind in kinds:
        text = KINDS[kind][1]().encode()
        damaged = [damage(text, np.random.default_rng([seed, number])) for number in range(files)]
        outcomes = try_files(kind, damaged)
        for content in costly_files().get(kind, []) if costly else ():
            outcomes += try_files(kind, [content])
        counts = Counter(outcome.verdict for outcome in outcomes)
        seconds = max(outcome.seconds for outcome in outcomes)
        megabytes = max(outcome.megabytes for outcome in outcomes)
        print(
            f"{kind:<10}{len(outcomes):>7}{counts[READ]:>7}{counts[REFUSED]:>9}"
            f"{counts[FAILED]:>8}{seconds:>8.2f}{megabytes:>8.0f}",
            flush=True,
        )
        good &= all(outcome.holds for outcome in outcomes)
    return good


def main(argv: list[str] | None = None) -> int:
    """Read the flags and run the campaign; 0 if everything held."""
    parser = argparse.ArgumentParser(description="Damage label files and read them.")
    parser.add_argument("--files", type=int, default=1000, help="files of each kind")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    return 0 if run(given.kinds, given.files, given.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
