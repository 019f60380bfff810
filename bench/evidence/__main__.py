"""Make all that docs/studies leads to: python -m bench.evidence

With --quote SE CBAM it only prints what may be quoted of these modules.

These are docs/evidence.md, in Chinese too, its pictures, and the verdicts in the docstrings of
models/attention. Run it after a study was added to docs/studies/studies.yaml; the tests compare
the pages and docstrings with it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.evidence.change import draw_change, measured, read_changes
from bench.evidence.docstrings import write_docstrings
from bench.evidence.languages import CHINESE, ENGLISH
from bench.evidence.literature import draw_literature, read_published
from bench.evidence.page import page
from bench.evidence.picture import draw_all
from bench.evidence.studies import Study, read_studies
from bench.evidence.words import quotable
from models.attention import ATTENTION
from utils.errors import UserError, run_main
from utils.files import ROOT, atomic_write
from utils.text import counted

DOCS = ROOT / "docs"
PICTURE, LITERATURE, CHANGE = (
    DOCS / f"images/{name}.png" for name in ("evidence", "literature", "change")
)
LANGUAGES = (ENGLISH, CHINESE)


def main(argv: list[str] | None = None) -> None:
    """Write the page, the pictures and the docstrings, or print quotations."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--quote", nargs="+", metavar="NAME", help="print what to quote of these")
    flags = parser.parse_args(argv)
    studies = read_studies()
    if flags.quote:
        print("\n\n".join(quotations(flags.quote, studies)))
        return
    if not any(study.is_main for study in studies):
        raise UserError("docs/studies: no study with main: true has a table.md; add one")
    for language in LANGUAGES:
        with atomic_write(DOCS / f"evidence{language.suffix}.md", "w") as file:
            file.write(page(studies, language))
    draw_all(studies, PICTURE)
    main_ones = [study for study in studies if study.is_main]
    draw_literature(read_published(), main_ones, LITERATURE)
    if measured(studies, read_changes()):
        draw_change(studies, read_changes(), CHANGE)
    changed = write_docstrings(studies)
    print(f"{DOCS / 'evidence.md'} and its pictures; {counted(changed, 'docstring')} changed")


def quotations(names: Sequence[str], studies: Sequence[Study]) -> list[str]:
    """What every study says of modules, by any of their names. Raises UserError for an unknown."""
    found = []
    for name in names:
        if name not in ATTENTION:
            raise UserError(f"--quote {name}: no such module; see docs/attention.md")
        module = ATTENTION[name].__name__
        said = [
            quotable(study.modules[module], study, ENGLISH)
            for study in studies
            if module in study.modules
        ]
        found += said or [f"{module} has not been measured."]
    return found


if __name__ == "__main__":
    sys.exit(run_main(main))
