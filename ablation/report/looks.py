"""The looks of a study in plain words: what is spent, what is left, who was dropped or given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ablation.folder import LOOKED_AGAIN
from ablation.statistics.sequential import ALPHA
from utils.text import counted

if TYPE_CHECKING:
    from ablation.results import StudyResult
    from ablation.statistics.sequential import Looks

READING_LOOKS = (
    "This study was planned with looks, each of which has a share of the error, fixed before the"
    " start. An interval belongs to the look at which its arm was decided or dropped, or to the"
    " last one, and is widened so that all intervals of all looks together are right in 95 % of"
    " studies. p and p exact are divided by the look's share of the error. A verdict that an"
    " earlier look gave stays, and its arm gets no more runs."
)


def looks_sentences(study: StudyResult) -> list[str]:
    """What a reader must know of the looks; [] for a study that was judged once."""
    if study.looks is None:
        grown = study.provenance.get("seeds", "")
        if not grown.endswith(LOOKED_AGAIN):
            return []
        return [
            f"Looked at again: the seeds were {grown}. False verdicts are more frequent than"
            " stated; a study that is started with --looks may be continued."
        ]
    return [*_state(study.looks), *_arms(study.looks)]


def _state(looks: Looks) -> list[str]:
    """Which look this is, how much of the error is spent, and how the study goes on."""
    taken, most = len(looks.courses), looks.plan.looks[-1]
    said = [
        f"Look {taken} of {len(looks.plan.looks)}, after {looks.seeds} of at most {most} seeds;"
        f" {100 * looks.spent:.0f} % of the error of {100 * ALPHA:.0f} % is spent."
    ]
    if looks.left:
        following = looks.left[0]
        said.append(
            f"The next look, after {following} seeds, may simply be run: the same command with"
            f" --seeds {following}."
        )
    elif taken < len(looks.plan.looks):
        said.append("All arms are decided or dropped, so that no look is left.")
    return said


def _arms(looks: Looks) -> list[str]:
    """The arms that ended, or got runs of others, and the runs saved."""
    said = []
    for word, found in (
        ("Decided", looks.ended(True)),
        ("Dropped as hopeless", looks.ended(False)),
    ):
        if found:
            said.append(f"{word}: {_listed(found, 'after', 'seed')}.")
    if given := looks.given():
        said.append(f"Got runs of others: {_listed(given, '', 'run')}.")
    used, planned = looks.runs()
    if used < planned:
        said.append(
            f"Saved: {planned - used} of {counted(planned, 'planned run')} of the arms and the"
            " baseline."
        )
    return said


def _listed(found: Mapping[str, int], word: str, unit: str) -> str:
    """`SE@a after 3 seeds, SE@b after 5 seeds`."""
    return ", ".join(
        " ".join(filter(None, [arm, word, counted(number, unit)])) for arm, number in found.items()
    )
