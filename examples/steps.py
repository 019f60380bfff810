"""What the examples share: small data that is drawn on the spot, and commands that are shown.

Every example prints each command before it runs it, so that you can type it yourself.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

# Python looks up a script's imports in its own folder only.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.synthetic.shapes import generate
from utils.files import ROOT, next_folder, save_yaml
from utils.yaml_file import load_yaml


def read_folder(description: str, name: str) -> Path:
    """Make the folder that an example writes to, and return it.

    It is a new one each time, below --out, or runs/examples/NAME, NAME2 and so on. The working
    folder becomes the project's, so that commands and paths are those of README.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", default=ROOT / "runs/examples", help="folder to write below")
    folder = next_folder(Path(parser.parse_args().out).absolute(), name)
    os.chdir(ROOT)
    return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder


def draw_shapes(folder: Path, train: int, val: int) -> Path:
    """Draw the project's shapes into folder/shapes; returns the data set's YAML.

    Args:
        folder: where to write.
        train: number of images to train on.
        val: number of images to score.
    """
    content = load_yaml(ROOT / "data/shapes.yaml")
    del content["generate"]  # this smaller set is drawn here, not by the programs
    content["path"] = str(generate(folder / "shapes", train=train, val=val))
    save_yaml(folder / "shapes.yaml", content)
    return folder / "shapes.yaml"


def run(command: str, *, fails: bool = False) -> None:
    """Print a command and run it from the project's folder, with this Python.

    Args:
        command: a command as README prints it, beginning with `python`.
        fails: whether the program is expected to end with status 1, as --lint does if it finds
            something.

    Raises:
        SystemExit: the command ended with another status than the expected one.
    """
    print(f"\n$ {command}", flush=True)
    words = shlex.split(command)
    status = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, check=False).returncode
    if status != int(fails):
        sys.exit(f"the command ended with status {status}: {command}")
