"""Both programs evaluate the same detections, and must agree on the score."""

from __future__ import annotations

import pytest

from bench.beside.bench import Bench
from bench.beside.evaluation import evaluation_part
from bench.beside.programs import OURS, YOLOV5, make_programs
from utils.errors import UserError


@pytest.mark.parametrize("score", [0.25, 0.26])
def test_scores_must_agree(tmp_path, monkeypatch, score):
    bench = Bench(
        make_programs({YOLOV5: "python"}, tmp_path, 1, ""),
        "bf16",
        "",
        [],
        {},
        2,
        say=lambda _: None,
    )
    told = []

    def last_line(program, name, words):
        told.append(words)
        return "[0.5, 0.4, 0.25]" if program.name == OURS else f"[2.0, 0.8, {score}]"

    monkeypatch.setattr(bench, "last_line", last_line)
    if score != 0.25:
        with pytest.raises(UserError, match="differently"):
            list(evaluation_part(bench))
        return
    row, used = evaluation_part(bench)
    assert (row.ratio, used.ratio) == (4, 2)
    ours, theirs = told[:2]
    assert ours[1:4] == ["-m", "bench.evaluation_speed", "--side=ours"]
    assert theirs[1].endswith("bench/evaluation_speed.py")
    assert ours[4:] == theirs[3:]
