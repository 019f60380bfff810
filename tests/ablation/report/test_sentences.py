"""A study's verdicts in plain words."""

from __future__ import annotations

import dataclasses

import pytest

from ablation.report.sentences import overview, sentence
from ablation.report.summary import make_lines
from ablation.results import StudyResult
from tests.ablation.fake import make_study


@pytest.fixture(scope="module")
def mixed() -> StudyResult:
    effects = {"SimAM@neck": 0.0, "CBAM@neck": 0.012, "GAM:rate=8@backbone.P5": -0.02}
    return make_study(effects, failed={"CBAM@neck seed 4": "out of memory <3 GiB>"})


@pytest.mark.parametrize(
    ("effects", "seeds", "text"),
    [
        (
            dict.fromkeys(("A@neck", "B@neck", "C@neck"), 0.0),
            5,
            "Of 3 arms 3 show no evidence either way.",
        ),
        ({"SimAM@neck": 0.02}, 2, "The arm has too few seeds for a verdict."),
        ({"SimAM@neck": 0.02}, 5, "The arm helps."),
        ({"SimAM@neck": -0.02, "SE@neck": -0.02}, 5, "Of 2 arms 2 hurt."),
        (
            {},
            5,
            "Only the baseline was trained, also under other seeds: none of 1 control stands out.",
        ),
    ],
)
def test_overview(effects: dict[str, float], seeds: int, text: str) -> None:
    assert overview(make_lines(make_study(effects, seeds)), 0) == text


def test_a_control_that_helps_is_a_warning(mixed: StudyResult) -> None:
    lines = make_lines(mixed)
    (line,) = [line for line in lines if line.name == "A/A"]
    assert line.verdict is not None
    wrong = dataclasses.replace(line, verdict=dataclasses.replace(line.verdict, verdict="helps"))
    assert (
        "chance in one study of twenty, and otherwise a sign that the other verdicts cannot be"
        " trusted either" in sentence(wrong, 0.005)
    )


def test_failed_runs_are_counted_beside_their_arm(mixed: StudyResult) -> None:
    sentences = {line.name: sentence(line, 0.005) for line in make_lines(mixed)}
    assert [name for name, text in sentences.items() if "(1 run failed)" in text] == ["CBAM@neck"]
    lost = make_study(
        {"SE@neck": 0.0},
        failed={f"SE@neck seed {seed}": "no memory" for seed in range(5)},
        verdicts=(),
    )
    line = next(line for line in make_lines(lost) if line.name == "SE@neck")
    assert sentence(line, 0.005) == "has no verdict: no run could be compared (5 runs failed)"


def test_one_seed_promises_a_verdict_and_no_power() -> None:
    line = make_lines(make_study({"SimAM@neck": 0.02}, seeds=1))[1]
    text = sentence(line, 0.005)
    assert "points over 1 seed, at" in text
    assert text.endswith("2 more seeds are the least for a verdict")


def test_two_seeds_promise_a_verdict_and_no_power() -> None:
    line = make_lines(make_study({"SimAM@neck": 0.02}, seeds=2))[1]
    assert sentence(line, 0.005).endswith("1 more seed is the least for a verdict")


def test_an_arm_that_was_stopped_is_not_said_to_need_seeds() -> None:
    study = make_study({"SimAM@neck": 0.0}, seeds=3, sd=0.01)
    (line,) = [line for line in make_lines(study) if line.name == "SimAM@neck"]
    assert "more seeds would show" in sentence(line, 0.005)
    study = dataclasses.replace(study, stopped={"SimAM@neck"})
    (line,) = [line for line in make_lines(study) if line.name == "SimAM@neck"]
    assert sentence(line, 0.005).endswith(
        "; it got no more runs, having hardly a chance of being shown to help"
    )


def test_an_overview_of_controls_says_what_failed() -> None:
    text = overview(make_lines(make_study({}, 1)), 3)
    assert text == (
        "Only the baseline was trained, also under other seeds: no control has enough seeds for a"
        " verdict. 3 runs failed."
    )


def test_no_number_beyond_the_search_is_promised(mixed: StudyResult) -> None:
    line = next(
        line for line in make_lines(mixed) if line.verdict and line.verdict.verdict == "no evidence"
    )
    assert line.verdict is not None
    noisy = dataclasses.replace(line.verdict, further_seeds=200 - line.verdict.seeds)
    text = sentence(dataclasses.replace(line, name="SE@neck", verdict=noisy), 0.005)
    assert text.endswith("showing a difference of 0.5 takes more than 200 seeds")
