"""Markdown tables have a rule below their header and a row for each entry."""

from __future__ import annotations

from bench.markdown_table import markdown_rows


def test_a_table_has_a_header_a_rule_and_rows() -> None:
    table = markdown_rows(["a", "b"], [["1", "2"], ["3", "4"]])
    assert table == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
