"""TorchScript files, run by PyTorch.

Such a file is a program. Loading it runs what it defines as __setstate__, and some operators of
PyTorch read and write files, so a file whose code names any of these is refused.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
import zlib
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.exported.facts import LONGEST_TEXT, read_facts
from engine.exported.runtime import Runtime
from utils.errors import UserError
from utils.regular_file import read_limited
from utils.text import printable

MOST_FILE = 4_000_000_000  # bytes
MOST_CODE = 200_000_000  # bytes of all code of a file, which is compressed
REFUSED_CODE = re.compile(
    rb"__setstate__|\bfrom_file\b|\b(?:torch|aten)\.(?:save|load|hub|ops)\b|\bops\.(?!prim\b|aten\b"
    rb"|torchvision\b)\w+"
)
CONFIG = "config.txt"  # the extra file that YOLOv5 and Ultralytics keep their metadata in


def open_torchscript(path: Path, device: torch.device) -> Runtime:
    """Open a TorchScript file.

    Raises UserError if it is damaged, or its code does anything but compute.
    """
    content = read_limited(path, MOST_FILE)
    check_program(content, path)
    extra = {CONFIG: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch.export writes no such files
            module = torch.jit.load(io.BytesIO(content), device, _extra_files=extra)
    except (RuntimeError, ValueError) as error:
        raise _fault(path, error, "cannot be loaded") from None
    metadata = read_config(extra[CONFIG], path)
    facts = read_facts(metadata, str(path))
    if facts.size is None:
        raise UserError(f"{path}: does not say for which size it was made; export it again")
    dtype = next((value.dtype for value in module.parameters()), torch.float32)
    network: nn.Module = module.eval()

    def run(images: Tensor) -> Tensor:
        try:
            found = network(images.contiguous().to(device))
        except RuntimeError as error:
            if "memory" in str(error):
                raise
            remedy = f"export it with --device {device}, or run it where it was made"
            raise _fault(path, error, f"cannot be run on {device}", remedy) from None
        return found[0] if isinstance(found, tuple | list) else found

    shape = (facts.batch, facts.channels, *facts.size)
    return Runtime(str(path), metadata, shape, dtype, run, network)


def check_program(content: bytes, path: Path) -> None:
    """Raise UserError unless bytes are a TorchScript file whose code only computes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            code = [info for info in archive.infolist() if "/code/" in info.filename]
            if sum(info.file_size for info in code) > MOST_CODE:
                raise UserError(f"{path}: has more code than any detector; export it again")
            texts = [archive.read(info) for info in code if info.filename.endswith(".py")]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise _fault(path, error, "is no TorchScript file") from None
    if not texts:
        raise UserError(
            f"{path}: has no code, so it is no TorchScript file; a checkpoint is named .pt"
        )
    for text in texts:
        if found := REFUSED_CODE.search(text):
            raise UserError(
                f"{path}: its code has {printable(found[0].decode('ascii'), 60)}, which no exported"
                " detector needs; do not load it, export it again"
            )


def read_config(text: str | bytes, path: Path) -> dict[str, object]:
    """The metadata in a file's config.txt, which is JSON. Raises UserError if there is none."""
    try:
        content = json.loads(text) if len(text) <= LONGEST_TEXT else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path}: has no metadata ({CONFIG}); export it with export.py")
    return content


def _fault(path: Path, error: Exception, what: str, remedy: str = "export it again") -> UserError:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return UserError(f"{path}: {what} ({printable(lines[-1].strip(), 200)}); {remedy}")
