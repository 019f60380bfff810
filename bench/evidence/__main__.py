"""Make all that docs/studies leads to: python -m bench.evidence

These are docs/evidence.md, in Chinese too, its pictures, and the verdicts in the docstrings of
models/attention. Run it after a study was added to docs/studies/studies.yaml; the tests compare
the pages and docstrings with it.
"""

from __future__ import annotations

import sys

from bench.evidence.docstrings import write_docstrings
from bench.evidence.languages import CHINESE, ENGLISH
from bench.evidence.literature import draw_literature, read_published
from bench.evidence.page import page
from bench.evidence.picture import draw_all
from bench.evidence.studies import read_studies
from utils.errors import UserError, run_main
from utils.files import ROOT, atomic_write
from utils.text import counted

DOCS = ROOT / "docs"
PICTURE, LITERATURE = DOCS / "images/evidence.png", DOCS / "images/literature.png"
LANGUAGES = (ENGLISH, CHINESE)


def main(argv: list[str] | None = None) -> None:
    """Write the page, the pictures and the docstrings."""
    studies = read_studies()
    if not any(study.is_main for study in studies):
        raise UserError("docs/studies: no study with main: true has a table.md; add one")
    for language in LANGUAGES:
        with atomic_write(DOCS / f"evidence{language.suffix}.md", "w") as file:
            file.write(page(studies, language))
    draw_all(studies, PICTURE)
    main_ones = [study for study in studies if study.is_main]
    draw_literature(read_published(), main_ones, LITERATURE)
    changed = write_docstrings(studies)
    print(
        f"{DOCS / 'evidence.md'}, {PICTURE}, {LITERATURE}; {counted(changed, 'docstring')} changed"
    )


if __name__ == "__main__":
    sys.exit(run_main(main))
