"""Whole checkpoints that lie: archives that torch.save never writes, and models that do not fit."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.faults.forged import archive, own, payloads, placed, saved
from bench.faults.forged_rows import rows_of_unknown_classes
from models.graph.load import load_graph
from models.yolo import DetectionModel
from utils.checkpoint import FORMAT, Checkpoint

ALLOWED = 2**27  # bytes of a file that lies about its size
SMALL = {"width_multiple": 0.125, "nc": 2}


@dataclass(frozen=True)
class ForgedFile:
    """A malicious checkpoint.

    Attributes:
        construction: What is forged.
        label: Which case of it, and where it is.
        content: The file.
    """

    construction: str
    label: str
    content: bytes


def forged_files(canary: str) -> Iterator[ForgedFile]:
    """All of them; a command that one of them holds would create or remove the file `canary`."""
    for construction, label, code in payloads(canary):
        for place, program in placed(code):
            yield ForgedFile(construction, f"{label}, {place}", saved(program, bytes(16)))
    yield from _archives()
    for label, content in rows_of_unknown_classes():
        yield ForgedFile("rows of unknown classes", label, content)
    for label, checkpoint in _models():
        yield ForgedFile("model", label, written(checkpoint))


def written(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as this project writes it."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(checkpoint)}, buffer)
    return buffer.getvalue()


def small_checkpoint() -> Checkpoint:
    """An honest checkpoint of a small model."""
    graph = {**load_graph("yolov5n.yaml"), **SMALL}
    model = DetectionModel(graph, names=["a", "b"])
    return Checkpoint(model.graph, model.names, model.state_dict(), epoch=1)


def _archives() -> Iterator[ForgedFile]:
    program = b"\x80\x02" + own() + b"."
    entries = [("archive/data.pkl", program), ("archive/data/0", bytes(64))]
    whole = archive(entries)
    size = struct.pack("<I", len(program))
    large = [*entries, ("archive/data/1", bytes(ALLOWED))]
    cases: dict[str, Callable[[], bytes]] = {
        "compressed": lambda: archive(entries, zipfile.ZIP_DEFLATED),
        "a bomb": lambda: archive(large, zipfile.ZIP_DEFLATED),
        "a bomb of another method": lambda: archive(large, zipfile.ZIP_BZIP2),
        "a path upward": lambda: archive([*entries, ("../canary", b"x")]),
        "an absolute path": lambda: archive([*entries, ("/tmp/canary", b"x")]),
        "an entry twice": lambda: _twice(entries),
        "no program": lambda: archive(entries[1:]),
        "empty": lambda: archive([]),
        "a program of zeros": lambda: archive([("archive/data.pkl", bytes(2**20))]),
        "a long program": lambda: archive([("archive/data.pkl", b"N0" * 2**23 + b"N.")]),
        "65,535 entries": lambda: _with_entries(entries, 65_533),
        "40,000 entries": lambda: _with_entries(entries, 40_000),
        "300,000 entries": lambda: _with_entries(entries, 300_000),
        "long names": lambda: _with_entries(entries, 60, "x" * 60_000),
        "a long comment": lambda: whole[:-2] + b"\xff\xff" + b"PK\x05\x06" * 16_384,
        "declares more than it has": lambda: whole.replace(size * 2, struct.pack("<I", 2**31) * 2),
        "a wrong checksum": lambda: whole.replace(program, program[:-3] + b"N" + program[-2:]),
        "encrypted": lambda: whole.replace(b"\x14\x03\x14\0\0", b"\x14\x03\x14\0\x01"),
        "its directory elsewhere": lambda: whole[:-6] + struct.pack("<I", 2**31) + whole[-2:],
        "a large directory": lambda: whole[:-10] + struct.pack("<I", 2**31) + whole[-6:],
        "sizes of 64 bits": lambda: whole.replace(size * 2, b"\xff" * 8),
        "cut": lambda: whole[:-30],
        "TorchScript": lambda: archive([*entries, ("archive/code/__torch__.py", b"x")]),
        "overlapping": lambda: _overlapping(entries),
    }
    for label, make in cases.items():
        yield ForgedFile("archive", label, make())


def _with_entries(entries: list[tuple[str, bytes]], count: int, start: str = "") -> bytes:
    more = ((f"archive/data/{start}{number}", b"") for number in range(1, count + 1))
    return archive([*entries, *more])


def _twice(entries: list[tuple[str, bytes]]) -> bytes:
    other = (entries[0][0].replace("data.pkl", "dat4.pkl"), entries[0][1])
    return archive([*entries, other]).replace(b"dat4.pkl", b"data.pkl")


def _overlapping(entries: list[tuple[str, bytes]]) -> bytes:
    """Two names in the list of entries for the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in entries:
            file.writestr(name, content)
        first = file.infolist()[1]
        for number in range(1, 1000):
            other = zipfile.ZipInfo(f"archive/data/{number}")
            other.header_offset, other.CRC = first.header_offset, first.CRC
            other.file_size = other.compress_size = first.file_size
            file.filelist.append(other)
    return buffer.getvalue()


def _models() -> Iterator[tuple[str, Checkpoint]]:
    """Checkpoints in the form of this project whose parts do not belong together."""
    good = small_checkpoint()
    for label, graph in _graphs(good.graph):
        yield f"graph: {label}", replace(good, graph=graph)
    for label, state in _states(good.state):
        yield f"state: {label}", replace(good, state=state)
    wrong_names: dict[str, dict[int, Any]] = {
        "none": {},
        "100,000": {number: str(number) for number in range(100_000)},
        "one too many": {0: "a", 1: "b", 2: "c"},
        "a gap": {0: "a", 2: "b"},
        "numbers": {0: 1, 1: 2},
    }
    for label, names in wrong_names.items():
        yield f"names: {label}", replace(good, names=names)
    for label, training in _trainings(good):
        yield f"training: {label}", replace(good, training=training)


def _graphs(graph: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = graph["backbone"]
    first = rows[0]
    changes: dict[str, dict[str, Any]] = {
        "10^9 parameters": {"width_multiple": 24.0},
        "deep": {"depth_multiple": 50.0},
        "wide and deep": {"width_multiple": 8.0, "depth_multiple": 8.0},
        "100,000 classes": {"nc": 100_000},
        "negative classes": {"nc": -1},
        "a number that is not finite": {"width_multiple": float("nan")},
        "infinite": {"depth_multiple": float("inf")},
        "another width": {"width_multiple": 0.25},
        "text": {"backbone": "x"},
        "no rows": {"backbone": [], "head": []},
        "a row of numbers": {"backbone": [1, 2, 3]},
        "1,000 rows": {"backbone": rows + [[-1, 1, "Conv", [8, 1, 1]]] * 980},
        "a large kernel": {"backbone": [[*first[:3], [64, 60_000, 2, 2]], *rows[1:]]},
        "many repeats": {"backbone": [first, [-1, 1900, "C3", [128]], *rows[1:]]},
        "a row that reads itself": {"backbone": [[0, *first[1:]], *rows[1:]]},
        "an unknown module": {"backbone": [[-1, 1, "os.system", ["x"]], *rows[1:]]},
        "a module of torch": {"backbone": [[-1, 1, "nn.Linear", [9, 9]], *rows[1:]]},
        "an activation with code": {"activation": "__import__('os').system('x')"},
        "anchors of no size": {"anchors": [[0, 0], [0, 0], [0, 0]]},
        "100 anchors": {"anchors": 100},
    }
    for label, changed in changes.items():
        yield label, {**graph, **changed}


def _states(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    kernel = next(key for key in state if key.endswith("conv.weight"))
    variance = next(key for key in state if key.endswith("running_var"))
    value = state[kernel]
    holed = value.clone()
    holed[0, 0, 0, 0] = float("nan")
    changes: dict[str, dict[str, torch.Tensor]] = {
        "NaN": {kernel: torch.full_like(value, float("nan"))},
        "infinite": {kernel: torch.full_like(value, float("inf"))},
        "one NaN": {kernel: holed},
        "a negative variance": {variance: -state[variance]},
        "a variance that is NaN": {variance: state[variance] * float("nan")},
        "whole numbers": {kernel: value.long()},
        "truth values": {kernel: value > 0},
        "another shape": {kernel: value.flatten()},
        "no values": {kernel: value[:0]},
        "a row more": {f"{kernel}2": value},
        "another key": {"x" * 100_000: value},
        "10,000 more": {f"model.99.{number}": torch.zeros(1) for number in range(10_000)},
        "an expanded tensor": {kernel: torch.zeros(1).expand(value.shape)},
        "shared tensors": {f"{kernel}{number}": value for number in range(100)},
    }
    for label, changed in changes.items():
        yield label, {**state, **changed}
    yield "empty", {}
    yield "one key less", {key: one for key, one in state.items() if key != kernel}


def _trainings(good: Checkpoint) -> Iterator[tuple[str, Any]]:
    """States of training that belong to another model, or to none."""
    usual: dict[str, Any] = {
        "model": good.state,
        "updates": 1,
        "optimizer": {"state": {}, "param_groups": []},
        "scaler": {},
        "progress": {},
        "gradients": {},
        "random": {"cpu": torch.get_rng_state()},
        "data_digests": ["", ""],
    }
    changes: dict[str, dict[str, Any]] = {
        "no groups": {},
        "updates of text": {"updates": "1"},
        "an unknown entry of the progress": {"progress": {"x": 1}},
        "a progress of text": {"progress": {"epoch": "1"}},
        "a negative epoch": {"progress": {"epoch": -5}},
        "a model of another shape": {"model": {"model.0.conv.weight": torch.zeros(1)}},
        "gradients of another shape": {"gradients": {"model.0.conv.weight": torch.zeros(1)}},
        "a short random state": {"random": {"cpu": torch.zeros(3, dtype=torch.uint8)}},
        "a random state of zeros": {"random": {"cpu": torch.zeros_like(torch.get_rng_state())}},
        "no random state": {"random": {}},
        "a scaler of text": {"scaler": {"scale": "x"}},
        "an optimizer of another kind": {"optimizer": {"state": {0: {"x": torch.zeros(1)}}}},
        "a group without parameters": {"optimizer": {"state": {}, "param_groups": [{}] * 3}},
        "digests of numbers": {"data_digests": [1, 2]},
    }
    for label, changed in changes.items():
        yield label, {**usual, **changed}
    for name in usual:
        yield f"without {name}", {key: value for key, value in usual.items() if key != name}
