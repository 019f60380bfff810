"""Exported files are told from checkpoints by their names."""

from __future__ import annotations

from utils.exported_names import ELSEWHERE, RUN_HERE, end_of, is_exported


def test_files_are_told_by_their_names():
    assert all(is_exported(f"runs/best{end}") for end in (*RUN_HERE, *ELSEWHERE))
    assert is_exported("best_openvino_model/")
    assert is_exported("BEST.ONNX")
    assert not any(map(is_exported, ("best.pt", "yolov5s.yaml", ".onnx", "onnx")))


def test_the_first_end_counts():
    assert end_of("best_edgetpu.tflite", ELSEWHERE) == "_edgetpu.tflite"
    assert end_of("best.pt", RUN_HERE) == ""
