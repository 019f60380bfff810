"""results.csv has YOLOv5's names and shape, survives a resume and is never half written."""

from __future__ import annotations

import math
from pathlib import Path

from utils.log import COLUMNS, ResultsLog, read_results, train_header, train_row


def row(epoch: int) -> dict[str, float]:
    return {name: epoch + number / 7 for number, name in enumerate(COLUMNS)} | {"epoch": epoch}


def test_columns_and_padding(tmp_path: Path) -> None:
    log = ResultsLog(tmp_path)
    log.add(row(0))
    log.close()
    header, first = (tmp_path / "results.csv").read_text().splitlines()
    assert [name.strip() for name in header.split(",")] == list(COLUMNS)
    assert len(header) == len(first) == 21 * len(COLUMNS) - 1
    assert read_results(tmp_path / "results.csv")[0]["x/lr2"] == 1.8571


def test_a_resumed_log_drops_what_will_come_again(tmp_path: Path) -> None:
    log = ResultsLog(tmp_path)
    for epoch in range(4):
        log.add(row(epoch))
    log.close()
    before = (tmp_path / "results.csv").read_text()
    again = ResultsLog(tmp_path, keep_before=2)
    again.add(row(2))
    again.add(row(3))
    again.close()
    assert (tmp_path / "results.csv").read_text() == before


def test_console_lines_stand_below_each_other() -> None:
    line = train_row("0/99", "3.21G", (0.1, 0.02, 0.003), 123, 640)
    assert len(line) == len(train_header()) == 77
    assert line.split() == ["0/99", "3.21G", "0.1", "0.02", "0.003", "123", "640"]


def test_a_torn_line_or_an_odd_cell_does_not_stop_a_resume(tmp_path: Path) -> None:
    log = ResultsLog(tmp_path)
    log.add(row(0))
    log.close()
    path = tmp_path / "results.csv"
    path.write_text(path.read_text() + "  1, 0.5\n" + ",".join(["2", "none", *["1"] * (len(COLUMNS) - 2)]) + "\n")
    rows = read_results(path)
    assert [line["epoch"] for line in rows] == [0, 2]
    assert math.isnan(rows[1]["train/box_loss"])
