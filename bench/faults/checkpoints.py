"""Forged and damaged checkpoints: what reading each of them does, in a process of its own.

    python -m bench.faults.checkpoints --count 300

Forged files of both formats must be refused, or loaded as what they are, within 5 s and 300 MB, and
must leave no trace. Damaged files must be refused or loaded as they were written.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import torch

from bench.faults.forged_files import ForgedFile, forged_files, small_checkpoint, written
from bench.faults.measured import MeasuredCall, measured_call
from engine.training.optim import make_optimizer
from engine.training.resume import read_for_resume
from engine.training.run import Progress
from engine.training.saved_state import check_saved
from models.weights.load import from_checkpoint, load_model, read_weights
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint, lean, read
from utils.config import TrainConfig
from utils.hyperparameters import Hyperparameters
from utils.tables import text_table

MOST_SECONDS, MOST_MEGABYTES = 5.0, 300.0
PAGE = 4096
COLUMNS = (
    "files",
    "refused",
    "loaded equal",
    "loaded changed",
    "tracebacks",
    "more than a line",
    "over 5 s",
    "over 300 MB",
    "canary touched",
)
Damage = Callable[[bytearray, random.Random], None]


def flip(data: bytearray, draw: random.Random) -> None:
    """Flip one to ten bits."""
    for _ in range(draw.randint(1, 10)):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def truncate(data: bytearray, draw: random.Random) -> None:
    """Lose the end."""
    del data[draw.randrange(len(data)) :]


def insert(data: bytearray, draw: random.Random) -> None:
    """Gain some bytes."""
    place = draw.randrange(len(data))
    data[place:place] = draw.randbytes(draw.randint(1, 300))


def swap(data: bytearray, draw: random.Random) -> None:
    """Exchange two pages."""
    one, other = (draw.randrange(len(data) // PAGE) * PAGE for _ in range(2))
    first, second = data[one : one + PAGE], data[other : other + PAGE]
    data[one : one + PAGE], data[other : other + PAGE] = second, first


def zero(data: bytearray, draw: random.Random) -> None:
    """Lose a page, as after a power failure."""
    place = draw.randrange(len(data) // PAGE) * PAGE
    data[place : place + PAGE] = bytes(PAGE)


def repeat(data: bytearray, draw: random.Random) -> None:
    """Have a part twice."""
    place, length = draw.randrange(len(data)), draw.randrange(1, 5 * PAGE)
    data[place:place] = data[place : place + length]


def scribble(data: bytearray, draw: random.Random) -> None:
    """Have other bytes in the pickle or in the list of entries, where they change the meaning."""
    marks = [data.find(b"data.pkl"), data.rfind(b"PK\x01\x02")]
    place = min(max(draw.choice(marks) + draw.randrange(3000), 0), len(data) - 1)
    data[place] = draw.randrange(256)


DAMAGES: tuple[Damage, ...] = (flip, truncate, insert, swap, zero, repeat, scribble)


def honest_files() -> dict[str, bytes]:
    """A last.pt of an unfinished run and a best.pt, of a small model after one step."""
    checkpoint = small_checkpoint()
    model = DetectionModel(checkpoint.graph, names=checkpoint.names)
    optimizer = make_optimizer(model, TrainConfig(optimizer="SGD"), Hyperparameters())
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.01)
    optimizer.step()
    training = {
        "model": model.state_dict(),
        "updates": 1,
        "optimizer": optimizer.state_dict(),
        "scaler": {},
        "progress": vars(Progress()),
        "gradients": {},
        "random": {"cpu": torch.get_rng_state()},
        "data_digests": ["a", "b"],
    }
    best = {**vars(checkpoint), "state": lean(checkpoint.state)}
    return {
        "last.pt": written(Checkpoint(**{**vars(checkpoint), "training": training})),
        "best.pt": written(Checkpoint(**best)),
    }


def use_forged(path: Path) -> str:
    """Load a file as --weights and as --resume do; the latter only if it has such a state."""
    model = load_model(path, fuse=False)
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 64))
    checkpoint = read_weights(path)
    return restored(path) if checkpoint.training is not None else "as weights"


def restored(path: Path) -> str:
    """Restore the model and the optimizer of a run, as --resume does."""
    checkpoint, _ = read_for_resume(path)
    model = from_checkpoint(checkpoint, where=path)
    optimizer = make_optimizer(model, TrainConfig(optimizer="SGD"), Hyperparameters())
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    lengths = {"loss_sums": 3, "class_ap": model.spec.class_count}
    check_saved(checkpoint, model, optimizer, scaler, Progress, lengths)
    assert checkpoint.training is not None
    optimizer.load_state_dict(checkpoint.training["optimizer"])
    return "for a run"


def fingerprint(path: Path) -> str:
    """A digest of everything that a checkpoint of this project holds."""
    digest = hashlib.sha256()
    for part in _parts_of(vars(read(path))):
        digest.update(part)
    return digest.hexdigest()


def _parts_of(value: object) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        yield f"{value.dtype} {list(value.shape)}".encode()
        yield value.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield repr(key).encode()
            yield from _parts_of(part)
    elif isinstance(value, (list, tuple)):
        yield f"{type(value).__name__} {len(value)}".encode()
        for part in value:
            yield from _parts_of(part)
    else:
        yield repr(value).encode()


def judge_call(call: MeasuredCall, expected: str = "") -> list[str]:
    """The columns of the table in which a call counts; expected is the text of an equal load."""
    columns = {"refused": "refused", "read": "loaded equal"}
    found = [columns.get(call.how, "tracebacks")]
    if call.how == "read" and expected and call.text != expected:
        found = ["loaded changed"]
    is_line = "\n" not in call.text and len(call.text) < 600
    if call.how == "refused" and not is_line:
        found.append("more than a line")
    if call.seconds > MOST_SECONDS:
        found.append("over 5 s")
    if call.megabytes > MOST_MEGABYTES:
        found.append("over 300 MB")
    return found


def try_forged(count: int, folder: Path) -> Counter[str]:
    """Try forged files, all of them or every n-th; problems are printed with their file's name."""
    canary, kept = folder / "canary", folder / "kept"
    found = Counter[str]()
    for target in (canary, kept):
        step = max(1, 2 * sum(1 for _ in forged_files(str(target))) // count)
        # Not all are in memory at once, and each target starts at another one.
        for file in islice(forged_files(str(target)), int(target == kept), None, step):
            kept.write_bytes(b"x")
            found.update(_try_one(file, folder))
            if canary.exists() or not kept.exists():
                found["canary touched"] += 1
                canary.unlink(missing_ok=True)
    return found


def _try_one(file: ForgedFile, folder: Path) -> list[str]:
    path = folder / "forged.pt"
    path.write_bytes(file.content)
    call = measured_call(lambda: use_forged(path))
    columns = judge_call(call)
    if columns != ["refused"]:
        figures = f"{call.seconds:.1f} s, {call.megabytes:.0f} MB"
        print(f"{file.construction}: {file.label}: {columns}, {figures}: {call.text[-300:]}")
    return ["files", *columns]


def try_damaged(name: str, content: bytes, count: int, folder: Path) -> Counter[str]:
    """Try damaged copies of an honest file."""
    path = folder / "damaged.pt"
    path.write_bytes(content)
    expected = fingerprint(path)
    found = Counter[str]()
    for number in range(count):
        draw, data = random.Random(f"{name} {number}"), bytearray(content)
        DAMAGES[number % len(DAMAGES)](data, draw)
        path.write_bytes(data)
        call = measured_call(lambda: fingerprint(path))
        columns = judge_call(call, expected)
        if columns not in (["refused"], ["loaded equal"]):
            print(f"{name} {number}: {columns}: {call.text[-300:]}")
        found.update(["files", *columns])
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the campaign and print its table; the status is 1 if something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="forged files; 0 takes none")
    parser.add_argument("--damaged", type=int, default=1000, help="copies of each honest file")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.count:
            rows["forged"] = try_forged(options.count, folder)
        for file, content in honest_files().items():
            rows[file] = try_damaged(file, content, options.damaged, folder)
    lines = [(kind, *(str(row[column]) for column in COLUMNS)) for kind, row in rows.items()]
    print(text_table(("kind", *COLUMNS), lines))
    return int(any(row[column] for row in rows.values() for column in COLUMNS[3:]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
