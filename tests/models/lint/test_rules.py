"""The rules against files as people share them: tests/golden/lint, each with all that should be
said of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models.graph.read import load_graph, read_graph
from models.graph.wiring import dead_branches
from models.lint.finding import Finding
from models.lint.mend import lint, lint_content, mend
from models.lint.rules import RULES
from models.lint.text import TEXT_RULES
from models.yolo import DetectionModel
from utils.files import ROOT

FOLDER = ROOT / "tests" / "golden" / "lint"
SHIPPED = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "models").rglob("*.yaml"))
EXPECTED: dict[
    str, list[str]
] = {  # row, rule, and what is meant: for numbers "position in from > row"
    "YOLOv8m-coord": ["-1 scale yolov8m-coord"],
    "yolov5m_se": ["-1 scale"],
    "yolov5s_acmix_kernel": ["14 arguments [512]"],
    "yolov5s_bins": ["-1 key"],
    "yolov5s_ca_behind_each_c3": [
        "4 comment # 4-P3/8",
        "7 comment # 7-P4/16",
        "10 comment # 10-P5/32",
        "12 comment # 12",
        "15 shift 1>9",
        "16 comment # 16",
        "19 shift 1>6",
        "20 comment # 20 (P3/8)",
        "22 shift 1>17",
        "23 comment # 23 (P4/16)",
        "24 gradient",
        "25 gradient",
        "25 shift 1>13",
        "26 comment # 26 (P5/32)",
        "26 unread",
        "27 levels 0>20",
        "27 levels 1>23",
        "27 levels 2>26",
    ],
    "yolov5s_cbam_kernel": ["9 arguments {}"],
    "yolov5s_conv_both_channels": ["3 arguments [256, 3, 2]"],
    "yolov5s_gam_rate": ["24 arguments {}"],
    "yolov5s_levels_turned": ["24 levels 0>17", "24 levels 2>23"],
    "yolov5s_side_branch": ["24 gradient", "25 unread", "26 level 0>25"],
    "yolov5s_simam_lambda": ["18 arguments [256]"],
    "yolov5s_simam_old_detect": [
        "24 gradient",
        "25 gradient",
        "26 unread",
        "27 bypass 0>18",
        "27 head 1>22",
        "27 shift 2>26",
    ],
    "yolov5s_skip_of_the_conv": ["12 stage 1>6"],
    "yolov8-triplet-x": ["-1 scale yolov8x-triplet"],
    "yolov8_s_eca": ["-1 scale yolov8s_eca"],
    "yolov8n_attention_nobody_reads": ["16 unread", "17 bypass 0>16", "23 bypass 0>16"],
    "yolov8n_both_channels": ["12 arguments [512]"],
    "yolov8n_both_sizes": ["-1 scale None", "-1 scale None"],
    "yolov8n_cbam_behind_sppf": [
        "13 comment # 13",
        "16 comment # 16 (P3/8)",
        "18 shift 1>13",
        "19 comment # 19 (P4/16)",
        "21 bypass 1>10",
        "22 comment # 22 (P5/32)",
        "22 unread",
        "23 head 0>16",
        "23 head 1>19",
        "23 head 2>22",
    ],
    "yolov8n_danet_first_skip": [
        "-1 scale None",
        "-1 scale None",
        "3 arguments {}",
        "4 comment # 4-P3/8",
        "6 comment # 6-P4/16",
        "8 comment # 8-P5/32",
        "10 comment # 10",
        "12 shift 1>7",
        "13 comment # 13",
        "16 comment # 16 (P3/8)",
        "19 comment # 19 (P4/16)",
        "22 comment # 22 (P5/32)",
    ],
    "yolov8n_danet_nothing_moved": [
        "3 arguments {}",
        "4 comment # 4-P3/8",
        "6 comment # 6-P4/16",
        "8 comment # 8-P5/32",
        "10 comment # 10",
        "12 shift 1>7",
        "13 comment # 13",
        "15 shift 1>5",
        "16 comment # 16 (P3/8)",
        "18 shift 1>13",
        "19 comment # 19 (P4/16)",
        "21 shift 1>10",
        "22 comment # 22 (P5/32)",
        "22 unread",
        "23 head 0>16",
        "23 head 1>19",
        "23 head 2>22",
    ],
    "yolov8n_eca_in_the_neck": ["22 unread", "23 head 2>22", "23 shift 1>19"],
    "yolov8n_ema_three": [
        "22 gradient",
        "23 gradient",
        "24 unread",
        "25 bypass 0>16",
        "25 head 1>20",
        "25 shift 2>24",
    ],
    "yolov8n_gc_behind_p3": ["15 bypass 1>5"],
    "yolov8n_head_one_off": ["21 unread", "22 head 0>15", "22 head 1>18", "22 head 2>21"],
    "yolov8n_joined_with_itself": ["17 twice"],
    "yolov8n_misspelt_key": ["-1 key reg_max", "-1 key"],
    "yolov8n_nc_twice": ["-1 key"],
    "yolov8n_old_comments": [
        "13 comment # 13",
        "16 comment # 16 (P3/8)",
        "19 comment # 19 (P4/16)",
        "22 comment # 22 (P5/32)",
    ],
    "yolov8n_pasted_top": ["-1 scale None", "-1 scale None"],
    "yolov8n_sa_at_13": ["18 bypass 1>13"],
    "yolov8n_same_level_twice": ["19 gradient", "20 gradient", "21 unread", "22 levels 2>21"],
    "yolov8n_se_three_stages": [
        "6 comment # 6-P4/16",
        "9 comment # 9-P5/32",
        "12 comment # 12",
        "14 shift 1>8",
        "15 comment # 15",
        "17 bypass 1>5",
        "18 comment # 18 (P3/8)",
        "20 shift 1>15",
        "21 comment # 21 (P4/16)",
        "22 gradient",
        "23 gradient",
        "23 shift 1>12",
        "24 comment # 24 (P5/32)",
        "24 unread",
        "25 levels 0>18",
        "25 levels 1>21",
        "25 levels 2>24",
    ],
    "yolov8n_sppf_taken_out": ["16 size 1>11", "19 size 1>8"],
    "yolov8n_two_scales": ["-1 scale"],
    "yolov8n_wrong_count": ["9 arguments []"],
    "yolov8n_wrong_stride_comment": ["5 comment # 5-P4/16"],
    "yolov8simam": ["-1 scale yolov8_simam"],
}
LEFT = {  # what no rule can mend, as it is told of the corrected file
    "yolov5m_se": ["scale"],
    "yolov5s_bins": ["key"],
    "yolov8n_joined_with_itself": ["twice"],
    "yolov8n_misspelt_key": ["key"],
    "yolov8n_nc_twice": ["key"],
    "yolov8n_two_scales": ["scale"],
}

SMALL = """nc: 1
scales: {n: [0.33, 0.25, 1024], s: [0.33, 0.5, 1024]}
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]] # here
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2, 3], 1, Detect, [nc]]
"""


def brief(finding: Finding) -> str:
    fix = finding.fix
    meant = (
        ""
        if fix is None
        else f"{fix.position}>{fix.value}"
        if fix.part == "from"
        else str(fix.value)
    )
    return f"{finding.row} {finding.rule} {meant}".strip()


def wiring(content: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(row.inputs, row.repeats, row.key, row.arguments) for row in read_graph(content).rows]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_is_said_of_a_shared_file(name: str) -> None:
    assert [brief(finding) for finding in lint(FOLDER / f"{name}.yaml")] == EXPECTED[name]


def test_every_file_and_every_rule_has_its_place() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(EXPECTED)
    told = {line.split()[1] for lines in EXPECTED.values() for line in lines}
    assert told == {
        "head",
        "bypass",
        "shift",
        "stage",
        "size",
        "levels",
        "level",
        "twice",
        "unread",
        "gradient",
        "arguments",
        "key",
        "comment",
        "scale",
    }
    assert len(RULES) + len(TEXT_RULES) >= len(told)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if place % 3 else [])
        for place, name in enumerate(SHIPPED)
    ],
)
def test_nothing_is_found_in_a_shipped_graph(name: str) -> None:
    assert lint(name) == []


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["s", "m", "l", "x"])
@pytest.mark.parametrize(
    "name", [name for name in SHIPPED if "scales:" in (ROOT / name).read_text()]
)
def test_nothing_is_found_at_any_scale(name: str, scale: str) -> None:
    assert lint(name, scale) == []


@pytest.mark.parametrize("name", ["yolov8n_danet_first_skip", "yolov8n_danet_nothing_moved"])
def test_the_tutorials_graph_mended_is_the_shipped_one(name: str) -> None:
    """Both readings of the article's head: the first Concat as before, and every number as before."""
    _, better, _ = mend(load_graph(FOLDER / f"{name}.yaml"))
    assert wiring(better) == wiring(load_graph("models/yolov8_DoubleAttention.yaml", "n"))


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=[] if place in (3, 10, 16) else pytest.mark.slow)
        for place in range(1, 22)
    ],
)
def test_one_row_inserted_anywhere_and_nothing_moved_is_mended(place: int) -> None:
    """Every map that somebody reads by number is the one of the plain graph, or the attention right
    behind it.
    """
    plain = load_graph("yolov8n.yaml")
    rows = plain["backbone"] + plain["head"]
    rows = [*rows[:place], [-1, 1, "SimAM", []], *rows[place:]]
    found, better, context = mend({**plain, "backbone": rows[:9], "head": rows[9:]})
    assert found
    assert not context.error
    assert lint_content(better) == []
    moved = [read + (read >= place) for read in (6, 4, 12, 9, 15, 18, 21)]
    meant = [read + 1 if read + 1 == place else read for read in moved]
    graph = read_graph(better)
    lists = [
        part
        for row in graph.rows
        if isinstance(row.source, list)
        for part in row.source
        if part != -1
    ]
    assert lists == meant


def test_attention_for_the_head_only_and_side_by_side_is_left_alone() -> None:
    plain = load_graph("yolov8n.yaml")
    head = plain["head"]
    aside = [*head[:6], [-1, 1, "SimAM", []], [-2, 1, "Conv", [256, 3, 2]], *head[7:]]
    aside[8:] = [[[-1, 12], 1, "Concat", [1]], *head[8:10], [[-1, 9], 1, "Concat", [1]], head[11]]
    aside.append([[16, 19, 22], 1, "Detect", ["nc"]])
    assert lint_content({**plain, "head": aside}) == []
    parallel = [
        [9, 1, "SimAM", []],
        [9, 1, "ECA", []],
        [[-1, -2], 1, "Concat", [1]],
        [-1, 1, "Conv", [1024]],
    ]
    moved = [
        (
            [[part + 4 if part > 8 else part for part in row[0]], *row[1:]]
            if isinstance(row[0], list)
            else row
        )
        for row in head
    ]
    assert lint_content({**plain, "head": parallel + moved}) == []


def test_the_rows_without_gradient_are_those_that_training_leaves_alone() -> None:
    content = load_graph(FOLDER / "yolov5s_side_branch.yaml")
    model = DetectionModel(content | {"width_multiple": 0.25}, class_count=1).train()
    sum(level.sum() for level in model(torch.rand(2, 3, 64, 64))).backward()
    learning = {
        row.i
        for row in model.model
        if any(part.grad is not None and part.grad.any() for part in row.parameters())
    }
    idle = {row.i for row in model.model if row.np} - learning
    graph = read_graph(model.graph)
    assert idle == {*dead_branches(graph), 25}
    assert 25 not in {source for row in graph.rows for source in row.inputs}


@pytest.mark.parametrize(
    ("row", "better"),
    [
        ([-1, 1, "C2f", [1024, 1024, True]], [1024, True]),
        ([-1, 1, "C2f", [1024, 3]], [1024]),
        ([-1, 1, "SimAM", {"e_lambda": 512}], {}),
        ([-1, 1, "ECAAttention", [1024, 1024, 513]], [1024, 1024]),
        ([-1, 1, "CBAM", [512, 7]], [7]),
        ([-1, 1, "DoubleAttention", [1024, 1]], {}),
    ],
)
def test_arguments_in_the_wrong_slot(row: list[Any], better: Any) -> None:
    plain = load_graph("yolov8n.yaml")
    content = {**plain, "head": [*plain["head"][:-2], row, plain["head"][-1]]}
    if row[2] != "C2f":
        content["head"] = [*plain["head"][:-1], row, [[15, 18, 22], 1, "Detect", ["nc"]]]
    fixes = [finding.fix for finding in lint_content(content) if finding.rule == "arguments"]
    assert [fix.value for fix in fixes if fix] == [better]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("yolov8_s.yaml", "yolov8s.yaml"),
        ("yolov8-CBAM-s.yaml", "yolov8s-CBAM.yaml"),
        ("YOLOv8n_SE.yaml", "yolov8n_SE.yaml"),
        ("v8s_SE.yaml", "yolov8s_SE.yaml"),
        ("yolov8sk.yaml", "yolov8_sk.yaml"),
        ("yolov8s_SE.yaml", ""),
        ("yolov8_SE.yaml", ""),
        ("mine.yaml", ""),
        ("yolov8-p2.yaml", ""),
    ],
)
def test_names_that_ask_for_a_scale_in_vain(name: str, meant: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(SMALL)
    assert [finding.meant for finding in lint(tmp_path / name)] == ([meant] if meant else [])


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("# 1", True),
        ("# 1: stage", True),
        ("# 1-P3/8", True),
        ("# layer 1", True),
        ("# 2 (P3/8-small)", False),
        ("# 2-P3/8", False),
        ("# 2-P4", True),
        ("# P4/16", True),
        ("# 8 heads, P5 of the backbone", False),
        ("# 3x3 twice", False),
        ("# 0.5 of it", False),
    ],
)
def test_which_comments_contradict_a_row(comment: str, said: bool, tmp_path: Path) -> None:
    (tmp_path / "yolov8n.yaml").write_text(SMALL.replace("# here", comment))
    assert [finding.rule for finding in lint(tmp_path / "yolov8n.yaml")] == ["comment"] * said
