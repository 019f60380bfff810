"""The rules against files as people share them, in tests/golden/lint, with all findings."""

from __future__ import annotations

import pytest

from models.lint.finding import LintFinding
from models.lint.fix import lint
from models.lint.rules import CONTENT_RULES, GRAPH_RULES
from models.lint.text import TEXT_RULES
from utils.files import ROOT

FOLDER = ROOT / "tests" / "golden" / "lint"
SHIPPED = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "models").rglob("*.yaml"))
EXPECTED: dict[str, list[str]] = {  # row, rule, and the fix: for numbers "position in from > row"
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
LEFT = {  # findings that no rule can fix, which the corrected file still has
    "yolov5m_se": ["scale"],
    "yolov5s_bins": ["key"],
    "yolov8n_joined_with_itself": ["twice"],
    "yolov8n_misspelt_key": ["key"],
    "yolov8n_nc_twice": ["key"],
    "yolov8n_two_scales": ["scale"],
}


def brief(finding: LintFinding) -> str:
    fix = finding.fix
    meant = (
        ""
        if fix is None
        else f"{fix.position}>{fix.value}"
        if fix.part == "from"
        else str(fix.value)
    )
    return f"{finding.row} {finding.rule} {meant}".strip()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_findings_in_a_shared_file(name: str) -> None:
    assert [brief(finding) for finding in lint(FOLDER / f"{name}.yaml")] == EXPECTED[name]


def test_every_file_and_every_rule_is_covered() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(EXPECTED)
    kinds = {line.split()[1] for lines in EXPECTED.values() for line in lines}
    assert kinds == {
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
    assert len(GRAPH_RULES) + len(CONTENT_RULES) + len(TEXT_RULES) >= len(kinds)


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
