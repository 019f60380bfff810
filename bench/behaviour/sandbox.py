"""Run the programs as a user does, in a temporary folder, and make their output comparable.

Everything that differs between two runs of the same code is removed: paths, times, process numbers,
progress bars. The environment is fixed: one thread, no GPU, no colours, 100 columns, and a label
cache inside the temporary folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 900
FIXED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONHASHSEED": "0",
    "COLUMNS": "100",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "MPLBACKEND": "Agg",
    "PYTHONIOENCODING": "utf-8",
}
REMOVED = (
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONWARNINGS",
    "DISPLAY",
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
)
TEXT_FILES = {".csv", ".txt", ".yaml", ".json", ".xml", ".md"}
UNRECORDED = (  # files with times or with hashes of paths, and figures that runs.py reads itself
    "timing.json",
    "metrics.json",
    "results.csv",
    "events.",
    "study.yaml",
)
SHORT = 5000  # shorter texts are kept whole, so that a diff can be shown; characters
CHANGING = (
    (re.compile(r"\b\d+(\.\d+)? ?ms\b"), "# ms"),
    (re.compile(r"\b\d+(\.\d+)?s\b"), "# s"),
    (re.compile(r"\.tmp-\d+"), ".tmp-#"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0x#"),
    (re.compile(r"…\S*/inputs/"), "…/inputs/"),  # tables shorten long paths from the left
)


@dataclass(frozen=True)
class Outcome:
    """The end of a command: its exit status, and its normalised output followed by its errors."""

    status: int
    text: str


@dataclass(frozen=True)
class Sandbox:
    """A temporary folder with `inputs/` for shared material and a folder for each command."""

    folder: Path

    @property
    def inputs(self) -> Path:
        """The folder that `@/` stands for in a command."""
        return self.folder / "inputs"

    def run(self, words: Sequence[str], name: str) -> Outcome:
        """Run one command and wait for it.

        Args:
            words: the program, as a path below the root or `-m module`, then its arguments, in
                which `@/` stands for the folder of inputs.
            name: the folder in the sandbox in which it starts; `-m` starts in the root.

        Returns:
            The exit status and the normalised text.
        """
        place = self.place(name)
        start = ["-m", words[1]] if words[0] == "-m" else [str(ROOT / words[0])]
        rest = [word.replace("@/", f"{self.inputs}/") for word in words[len(start) :]]
        done = subprocess.run(
            [sys.executable, *start, *rest],
            cwd=ROOT if words[0] == "-m" else place,
            env=self.environment(name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
        both = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
        return Outcome(done.returncode, self.normalise(both))

    def stream(self, words: Sequence[str], name: str) -> Iterator[str]:
        """Run `-m module` in the root and yield its lines. Raises SystemExit if it fails."""
        with subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env=self.environment(name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            yield from child.stdout or ()
        if child.returncode:
            raise SystemExit(f"{' '.join(words)} ended with status {child.returncode}")

    def place(self, name: str) -> Path:
        """The folder of this name in the sandbox, which is made if it is missing."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a command; each has a label cache that no other command sees."""
        kept = {key: value for key, value in os.environ.items() if key not in REMOVED}
        caches = {
            "YOLO_CACHE_DIR": self.folder / "cache" / name,
            "PYTHONPYCACHEPREFIX": self.folder / "bytecode",  # our modules are compiled once
        }
        return {**kept, **FIXED, **{key: str(value) for key, value in caches.items()}}

    def normalise(self, text: str) -> str:
        """The text without paths, times, process numbers and progress bars."""
        text = text.replace(str(self.folder), "<tmp>").replace(str(ROOT), "<root>")
        text = text.replace(f"{ROOT.parent}/datasets", "<datasets>")
        lines = [line.rstrip() for line in re.split(r"[\r\n]+", text)]
        text = "\n".join(line for line in lines if line and "%|" not in line) + "\n"
        for pattern, replacement in CHANGING:
            text = pattern.sub(replacement, text)
        return text

    def written(self, folder: Path) -> dict[str, str]:
        """The files below a folder: a text's content or hash, and "present" for other files."""
        found = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            if not path.name.startswith(UNRECORDED):
                is_text = path.suffix in TEXT_FILES
                content = self.normalise(path.read_text(errors="replace")) if is_text else ""
                short = content if len(content) < SHORT else sha(content)
                found[path.relative_to(folder).as_posix()] = short if is_text else "present"
        return found


def graph_files() -> list[Path]:
    """All graphs that the project ships."""
    return sorted([*(ROOT / "models").glob("*.yaml"), *(ROOT / "models/hub").glob("*.yaml")])


def sha(text: str) -> str:
    """The SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """The number of tensors, and the SHA-256 over key, dtype, shape and bytes of each, in order."""
    total = hashlib.sha256()
    for key, value in tensors.items():
        total.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        if value.device.type != "meta":
            flat = value.detach().contiguous().view(-1)
            total.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return f"{len(tensors)} tensors {total.hexdigest()}"


def hash_checkpoint(path: Path) -> str:
    """The hash of a checkpoint's weights: of its largest mapping from text to tensors."""
    mappings = tensor_mappings(torch.load(path, map_location="cpu", weights_only=True))
    return hash_tensors(max(mappings, key=len)) if mappings else "no tensors"


def tensor_mappings(content: Any) -> list[dict[str, torch.Tensor]]:
    """All non-empty dictionaries in a checkpoint that hold nothing but tensors."""
    if not isinstance(content, dict):
        return []
    if content and all(isinstance(value, torch.Tensor) for value in content.values()):
        return [content]
    return [found for value in content.values() for found in tensor_mappings(value)]
