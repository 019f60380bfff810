"""Runs the commands of README and the guides, one after the other, in a scratch copy of the tree.

    python -m tests.run_documents                       # README.md and every guide that is there
    python -m tests.run_documents README.md docs/lint.md

Each command runs as printed, but for what the tables here say: files of a reader (my.yaml,
yolov5s.pt, images/) are small ones that are made first, later flags make a training an epoch of
64 pixels, and what cannot run here is named with its reason. A command that ends with another
status than the expected one, and a printed block whose form is not the program's, are failures.
"""

from __future__ import annotations

import glob
import importlib.util
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data.synthetic.shapes import generate
from tests.documents import blocks, commands_in, documents, printed_commands, read
from utils.files import ROOT, save_yaml
from utils.yaml_file import load_yaml

SMALL = "--imgsz 64 --device cpu --workers 0"
# Program -> words behind its own. The last of two equal flags counts.
APPENDED = {
    "train.py": f"{SMALL} --epochs 1 --batch-size 4",
    "val.py": SMALL,
    "detect.py": "--imgsz 64 --device cpu",
    "explain.py": "--imgsz 64 --device cpu",
    "export.py": "--imgsz 64 --device cpu",
    "benchmarks.py": "--imgsz 64 --device cpu",
    "compare.py": "--imgsz 64 --rounds 3 --warmup 1",
    "tune.py": f"{SMALL} --epochs 1 --batch-size 4 --trials 2",
    "ablate.py": (
        f"{SMALL} --seeds 2 --baseline-seeds 2 --aa 0 --epochs 1 --batch-size 4 --cores-per-cell 1"
    ),
}
REPLACED: tuple[tuple[str, str], ...] = (  # pattern, what stands in its place; for commands
    (r"--data my\.yaml", "--data my_data.yaml"),  # my.yaml is also the name of a graph
    (r"^(python (train|ablate|tune)\.py(?!.* --(data|resume)).*)", r"\1 --data my_data.yaml"),
    (r"--source (0|x)$", "--source images/"),  # there is no camera
    (r"--data data/coco128\.yaml", "--data my_data.yaml"),
    (r"--out my\.yaml", "--out my_other.yaml"),
    (r"^(python -m models\.attention)$", r"\1 --channels 16 --size 8"),
)
REPLACED_IN_PYTHON = (
    (r"epochs=\d+", "epochs=1"),
    (r"imgsz=\d+", "imgsz=64"),
    (r"batch=\d+", 'batch=4, workers=0, device="cpu"'),
    (r'"(my|data/shapes)\.yaml"', '"my_data.yaml"'),
    (r'"datasets/shapes/images/val"', '"images/"'),
)
HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
if not HAS_OPENVINO:
    REPLACED = (*REPLACED, (r" openvino\b", ""))  # as the tests of exports are skipped without it
NOT_RUN = {  # pattern of a command -> why it is not run here
    r"^pip install": ".ci/run installs the requirements",
    r"^python -m bench\.": "measures for minutes or hours, on data that is not here",
    r"^python -m tests\.": "tests/test_repository.py runs it",
    r"^torchrun": "tests/engine/training starts several processes",
    r"…": "the document leaves words out; tests/test_documents.py reads the rest",
}
NOT_INSTALLED = ("import ByteTrackTracker",)  # it brings codecs under the GPL
REFUSED = ("python train.py --evolve",)  # what a reader typed elsewhere, and is refused here
STATUS = ((r" --lint (my|their)\.yaml", 1),)  # those graphs are wired wrongly
LIMIT_S = 400
NUMBER = re.compile(r"[+−-]?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")


class Step(NamedTuple):
    """One thing to run: a command or a piece of Python, where it stands, and what it prints."""

    where: str
    text: str
    shown: str = ""

    @property
    def is_python(self) -> bool:
        return "\n" in self.text

    @property
    def status(self) -> int:
        return next((status for row, status in STATUS if re.search(row, self.text)), 0)


def documents_that_run() -> list[Path]:
    """All of them but README in Chinese, whose commands are README's (tests/test_documents.py)."""
    return [path for path in documents() if path.name != "README.zh-CN.md"]


def shown_behind(text: str) -> dict[int, str]:
    """Line of the last command of a bash block -> the text block behind it."""
    found, pairs = {}, blocks(text)
    for block, after in itertools.pairwise(pairs):
        end = block.line + block.text.count("\n")
        if block.language == "bash" and after.language == "text" and after.line - end <= 5:
            found[list(commands_in(block.text, block.line))[-1].line] = after.text
    return found


def plan(path: Path) -> list[Step]:
    """What is run of a document, in its order; the same command once only."""
    text, name = read(path), path.relative_to(ROOT).as_posix()
    shown = shown_behind(text)
    steps = []
    for command in printed_commands(text):
        if command.text in REFUSED or any(re.search(row, command.text) for row in NOT_RUN):
            continue
        if "_openvino_model" in command.text and not HAS_OPENVINO:
            continue
        if command.words[1].startswith("examples/"):
            continue  # tests/test_examples.py runs them
        small = made_small(command.text)
        steps.append(
            (command.line, Step(f"{name}:{command.line}", small, shown.get(command.line, "")))
        )
    for block in blocks(text):
        if block.language == "python" and not any(word in block.text for word in NOT_INSTALLED):
            code = block.text
            for pattern, other in REPLACED_IN_PYTHON:
                code = re.sub(pattern, other, code)
            steps.append((block.line, Step(f"{name}:{block.line}", code)))
    unique: dict[tuple[str, str], Step] = {}
    for _, step in sorted(steps, key=lambda one: one[0]):
        unique.setdefault((step.text, step.shown), step)
    return list(unique.values())


def made_small(command: str) -> str:
    """The command with the words of REPLACED and APPENDED."""
    for pattern, other in REPLACED:
        command = re.sub(pattern, other, command)
    if "--resume" in command:
        return command  # the interrupted run was small
    return f"{command} {APPENDED.get(command.split()[1], '')}".strip()


def copy_tree(folder: Path) -> Path:
    """Copy what the project tracks, but tests and documents, into a folder; returns it."""
    ignored = shutil.ignore_patterns(
        ".*", "__pycache__", "runs", "datasets", "tests", "docs", "*.pt"
    )
    shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)
    return folder


def run(command: str, folder: Path, status: int = 0) -> str:
    """Run a command, or a piece of Python, in a folder; returns what it printed.

    Raises AssertionError, with the end of the output, for another status than the expected one.
    """
    words = ["-c", command] if "\n" in command else expanded(shlex.split(command)[1:], folder)
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == status, (
        f"{command}\nended with status {done.returncode}, not {status}:\n{done.stdout[-1500:]}"
    )
    return done.stdout


def expanded(words: list[str], folder: Path) -> list[str]:
    """The words with patterns of paths replaced by what they match, as a shell does."""
    found = [sorted(glob.glob(word, root_dir=folder)) if "*" in word else [] for word in words]
    return [one for word, paths in zip(words, found, strict=True) for one in paths or [word]]


def environment(folder: Path) -> dict[str, str]:
    """Variables with which no other tree's code is found, and no window opens."""
    return {**os.environ, "PYTHONPATH": str(folder), "MPLBACKEND": "Agg"}


def prepare(folder: Path) -> Path:
    """Copy the tree to a folder and put the files there that a reader of the documents has."""
    copy_tree(folder)
    data = load_yaml(ROOT / "data/shapes.yaml")
    del data["generate"]
    shapes = generate(folder / "datasets/tiny", train=16, val=8)
    save_yaml(folder / "my_data.yaml", {**data, "path": str(shapes), "test": data["val"]})
    shutil.copytree(shapes / "images/val", folder / "images")
    for name in ("image.jpg", "street.jpg"):
        shutil.copy(next((folder / "images").iterdir()), folder / name)
    for graph in ("my", "their"):
        shutil.copy(ROOT / "examples/tutorial_yolov8n.yaml", folder / f"{graph}.yaml")
    for own in ("my", "my_attention", "their_module"):
        code = read(ROOT / "examples/my_attention.py") + "\n\nclass Mine(StripGate):\n    pass\n"
        (folder / f"{own}.py").write_text(code, encoding="utf-8")
    train_weights(folder)
    return folder


def train_weights(folder: Path) -> None:
    """The weights that a reader has from elsewhere, and interrupted runs are made of."""
    for graph, names in (
        ("yolov5s", ("yolov5s.pt", "yolov5n.pt", "plain.pt", "attention.pt", "best.pt")),
        ("yolov8n", ("yolov8n.pt", "theirs.pt", "their_state_dict.pt")),
    ):
        run(made_small(f"python train.py --cfg models/{graph}.yaml --name {graph}"), folder)
        for name in names:
            shutil.copy(folder / f"runs/train/{graph}/weights/best.pt", folder / name)
        if graph == "yolov5s":
            make_pairs(folder / f"runs/train/{graph}")
        shutil.rmtree(folder / f"runs/train/{graph}")
    if HAS_OPENVINO:
        run(made_small("python export.py --weights best.pt --include openvino"), folder)


def make_pairs(run: Path) -> None:
    """Copies of a run that say of themselves to be two seeds of each of two settings."""
    for name, setting in (("plain", {}), ("simam", {"attention": ["SimAM@neck"]})):
        for seed in (0, 1):
            copy = run.with_name(f"{name}{seed + 1 if seed else ''}")
            shutil.copytree(run, copy)
            save_yaml(copy / "opt.yaml", {**load_yaml(copy / "opt.yaml"), "seed": seed, **setting})


def interrupt_a_run(folder: Path) -> None:
    """Start a training and stop it, as by Ctrl-C, when its first epoch is saved."""
    command = made_small("python train.py --cfg models/yolov5n.yaml --name stopped --exist-ok")
    words = [sys.executable, *shlex.split(command)[1:], "--epochs", "3"]
    table = folder / "runs/train/stopped/results.csv"
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    ) as training:
        end = time.monotonic() + LIMIT_S
        while training.poll() is None and time.monotonic() < end:
            if table.is_file() and len(read(table).splitlines()) > 1:
                training.send_signal(signal.SIGINT)
                break
            time.sleep(0.05)
        assert training.wait(LIMIT_S) == 130, "the training was not interrupted"


def form(text: str) -> str:
    """A text without what differs from run to run.

    That is its figures, numbers of runs, lengths of times, objects that are found, and white space.
    """
    text = NUMBER.sub("0", re.sub(r"\bexp\d*\b", "exp", text))
    text = re.sub(r"\b0 (h|min|s)( 0 (min|s))?\b", "0 s", text)
    text = re.sub(r"\b0 (\w+)s\b", r"0 \1", text)  # one epoch, two epochs
    text = re.sub(r"─+", "─", text)  # rules are as long as their columns are wide
    text = re.sub(r": 0x0 .*?(?=, 0ms)", ": 0x0 OBJECTS", text)  # what detect.py finds
    return re.sub(r"\s+", " ", text).strip()


def unlike(shown: str, output: str) -> list[str]:
    """The lines of a printed block whose form is nowhere in a program's output; … is left out."""
    whole = form(output)
    absent = "…" if importlib.util.find_spec("openvino") else ("…", "openvino ")
    lines = [line for line in shown.splitlines() if not line.lstrip().startswith(absent)]
    return [line for line in lines if form(line) not in whole]


def run_document(path: Path, folder: Path, done: set[tuple[str, str]]) -> Iterator[str]:
    """Run a document's commands in a prepared folder; yields a text for each failure.

    Args:
        path: the document.
        folder: what prepare() returned.
        done: command and printed block of what has run already, which is not run again.
    """
    for step in plan(path):
        if (step.text, step.shown) in done:
            continue
        done.add((step.text, step.shown))
        try:
            if "--resume" in step.text:
                interrupt_a_run(folder)
            # A study of another document has the same folder.
            shutil.rmtree(folder / "runs/ablate/study", ignore_errors=True)
            start = time.monotonic()
            output = run(step.text, folder, step.status)
            print(f"{time.monotonic() - start:6.1f} s  {step.where}: {step.text.splitlines()[0]}")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            yield f"{step.where}: {error}"
            continue
        for line in unlike(step.shown, output):
            yield f"{step.where}: prints no line of the form: {line}"


def main(names: list[str]) -> int:
    """Run the named documents, or all; returns 1 if anything failed."""
    paths = [ROOT / name for name in names] or documents_that_run()
    failures: list[str] = []
    done: set[tuple[str, str]] = set()
    with tempfile.TemporaryDirectory() as scratch:
        folder = prepare(Path(scratch) / "tree")
        for path in paths:
            for failure in run_document(path, folder, done):
                print(f"FAILED {failure}\n", flush=True)
                failures.append(failure)
    print(f"{len(failures)} failures in {len(paths)} documents")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
