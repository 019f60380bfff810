"""curves.npz: the curves of an evaluation, kept in the run's folder for comparisons and papers.

Any program with NumPy reads it: `numpy.load("curves.npz")["pr"]`. Here C is the number of classes
that have labels.

| entry | shape | content |
|---|---|---|
| `classes`, `names`, `instances` | [C] | number, name and number of labels of each class |
| `ap` | [C, 10] | average precision at the IoU thresholds .5, .55 … .95 |
| `recalls` | [1000] | the x axis of `pr` and `pr_mean`, 0..1 |
| `pr`, `pr_mean` | [C, 1000], [1000] | precision over recall at IoU .5; its mean of the classes |
| `confidences` | [1000] | the x axis of the next three, 0..1 |
| `precision`, `recall`, `f1` | [C, 1000] | over the confidence, at IoU .5 |
| `best` | [] | index of the confidence at which the smoothed mean F1 is highest |
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.evaluation.average_precision import CONFIDENCES
from utils.errors import UserError
from utils.files import atomic_write
from utils.regular_file import read_limited
from utils.structures import Metrics
from utils.text import printable

CURVES_FILE = "curves.npz"
MOST_PACKED, MOST_UNPACKED = 2**28, 2**30  # bytes; 10,000 classes need 2**27.3 unpacked
POINTS = len(CONFIDENCES)
REMEDY = "validate the weights again, which writes it anew"
# Everything that the standard library and NumPy raise for a damaged archive.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, KeyError, EOFError, OSError,
    NotImplementedError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class SavedCurves:
    """What compare.py reads of a curves.npz.

    Attributes:
        names: Names of the C classes that have labels.
        ap: [C, 10] average precision at the IoU thresholds .5 to .95.
        pr: [C, 1000] precision over 1000 recalls in 0..1, at IoU .5.
    """

    names: tuple[str, ...]
    ap: np.ndarray
    pr: np.ndarray


def write_curves(folder: Path, metrics: Metrics) -> None:
    """Write curves.npz atomically.

    Curves are float32, half of what is computed with, since no chart shows more digits.
    """
    curves = metrics.details.curves
    known = {row.class_id: row.name for row in metrics.classes}
    names = [known.get(number, str(number)) for number in curves.classes.tolist()]
    mean = curves.pr_curve.mean(0) if len(names) else np.zeros(POINTS)
    lines = {
        "recalls": CONFIDENCES, "pr": curves.pr_curve, "pr_mean": mean, "confidences": CONFIDENCES,
        "precision": curves.precision_curve, "recall": curves.recall_curve, "f1": curves.f1_curve,
    }  # fmt: skip
    arrays: dict[str, Any] = {
        "classes": curves.classes,
        "names": np.array(names, dtype=np.str_),
        "instances": curves.instances,
        "ap": curves.ap,
        "best": np.array(curves.best),
        **{name: values.astype(np.float32) for name, values in lines.items()},
    }
    with atomic_write(folder / CURVES_FILE) as file:
        np.savez_compressed(file, **arrays)


def read_curves(path: Path) -> SavedCurves:
    """Read a curves.npz, whose content is checked and whose size is bounded.

    Raises UserError if it is missing, damaged, too large, or has other shapes than write_curves()
    gives it.
    """
    packed = read_limited(path, MOST_PACKED)
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            names, ap, pr = (_member(archive, f"{name}.npy") for name in ("names", "ap", "pr"))
        _check(names, ap, pr)
    except DAMAGED as error:
        reason = printable(str(error).partition("\n")[0], 120)
        raise UserError(f"{printable(path)}: cannot be read ({reason}); {REMEDY}") from None
    return SavedCurves(tuple(map(str, names.tolist())), ap, pr)


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of the archive. Raises ValueError if its header claims more than the file has."""
    info = archive.getinfo(name)
    if info.file_size > MOST_UNPACKED:
        raise ValueError(f"{name} is larger than {MOST_UNPACKED // 2**20} MiB")
    with archive.open(info) as file:
        # NumPy makes room for what the header claims before it reads anything.
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} has another version of the format")
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        claimed = math.prod(shape) * kind.itemsize
        if kind.hasobject or claimed != info.file_size - file.tell():
            raise ValueError(f"{name} does not hold what its header says")
    with archive.open(info) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _check(names: np.ndarray, ap: np.ndarray, pr: np.ndarray) -> None:
    """Raise ValueError unless the arrays have the shapes and ranges of curves."""
    if names.dtype.kind != "U" or names.ndim != 1:
        raise ValueError("`names` is no list of names")
    for name, values, columns in (("ap", ap, 10), ("pr", pr, POINTS)):
        if values.dtype.kind != "f" or values.shape != (len(names), columns):
            raise ValueError(f"`{name}` is not [{len(names)}, {columns}] floats")
        # Sums of rounded parts may exceed 1 in the last digit.
        if not ((values >= 0) & (values < 1 + 1e-6)).all():
            raise ValueError(f"`{name}` has values outside 0..1")
