"""The navigation, by task; a page that is not there is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

COME_FROM = ["from_a_tutorial.md", "from_yolov5.md", "from_ultralytics.md"]
GUIDES = [
    "data.md", "weights.md", "runs.md", "devices.md", "attention.md", "lint.md", "ablation.md",
    "explain.md", "paper.md", "exported.md", "companions.md", "own_modules.md", "public_models.md",
    "python.md", "yolov8.md", "faults.md", "examples.md",
]  # fmt: skip
REFERENCE = ["reference/flags.md", "reference/python.md", "reference/attention.md",
             "reference/engine.md", "reference/ablation.md"]  # fmt: skip
PROJECT = ["architecture.md", "measured.md", "project/CHANGELOG.md", "project/LOG.md",
           "project/CONTRIBUTING.md", "project/SECURITY.md"]  # fmt: skip


def navigation(docs: Path, mechanisms: Sequence[str]) -> list[dict[str, Any]]:
    """The navigation for MkDocs.

    Args:
        docs: the folder of pages.
        mechanisms: pages of attention mechanisms.
    """

    def there(pages: Sequence[str]) -> list[str]:
        made = ("reference/flags.md", "project/")
        return [page for page in pages if page.startswith(made) or (docs / page).is_file()]

    return [
        {"Start": "index.md"},
        {"I come from …": there(COME_FROM)},
        {"Guides": there(GUIDES)},
        {"Mechanisms": [*there(["evidence.md"]), "mechanisms/index.md", *mechanisms]},
        {"Reference": there(REFERENCE)},
        {"FAQ": "faq.md"},
        {"Project": there(PROJECT)},
    ]
