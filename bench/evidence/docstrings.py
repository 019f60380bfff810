"""Write the verdicts of the studies into the docstrings of models/attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.evidence.studies import Study
from bench.evidence.words import docstring_line
from models.attention import ATTENTION
from utils.files import ROOT, atomic_write

FOLDER = ROOT / "models/attention"
HEAD = "\nVerdict:"
WHERE = (
    " in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):\n"
)
UNMEASURED = " not yet measured.\n"


def paragraph(names: Sequence[str], studies: Sequence[Study]) -> str:
    """What a docstring says after "Verdict:".

    Args:
        names: the classes that the docstring describes.
        studies: the studies, in the order of their lines.
    """
    lines = [
        docstring_line(study.modules[name], study, len(names) > 1)
        for study in studies
        for name in names
        if name in study.modules
    ]
    return WHERE + "".join(f"{line}\n" for line in lines) if lines else UNMEASURED


def updated(text: str, verdict: str) -> str:
    """A file's text with another verdict in its first docstring."""
    head, found, rest = text.partition(HEAD)
    _, quotes, code = rest.partition('"""')
    if not found or not quotes or '"""' in head[3:]:
        raise ValueError(f"no verdict in the first docstring, which begins {text[:60]!r}")
    return head + HEAD + verdict + quotes + code


def expected(studies: Sequence[Study]) -> dict[Path, str]:
    """The texts that the files of models/attention should have."""
    files: dict[Path, list[str]] = {}
    for kind in dict.fromkeys(ATTENTION.values()):  # in the order of their definition in a file
        file = FOLDER / f"{kind.__module__.rpartition('.')[2]}.py"
        files.setdefault(file, []).append(kind.__name__)
    return {
        path: updated(path.read_text(encoding="utf-8"), paragraph(names, studies))
        for path, names in files.items()
    }


def write_docstrings(studies: Sequence[Study]) -> int:
    """Update the files whose verdict has changed; returns their number."""
    changed = 0
    for path, text in expected(studies).items():
        if text != path.read_text(encoding="utf-8"):
            changed += 1
            with atomic_write(path, "w") as file:
                file.write(text)
    return changed
