"""results.csv has YOLOv5's names and shape, survives a resume and is never half written."""

from __future__ import annotations

import math
from pathlib import Path

from engine.training.logbook import (
    RATES,
    ResultsLog,
    columns,
    read_results,
    time_to_come,
    train_header,
    train_row,
)
from utils.structures import Metrics

TERMS = ("box", "obj", "cls")
NAMES = columns(TERMS)


def trained(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, **{f"train/{name}_loss": epoch + 0.5 for name in TERMS}}


def scores(value: float) -> Metrics:
    return Metrics(1, 1, value, 0.2, 0.3, 0.4, losses=(0.5, 0.6, 0.7))


def add(log: ResultsLog, epoch: int) -> None:
    log.add(trained(epoch), scores(epoch / 10), [0.01, 0.02, 0.123456])


def test_columns_and_padding(tmp_path: Path) -> None:
    log = ResultsLog(tmp_path, NAMES)
    add(log, 0)
    log.close()
    header, first = (tmp_path / "results.csv").read_text().splitlines()
    assert [name.strip() for name in header.split(",")] == list(NAMES)
    assert (
        "epoch",
        "train/box_loss",
        "train/obj_loss",
        "train/cls_loss",
        "metrics/precision",
        "metrics/recall",
        "metrics/mAP_0.5",
        "metrics/mAP_0.5:0.95",
        "val/box_loss",
        "val/obj_loss",
        "val/cls_loss",
        *RATES,
    ) == NAMES
    assert len(header) == len(first) == 21 * len(NAMES) - 1
    assert list(read_results(tmp_path / "results.csv")[0].values()) == [
        0, 0.5, 0.5, 0.5, 0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.01, 0.02, 0.12346
    ]  # fmt: skip


def test_an_extra_column_follows_those_of_training(tmp_path: Path) -> None:
    names = columns(("box", "cls"), ["train/sparsity"])
    assert names[:5] == (
        "epoch",
        "train/box_loss",
        "train/cls_loss",
        "train/sparsity",
        "metrics/precision",
    )
    log = ResultsLog(tmp_path, names)
    log.add(
        {"epoch": 0, "train/box_loss": 1, "train/cls_loss": 2, "train/sparsity": 3},
        None,
        [0.1, 0.1, 0.1],
    )
    assert read_results(log.path)[0]["train/sparsity"] == 3


def test_without_a_validation_the_former_scores_stand_again(tmp_path: Path) -> None:
    log = ResultsLog(tmp_path, NAMES)
    log.add(trained(0), None, [0.1, 0.1, 0.1])
    add(log, 1)
    log.add(trained(2), None, [0.1, 0.1, 0.1])
    assert [row["metrics/precision"] for row in read_results(log.path)] == [0, 0.1, 0.1]
    assert [row["val/cls_loss"] for row in read_results(log.path)] == [0, 0.7, 0.7]


def test_a_resumed_log_drops_what_will_come_again(tmp_path: Path) -> None:
    log = ResultsLog(tmp_path, NAMES)
    for epoch in range(4):
        add(log, epoch)
    log.close()
    before = (tmp_path / "results.csv").read_text()
    again = ResultsLog(tmp_path, NAMES, keep_before=2)
    add(again, 2)
    add(again, 3)
    again.close()
    assert (tmp_path / "results.csv").read_text() == before


def test_console_lines_stand_below_each_other() -> None:
    losses = dict(zip(TERMS, (0.1, 0.02, 0.003), strict=True))
    line = train_row("0/99", "3.21G", losses, 123, 640)
    assert len(line) == len(train_header(TERMS)) == 77
    assert line.split() == ["0/99", "3.21G", "0.1", "0.02", "0.003", "123", "640"]
    wider = {**losses, "overlapping": 0.5}
    line = train_row("0/99", "3.21G", wider, 123, 640)
    assert len(line) == len(train_header(wider)) == 77 + len(" overlapping_loss")
    assert train_header(wider).split()[4:6] == ["cls_loss", "overlapping_loss"]


def test_a_torn_line_or_an_odd_cell_does_not_stop_a_resume(tmp_path: Path) -> None:
    log = ResultsLog(tmp_path, NAMES)
    add(log, 0)
    log.close()
    path = tmp_path / "results.csv"
    path.write_text(
        path.read_text() + "  1, 0.5\n" + ",".join(["2", "none", *["1"] * (len(NAMES) - 2)]) + "\n"
    )
    rows = read_results(path)
    assert [line["epoch"] for line in rows] == [0, 2]
    assert math.isnan(rows[1]["train/box_loss"])


def test_the_time_to_come_is_that_of_the_other_epochs() -> None:
    assert time_to_come(90, 10) == "One epoch took 1 min 30 s; the other 10 take about 15 min."
