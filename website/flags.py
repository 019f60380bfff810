"""The page that maps flags of YOLOv5 and Ultralytics to ours, and lists each program's flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from ablation.config import StudyConfig
from engine.compare.settings import CompareConfig
from engine.evaluation.settings import ValConfig
from engine.explain.settings import ExplainConfig
from engine.export.benchmark_settings import BenchmarkConfig
from engine.export.settings import ExportConfig
from engine.inference.settings import DetectConfig
from models.settings import BuildConfig
from utils.cli import names_of
from utils.config import TrainConfig
from utils.known_flags import SENTENCES
from website.text import code, plain

PROGRAMS: dict[str, type] = {
    "train.py": TrainConfig,
    "val.py": ValConfig,
    "detect.py": DetectConfig,
    "export.py": ExportConfig,
    "benchmarks.py": BenchmarkConfig,
    "explain.py": ExplainConfig,
    "compare.py": CompareConfig,
    "ablate.py": StudyConfig,
    "models/yolo.py": BuildConfig,
}
INTRODUCTION = """\
# Flags of other programs, and ours

A command line of YOLOv5 or Ultralytics is either understood, or refused in a sentence that says
what stands in its place. These are the flags that have another name here, belong to another
program, or are missing. Flags may be written with dashes or underscores, and shortened as long as
they are clear. [YOLOv5's commands](../from_yolov5.md) and
[Ultralytics' calls](../from_ultralytics.md) stand beside ours on pages of their own.

## Flags that other programs have

| flag | here |
|---|---|
"""


def flags_page() -> str:
    """The page, as Markdown."""
    parts = [INTRODUCTION + "\n".join(other_rows()), "## Flags of each program"]
    for program, config in PROGRAMS.items():
        rows = "\n".join(own_rows(config))
        parts.append(f"### {program}\n\n| flag | default | means |\n|---|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


def other_rows() -> Iterator[str]:
    """One row for each sentence, with all flags that it answers."""
    for sentence, names in SENTENCES.items():
        flags = ", ".join(code("--" + name.replace("_", "-")) for name in names)
        yield f"| {flags} | {plain(sentence)} |"


def own_rows(config: type) -> Iterator[str]:
    """One row for each flag of a program."""
    for field in dataclasses.fields(config):
        if field.metadata.get("help") and field.metadata.get("flag", True):
            yield f"| {spellings(field)} | {default_of(field)} | {plain(field.metadata['help'])} |"


def spellings(field: dataclasses.Field[object]) -> str:
    """The flag with dashes, and its other names."""
    shown = [name for name in names_of(field) if "_" not in name]
    return ", ".join(map(code, shown))


def default_of(field: dataclasses.Field[object]) -> str:
    """The default as it would be typed."""
    value = field.default
    if value is False or value in ("", None, ()):
        return ""
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return code(" ".join(map(str, values)))
