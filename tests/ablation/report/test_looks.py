"""What a report says of looks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ablation.folder import LOOKED_AGAIN
from ablation.report.html import reading, settings, verdicts
from ablation.report.looks import looks_sentences
from ablation.report.sentences import sentence
from ablation.report.summary import make_lines
from ablation.report.tables import terminal
from ablation.results import StudyResult
from ablation.statistics.sequential import Course, Looks, make_plan
from tests.ablation.fake import make_study

ARMS = ["A@neck", "B@neck", "C@neck"]


def course(seeds: list[int], baseline: int, signs: list[int], ended: list[int]) -> Course:
    return Course(np.array(seeds), np.array(baseline), np.array(signs), np.array(ended))


@pytest.fixture(scope="module")
def looked() -> StudyResult:
    """After 5 of at most 8 seeds: A helps since the first look, B is dropped, C is open."""
    first = course([3, 3, 3], 3, [0, 0, 0], [-1, -1, -1])
    second = course([3, 5, 6], 6, [1, 0, 0], [0, -1, -1])
    last = course([3, 5, 8], 8, [1, 0, 0], [0, 1, -1])
    plan = make_plan((3, 5, 8), 3, is_adaptive=True)
    return make_study(dict.fromkeys(ARMS, 0.0), looks=Looks(plan, ARMS, [first, second], last))


def test_the_state_of_a_study_with_looks(looked: StudyResult) -> None:
    said = " ".join(looks_sentences(looked))
    assert said == (
        "Look 2 of 3, after 5 of at most 8 seeds; 26 % of the error of 5 % is spent. The next look,"
        " after 8 seeds, may simply be run: the same command with --seeds 8. Decided: A@neck after"
        " 3 seeds. Dropped as hopeless: B@neck after 5 seeds. Got runs of others: C@neck 1 run."
    )
    assert said.split(". ")[0] in terminal(looked, make_lines(looked))
    assert "26 % of the error of 5 % is spent" in verdicts(looked, make_lines(looked))
    assert "planned with looks" in reading(looked)


def test_the_plan_is_among_the_settings() -> None:
    study = make_study({"SE@neck": 0.0})
    config = dataclasses.replace(study.config, looks=(3, 5, 8), adaptive=True)
    shown = settings(dataclasses.replace(study, config=config))
    assert (shown["--looks"], shown["--adaptive"]) == ("3 5 8", "yes")


def test_a_study_that_is_over_says_what_it_saved(looked: StudyResult) -> None:
    assert looked.looks is not None
    over = dataclasses.replace(looked.looks, last=course([3, 5, 6], 6, [1, 0, 1], [0, 1, 1]))
    said = looks_sentences(dataclasses.replace(looked, looks=over))
    assert "All arms are decided or dropped, so that no look is left." in said
    assert said[-1] == "Saved: 12 of 32 planned runs of the arms and the baseline."


@pytest.mark.parametrize(
    ("further", "end"),
    [
        (3, "; 3 more seeds would show a difference of 0.5, and may simply be run, because a look"
            " after 8 seeds is planned"),
        (9, "; 9 more seeds would show a difference of 0.5, more than the last look after 8"),
    ],
)  # fmt: skip
def test_further_seeds_may_be_run_if_a_look_is_planned(
    looked: StudyResult, further: int, end: str
) -> None:
    lines = {line.name: line for line in make_lines(looked)}
    for name, left in (("C@neck", (8,)), ("B@neck", ()), ("plain", ())):
        assert lines[name].looks_left == left
    verdict = lines["C@neck"].verdict
    assert verdict is not None
    wanted = dataclasses.replace(verdict, further_seeds=further, verdict="no evidence")
    assert sentence(dataclasses.replace(lines["C@neck"], verdict=wanted), 0.005).endswith(end)


def test_a_study_that_was_not_planned_with_looks_is_marked() -> None:
    study = make_study({"SE@neck": 0.0})
    assert looks_sentences(study) == []
    again = dataclasses.replace(study, provenance={"seeds": f"5 then 10: {LOOKED_AGAIN}"})
    (said,) = looks_sentences(again)
    assert said.startswith("Looked at again: the seeds were 5 then 10: raised after a look")
    assert "Looked at again" in terminal(again, make_lines(again))
    assert "Looked at again" in verdicts(again, make_lines(again))
    assert "planned with looks" not in reading(again)
