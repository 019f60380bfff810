"""A table as text: numbers, standard deviations, and names that hold markup."""

from __future__ import annotations

import csv
import math

from engine.compare.groups import Spread
from engine.compare.table_text import csv_text, latex, markdown, terminal_table
from engine.compare.tables import PaperTable

TABLE = PaperTable(
    "scores",
    "Scores in 100 %\nand more",
    {"model": "", "seeds": "d", "mAP": ".1f", "ms": ".2f"},
    [
        ["a_b & |c|", 3, Spread(45.26, 0.44, 3), 1.5],
        ["=2+3", 1, Spread(41.0, math.nan, 1), None],
        ["none", 0, Spread(math.nan, math.nan, 0), 2.0],
    ],
)


def test_latex_is_a_booktabs_table_without_stray_markup() -> None:
    text = latex(TABLE)
    assert text.splitlines()[:5] == [
        "% Scores in 100 % and more",
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"model & seeds & mAP & ms \\",
    ]
    assert r"a\_b \& \textbar{}c\textbar{} & 3 & 45.3 $\pm$ 0.4 & 1.50 \\" in text
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")


def test_markdown_keeps_its_columns() -> None:
    rows = markdown(TABLE).splitlines()[2:]
    assert rows[1] == "|---|---:|---:|---:|"
    assert rows[2] == r"| a\_b &amp; \|c\| | 3 | 45.3 ± 0.4 | 1.50 |"
    assert rows[3].endswith("| 41.0 | – |")
    assert {row.replace(r"\|", "").count("|") for row in rows} == {5}


def test_csv_has_plain_numbers_and_no_formula() -> None:
    head, *rows = csv.reader(csv_text(TABLE).splitlines())
    assert head == ["model", "seeds", "mAP", "mAP sd", "ms"]
    assert rows[0] == ["a_b & |c|", "3", "45.26", "0.44", "1.5"]
    assert rows[1] == ["'=2+3", "1", "41", "", ""]
    assert rows[2] == ["none", "0", "", "", "2"]


def test_the_terminal_gets_one_line_for_each_row() -> None:
    assert len(terminal_table(TABLE).splitlines()) == 6
