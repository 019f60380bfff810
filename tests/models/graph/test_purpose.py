"""Joins that read a map before its stage is complete, on purpose or not."""

from __future__ import annotations

from typing import Any

from models.graph.load import load_graph
from models.yolo import DetectionModel


def rows_of_a_bifpn(last: str) -> dict[str, Any]:
    """yolov5n whose joins are sums; the third one reads row 13 beside the lateral Conv, row 14."""
    content = load_graph("models/yolov5n.yaml")
    for index in (12, 16, 22):
        content["head"][index - 10][2] = "BiFPN_Add2"
        content["head"][index - 10][3] = []
    content["head"][8] = [-1, 1, "Conv", [512, 3, 2]]
    content["head"][9] = [[-1, 13, 6], 1, last, []]
    return content


def test_a_sum_may_read_the_map_before_the_channels_change() -> None:
    """Row 14 has half the channels of row 13, so BiFPN_Add3 cannot mean it."""
    content = rows_of_a_bifpn("BiFPN_Add3")
    assert DetectionModel(content).warnings == []
    content["head"][3][2:] = ["SimAM", []]  # row 13 in place of C3
    content["head"][2][0] = [-1, 6]
    content["head"][9][0] = [-1, 12, 6]
    (warning,) = DetectionModel(content).warnings
    assert "reads row 12, BiFPN_Add2, whose stage goes on to row 13, SimAM" in warning


def test_a_concat_of_the_same_rows_is_still_reported() -> None:
    (warning,) = DetectionModel(rows_of_a_bifpn("Concat")).warnings
    assert "Concat from [-1, 13, 6]: reads row 13, C3, whose stage goes on to row 14" in warning


def test_the_convolution_before_space_to_depth_ends_no_stage() -> None:
    """In SPD's graphs a Conv of stride 1 and the spread replace the Conv of stride 2."""
    content = load_graph("models/yolov5n.yaml")
    content["backbone"][5:6] = [[-1, 1, "Conv", [512, 3, 1]], [-1, 1, "space_to_depth", [1]]]
    for row in content["head"]:
        if isinstance(row[0], list):
            row[0] = [one + 1 if one > 4 else one for one in row[0]]
    assert DetectionModel(content).warnings == []


def test_joins_of_several_sizes_read_levels_of_the_backbone() -> None:
    content = load_graph("models/yolov5n.yaml")
    content["head"][14:] = [
        [[4, 6, 8], 1, "ScalSeq", [256]],  # row 9, SPPF, continues row 8
        [[17, -1], 1, "Add", []],
        [[25, 20, 23], 1, "Detect", ["nc", "anchors"]],
    ]
    assert DetectionModel(content).warnings == []
    content["backbone"][9] = [-1, 1, "SimAM", []]
    (warning,) = DetectionModel(content).warnings
    assert "ScalSeq from [4, 6, 8]: reads row 8, C3" in warning


def test_in_yolov7s_neck_skips_start_before_the_lateral_convolution() -> None:
    """MP and its convolution stand for the convolution of stride 2, as in YOLOv7's backbone."""
    content = load_graph("models/yolov5n.yaml")
    content["head"][12][0] = [-1, 9]  # row 22: SPPF rather than the Conv behind it
    (warning,) = DetectionModel(content).warnings
    assert "Concat from [-1, 9]: reads row 9, SPPF, whose stage goes on to row 10" in warning
    content["head"][8] = [-1, 1, "MP", []]  # row 18, stride 2 again
    assert DetectionModel(content).warnings == []
    content["head"][1] = [-1, 1, "nn.ConvTranspose2d", [512, 4, 2, 1]]
    (warning,) = DetectionModel(content).warnings
    assert "reads row 9, SPPF" in warning
