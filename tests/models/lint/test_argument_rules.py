"""The rules about arguments: channel counts where something else belongs."""

from __future__ import annotations

from typing import Any

import pytest

from models.graph.load import load_graph
from models.lint.argument_rules import block_arguments
from models.lint.fix import lint_content, try_out


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
    ("module", "arguments", "better"),
    [
        ("Conv", [64, 128, 3], [128, 3]),
        ("GhostBottleneck", [64, 128], [128]),
        ("nn.ConvTranspose2d", [64, 128, 2], [128, 2]),
        ("Conv", [64, 31], None),
        ("SPP", [64, [5, 9]], None),
        ("C2PSA", [64, 128], None),
    ],
)
def test_kernels_and_switches_are_known_from_constructors(
    module: str, arguments: list[Any], better: list[Any] | None
) -> None:
    """Any block whose second argument is a kernel or a switch is looked at, without a list."""
    content = load_graph("yolov8n.yaml")
    content["backbone"][4] = [-1, 1, module, arguments]
    context = try_out(content)
    assert context.graph
    fixes = [finding.fix for finding in block_arguments(context.graph, context)]
    assert [fix.value for fix in fixes if fix] == ([] if better is None else [better])
