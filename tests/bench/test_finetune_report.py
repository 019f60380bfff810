"""The table and the figure of the fine-tuning comparison."""

from __future__ import annotations

import cv2
import numpy as np

from bench.beside.programs import OURS, YOLOV5
from bench.finetune_report import COLOURS, draw_curves, mean_and_seeds, result_table
from bench.finetune_runs import Result, read_result


def results(seeds=2):
    found = []
    for dataset in ("neudet", "bccd"):
        for seed in range(seeds):
            for program, top in ((OURS, 0.4), (YOLOV5, 0.2)):
                curve = [top * epoch / 4 + 0.01 * seed for epoch in range(1, 5)]
                scores = {OURS: (0.6, top + 0.01 * seed), YOLOV5: (0.6, top)}
                found.append(Result(dataset, program, seed, curve, curve, scores, 100.0 + seed))
    return found


def test_a_row_has_the_mean_and_the_seeds():
    rows = result_table(results()).splitlines()[2:]
    assert len(rows) == 4
    assert rows[0] == (
        "| neudet | this project | 0.405 (0.400, 0.410) | 0.400 (0.400, 0.400)"
        " | 0.105 (0.100, 0.110) | 100 |"
    )
    assert mean_and_seeds([]) == ""


def test_a_result_survives_its_file():
    result = results()[0]
    assert read_result(result.to_json()) == result


def test_both_programs_are_in_both_panels(tmp_path):
    draw_curves(results(), tmp_path / "curves.png")
    image = cv2.imread(str(tmp_path / "curves.png"))
    assert image is not None
    assert 1200 < image.shape[1] < 1800
    for colour in COLOURS.values():
        rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        drawn = (np.abs(image[..., ::-1].astype(int) - rgb).max(2) < 4).sum(0)
        half = image.shape[1] // 2
        assert drawn[:half].sum() > 300
        assert drawn[half:].sum() > 300
