"""The page, the pictures and the verdicts in docstrings that the studies lead to."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.evidence.docstrings import expected, paragraph, updated
from bench.evidence.languages import CHINESE, ENGLISH
from bench.evidence.literature import (
    Published,
    agreement,
    draw_literature,
    order_of,
    rank_correlation,
    read_published,
)
from bench.evidence.longer import longer_table, noise_table
from bench.evidence.page import counts, noise, page, table
from bench.evidence.picture import draw_all, ordered
from bench.evidence.studies import (
    FOLDER,
    Study,
    check_arms,
    number,
    pooled,
    read_studies,
    result_of,
    table_rows,
)
from bench.evidence.words import cell, docstring_line, label, quotable
from models.attention import ATTENTION
from utils.files import ROOT

HEAD = (
    "arm | verdict | difference | low | high | more seeds | seeds | mAP50-95 | parameters | × plain"
)
TABLE = f"""\
| # | {HEAD} |
|---:|{"---|" * 10}
| 0 | plain | baseline |  |  |  |  | 6 | 54.23 | 1,000 | 1.000 |
| 1 | SE@neck identity | helps | +1.20 | +0.10 | +2.30 | 0 | 3 | 55.43 | 1,100 | 1.070 |
| 2 | NAM@neck identity | no evidence | −0.65 | −1.70 | +0.40 | 12 | 3 | 53.58 | 1,001 | 1.071 |
| 3 | GAM@neck identity | no evidence | −0.10 | −2.00 | +1.80 | 89 | 3 | 54.13 | 2,000 | 1.400 |
| 4 | A/A | no evidence | −0.94 | −5.28 | +3.41 | 0 | 3 | 53.29 | 1,000 | 1.000 |
| 5 | SK@neck.P5 identity | hurts | −2.48 | −4.69 | −0.26 | 0 | 3 | 51.75 | 3,000 | 1.118 |
| 6 | ECA@neck identity | no result |  |  |  |  | 0 |  |  |  |
| 7 | Few@neck identity | no evidence | −9.00 | −99.00 | +81.00 | 0 | 2 | 40.00 | 1,000 |  |

| something | else |
|---|---|
| 1 | 2 |
"""
FACTS = {"data": "blood", "training": "8 epochs", "start": "identity", "main": True,
         "details": "a  few\nimages", "training_zh": "8 轮"}  # fmt: skip
SCORES = {  # of three seeds, points; NAM has two in common with plain, and ECA's runs failed
    "plain": (50.0, 51.0, 52.0), "SE@neck identity": (51.0, 52.5, 53.0),
    "NAM@neck identity": (50.0, 51.0, 51.5), "GAM@neck identity": (50.0, 51.0, 52.0),
    "A/A": (51.0, 51.0, 54.0), "SK@neck.P5 identity": (48.0, 49.0, 50.0),
    "Few@neck identity": (40.0, 40.0),
}  # fmt: skip
GAPS = (1.0, 0.0, -1.0)
CELLS = "arm,block,map,train_seconds\nECA@neck identity,,,\n" + "".join(
    f"{arm},{block},{score / 100},{360 if block else ''}\n"
    for arm, scores in SCORES.items()
    for block, score in enumerate(scores)
)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "table.md").write_text(TABLE, encoding="utf-8")
    (folder / "cells.csv").write_text(CELLS, encoding="utf-8")
    lines = [f"{key}: {value!r}" for key, value in FACTS.items()]
    text = "\n".join(["one:", *(f"  {line}" for line in lines), "absent: {data: x}"])
    (tmp_path / "studies.yaml").write_text(text.replace("True", "true"), encoding="utf-8")
    (found,) = read_studies(tmp_path)
    return found


def test_a_study_is_read_from_its_table_and_cells(study: Study) -> None:
    assert (study.name, study.plain, study.plain_parameters) == ("one", 54.23, 1000)
    assert (study.runs, study.hours, study.is_main) == (20, pytest.approx(1.3), True)
    assert list(study.rows) == [
        "SE@neck identity", "NAM@neck identity", "GAM@neck identity", "A/A", "SK@neck.P5 identity",
    ]  # fmt: skip
    assert list(study.modules) == ["SE", "NAM", "GAM", "SK"]
    row = study.modules["SK"]
    assert (row.place, row.difference, row.low, row.high) == ("neck.P5", -2.48, -4.69, -0.26)
    assert (row.seeds, row.parameters, row.latency) == (3, 3000, 1.118)
    assert label(study, ENGLISH) == "blood, 8 epochs, identity start"
    assert label(study, CHINESE) == "blood，8 轮，从恒等映射开始"


def test_the_outcome_says_what_a_missing_verdict_excludes(study: Study) -> None:
    outcomes = {name: row.outcome for name, row in study.modules.items()}
    assert outcomes == {"SE": "helps", "NAM": "no gain", "GAM": "open", "SK": "hurts"}
    assert counts([study], ENGLISH).endswith("| 4 | 1 | 1 | 1 | 1 |")


@pytest.mark.parametrize("arm", ["SE@neck+head", "SE:reduction=8@neck", "A/A 2", "SE@neck SK@neck"])
def test_an_arm_with_options_or_two_places_is_no_module_of_the_table(arm: str) -> None:
    row = dict.fromkeys(table_rows(TABLE)[0], "1")
    assert result_of({**row, "arm": arm, "verdict": "hurts"}, GAPS).module == ""


def test_another_spelling_is_the_same_module() -> None:
    row = {**dict.fromkeys(table_rows(TABLE)[0], "1"), "verdict": "hurts"}
    first, second = (result_of({**row, "arm": f"{name}@neck"}, GAPS) for name in ("CA", "CoordAtt"))
    assert first.module == second.module == "CoordAttention"
    with pytest.raises(ValueError, match="2 arms have CoordAttention"):
        check_arms("one", "paper", [first, second])
    with pytest.raises(ValueError, match=r"CA@neck does not start as studies\.yaml says, identity"):
        check_arms("one", "identity", [first])


def test_a_row_without_latency_is_read() -> None:
    row = {**dict.fromkeys(table_rows(TABLE)[0], "1"), "arm": "SE@neck", "verdict": "hurts"}
    del row["× plain"]
    found = result_of({**row, "parameters": ""}, GAPS)
    assert np.isnan(found.latency)
    assert found.parameters == 0


def test_numbers_are_read_as_reports_write_them() -> None:
    assert [number(text) for text in ("1,767,976", "−0.65", "+2")] == [1767976, -0.65, 2]
    assert np.isnan(number(""))


def test_cells_and_sentences_say_place_and_interval(study: Study) -> None:
    rows = study.modules
    assert cell(rows["SE"], ENGLISH) == "**helps** +1.20 (+0.10 to +2.30)"
    assert cell(rows["NAM"], ENGLISH) == "no gain of 0.5 −0.65 (−1.70 to +0.40)"
    assert cell(rows["SK"], ENGLISH) == "**hurts** −2.48 (−4.69 to −0.26) at neck.P5"
    assert cell(None, ENGLISH) == ""
    assert quotable(rows["SK"], study, ENGLISH) == (
        "SK at neck.P5 of yolov5n, started as an identity, lowered mAP50-95 by 2.48 points on blood"
        " (8 epochs, 3 paired seeds, simultaneous 95 % interval for 4 modules −4.69 to −0.26)."
    )
    assert "rules out a gain of 0.5 points" in quotable(rows["NAM"], study, ENGLISH)
    assert quotable(rows["NAM"], study, CHINESE) == (
        "在 blood 上（8 轮，3 个配对种子，4 个模块的 95 % 同时置信区间 −1.70 到 +0.40），"
        "在 yolov5n 的 neck 中加入 NAM（从恒等映射开始），mAP50-95 变化了 −0.65 个点，"
        "没有证据表明有影响，并且排除了提升 0.5 个点的可能。"
    )
    far = dataclasses.replace(rows["GAM"], more_seeds=197)
    assert quotable(far, study, ENGLISH).endswith("no evidence of an effect.")
    assert "; about 89 more seeds would be needed to show" in quotable(rows["GAM"], study, ENGLISH)
    undecided = dataclasses.replace(rows["GAM"], more_seeds=0)
    assert quotable(undecided, study, ENGLISH).endswith("no evidence of an effect.")


def test_a_docstring_gets_a_line_of_each_study_in_ascii(study: Study) -> None:
    text = '"""Title.\n\nVerdict: old\nlines.\n"""\n\ncode = """other"""\n'
    verdict = paragraph(["SE", "SK"], [study])
    found = updated(text, verdict)
    assert found.startswith('"""Title.\n\nVerdict: in the neck of yolov5n, ')
    assert (
        "\n- SE, blood, 8 epochs, identity start: helps, +1.20 (+0.10 to +2.30), 3 seeds.\n"
        in found
    )
    assert "\n- SK at neck.P5, blood, 8 epochs, identity start: hurts, -2.48 (" in found
    assert found.endswith('\n"""\n\ncode = """other"""\n')
    assert found.isascii()
    assert updated(text, paragraph(["ECA"], [study])).startswith('"""Title.\n\nVerdict: not yet')
    with pytest.raises(ValueError, match="no verdict"):
        updated('"""Title."""\n\nVerdict:\n"""x"""', verdict)
    with pytest.raises(ValueError, match="no verdict"):
        updated('"""Title."""', verdict)


def test_a_long_line_of_a_docstring_is_wrapped(study: Study) -> None:
    facts = {"training": "fine-tuned from COCO with a very long description"}
    long = dataclasses.replace(study, facts=facts)
    lines = docstring_line(long.modules["SK"], long, True).splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("  ")
    assert max(map(len, lines)) <= 100


def test_the_table_has_a_row_for_each_module_the_best_first(study: Study) -> None:
    other = dataclasses.replace(study, rows={})
    lines = table([other, study], ENGLISH).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| SE", "| GAM", "| NAM", "| SK"]
    assert lines[2] == "| SE | 1.07 | +10.0 % |  | **helps** +1.20 (+0.10 to +2.30) |"
    assert ordered([study, other]) == ["SE", "GAM", "NAM", "SK"]


def test_the_first_study_that_has_a_module_gives_its_place(study: Study) -> None:
    two = {arm: study.rows[arm] for arm in ("NAM@neck identity", "SK@neck.P5 identity")}
    worse = dataclasses.replace(two["NAM@neck identity"], difference=-9.0)
    later = dataclasses.replace(study, rows={**study.rows, worse.arm: worse})
    assert ordered([dataclasses.replace(study, rows=two), later]) == ["NAM", "SK", "SE", "GAM"]


def test_the_noise_is_that_of_pairs_and_of_other_seeds(study: Study) -> None:
    # plain has the squares 2 and A/A 6, with two degrees of freedom each, so a run's variance is 2.
    assert study.noise.run == pytest.approx(2**0.5)
    # The arms' differences are (1, 1.5, 1), (0, 0, -0.5), (0, 0, 0) and (-2, -2, -2).
    assert study.noise.pair == pytest.approx((2 / 6 / 8) ** 0.5)
    last = noise([study], ENGLISH).splitlines()[-1]
    assert last.endswith("| 2.00 | 0.20 | −0.94 (−5.28 to +3.41) |")
    assert np.isnan(pooled([[1.0], []]))


def test_a_longer_study_stands_beside_the_shorter_one(study: Study) -> None:
    rows = {arm: study.rows[arm] for arm in ("SE@neck identity", "GAM@neck identity")}
    rows["SE@neck identity"] = dataclasses.replace(
        rows["SE@neck identity"], difference=-2.0, low=-3.0, high=-1.0, verdict="hurts",
        gaps=(-1.0, -3.0),
    )  # fmt: skip
    facts = {**study.facts, "training": "24 epochs", "longer_than": "one"}
    longer = dataclasses.replace(study, name="two", rows=rows, facts=facts, plain=60.0)
    assert longer_table([study, longer], ENGLISH).splitlines()[2:] == [
        "| GAM | identity start | no evidence −0.10 (−2.00 to +1.80) | "
        "no evidence −0.10 (−2.00 to +1.80) |",
        "| SE | identity start | **helps** +1.20 (+0.10 to +2.30) | "
        "**hurts** −2.00 (−3.00 to −1.00) |",
    ]
    # SE's differences are (1, 1.5, 1) and (-1, -3), GAM's (0, 0, 0) in both.
    assert noise_table([study, longer], ENGLISH).splitlines()[2:] == [
        "| blood, 8 epochs, identity start | 54.2 | 0.20 |",
        "| blood, 24 epochs, identity start | 60.0 | 0.82 |",
    ]
    alone = dataclasses.replace(longer, facts={**facts, "longer_than": "absent"})
    assert longer_table([study, alone]) == noise_table([study, alone]) == ""


def test_pictures_are_written(study: Study, tmp_path: Path) -> None:
    paper = dataclasses.replace(study, start="paper", data="steel")
    published = [Published("SE", 1.0, "COCO", "Y", "u"), Published("ECA", 2.0, "COCO", "Y", "u")]
    drawn = (
        draw_all([study, paper], tmp_path / "all.png"),
        draw_literature(published, [study, paper], tmp_path / "published.png"),
    )
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    assert order_of(published) == ["ECA", "SE"]


def test_the_rank_correlation_has_an_exact_p() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx((1.0, 1 / 24))
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx((-1.0, 1.0))
    assert rank_correlation([1, 1, 2, 3], [1, 1, 2, 3])[0] == pytest.approx(1.0)


def test_lists_of_few_modules_are_not_compared(study: Study) -> None:
    gains = {"SE": 2.0, "NAM": 0.3, "GAM": 0.5, "SK": 0.1}
    published = [Published(name, gain, "COCO", "Y", "u") for name, gain in gains.items()]
    assert agreement(published[:3], [study]).count("\n") == 1
    same = [dataclasses.replace(one, gain=1.0) for one in published]
    assert agreement(same, [study]).count("\n") == 1
    assert "| Y, COCO | blood, 8 epochs, identity start | 4 | +1.00 | 0.04 |" in agreement(
        published, [study]
    )


def test_published_gains_are_of_modules_of_the_library() -> None:
    published = read_published()
    assert len(published) >= 13
    assert {one.module for one in published} <= {kind.__name__ for kind in ATTENTION.values()}
    assert all(one.source.startswith("https://") for one in published)


def test_the_page_and_the_docstrings_are_those_of_the_studies() -> None:
    """Run python -m bench.evidence after a change to docs/studies."""
    studies = read_studies()
    assert {study.name for study in studies} == {
        path.name for path in FOLDER.iterdir() if path.is_dir()
    }
    for language in (ENGLISH, CHINESE):
        file = ROOT / f"docs/evidence{language.suffix}.md"
        assert file.read_text(encoding="utf-8") == page(studies, language)
    for path, text in expected(studies).items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_two_main_studies_of_one_column_are_refused(study: Study, tmp_path: Path) -> None:
    text = (tmp_path / "studies.yaml").read_text(encoding="utf-8")
    again = text.replace("\none:", "\ntwo:") if "\none:" in text else text.replace("one:", "two:")
    (tmp_path / "studies.yaml").write_text(f"{text}\n{again.replace('absent', 'none')}\n")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with pytest.raises(ValueError, match="2 main studies of blood and identity"):
        read_studies(tmp_path)
