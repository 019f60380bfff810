"""Tables of simulated studies come whole and in order, from one process or from several."""

from __future__ import annotations

import sys

import pytest

from bench.simulation_tables import simulated_tables


def squares(number: int, draws: int) -> list[list[str]]:
    return [[str(number * number), str(draws)]]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_rows_come_in_the_order_of_the_jobs(jobs, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "--draws", "7", "--jobs", jobs, "--tables", "b"])
    makers = {"a": squares, "b": squares}
    found = list(simulated_tables("Squares.", makers, lambda table: [(3,), (2,), (5,)]))
    assert found == [("b", [["9", "7"], ["4", "7"], ["25", "7"]])]
    assert "\n7 draws, " in capsys.readouterr().out


def test_an_unknown_table_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "--tables", "c"])
    with pytest.raises(SystemExit):
        list(simulated_tables("Squares.", {"a": squares}, lambda table: []))
    assert "invalid choice: 'c'" in capsys.readouterr().err
