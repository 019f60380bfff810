"""The flags of benchmarks.py: YOLOv5's own are all there."""

from __future__ import annotations

import pytest

from engine.export.benchmark_settings import BENCHMARK_LINE, MADE, BenchmarkConfig
from utils.errors import UserError


def test_every_flag_of_yolov5_is_there():
    words = "--weights a.pt --imgsz 64 --batch-size 2 --data a.yaml --device cpu --half --test"
    given = BENCHMARK_LINE.read([*words.split(), "--pt-only", "--hard-fail"])
    assert given["hard_fail"] == MADE
    assert BenchmarkConfig(**given).least_map == 0
    assert BENCHMARK_LINE.read(["--img", "64", "--batch", "2"]) == {"imgsz": 64, "batch_size": 2}


@pytest.mark.parametrize("value", ["nan", "-1", "2", "much"])
def test_a_floor_is_a_share(value):
    with pytest.raises(UserError, match=f"--hard-fail={value}"):
        BenchmarkConfig(hard_fail=value)
