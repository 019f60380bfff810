"""A stand-in for train.py in tests of the engines: the same files in the same order, no training.

It is a separate program because it is started as a child. What it does is in `behaviour.json`
beside STUDY: {"fail": names of cells' folders, "seconds": of an epoch}. It writes into `trace`, a
file there, when it starts, and whether another one works on the same cell.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path


def flags_of(argv: list[str]) -> dict[str, str]:
    return {name: value for name, value in itertools.pairwise(argv) if name.startswith("--")}


def is_alive(pid: int) -> bool:
    """Whether a process still runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def write(path: Path, content: object) -> None:
    spare = path.with_suffix(f".{os.getpid()}")
    spare.write_text(json.dumps(content))
    spare.replace(path)


def stop(*_: object) -> None:
    print("saved")
    sys.exit(143)


def main() -> None:
    flags = flags_of(sys.argv[1:])
    folder = (
        Path(flags["--resume"]).parents[1]
        if "--resume" in flags
        else Path(flags["--project"]) / flags["--name"]
    )
    state = (
        json.loads(Path(flags["--resume"]).read_text())
        if "--resume" in flags
        else {**flags, "done": []}
    )
    trace = folder.parents[2] / "trace"
    behaviour = json.loads((folder.parents[2] / "behaviour.json").read_text())
    former = folder / "pid"
    if former.is_file() and is_alive(int(former.read_text())):
        with open(trace, "a") as file:
            file.write(f"DOUBLED {folder.name}\n")
    write(former, os.getpid())  # a kill must not leave half of it
    with open(trace, "a") as file:
        file.write(
            f"{'resume' if '--resume' in flags else 'start'} {folder.name}"
            f" {os.environ['OMP_NUM_THREADS']}\n"
        )
    signal.signal(signal.SIGTERM, stop)
    (folder / "weights").mkdir(exist_ok=True)
    for epoch in range(len(state["done"]), int(state["--epochs"])):
        time.sleep(behaviour.get("seconds", 0.0))
        state["done"].append(int(state["--seed"]) * 10 + epoch)
        write(folder / "weights" / "last.pt", state)
        if folder.name in behaviour.get("fail", ()):
            print("RuntimeError: the sky fell")
            sys.exit(1)
    rows = "".join(f"{epoch}, {value / 1e5}\n" for epoch, value in enumerate(state["done"]))
    (folder / "results.csv").write_text("epoch, metrics/mAP_0.5:0.95\n" + rows)
    write(folder / "timing.json", {"forward": 0.1, "images": 8})
    write(
        folder / "metrics.json", {"map": sum(state["done"]) / 1e5 + 0.01 * ("--attention" in state)}
    )


if __name__ == "__main__":
    main()
