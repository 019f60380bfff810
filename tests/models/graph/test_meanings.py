"""Lists of arguments mean what they mean in the program of their file, and a note says it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from models.graph.load import load_graph
from models.graph.values import Note
from models.lint.advice import remarks_on, warnings_of
from models.yolo import DetectionModel

V5, V8 = "yolov5s_CBAM.yaml", "yolov8s_CBAM.yaml"


def built(file: str, name: str, arguments: Any) -> DetectionModel:
    """The network of a shipped graph whose attention rows are replaced."""
    graph = copy.deepcopy(load_graph(file))
    for row in [*graph["backbone"], *graph["head"]]:
        if row[2] == "CBAM":
            row[2:] = [name, copy.deepcopy(arguments)]
    return DetectionModel(graph, class_count=2)


def first_attention(model: DetectionModel, name: str) -> Any:
    return next(module for module in model.modules() if type(module).__name__ == name)


@pytest.mark.parametrize(
    ("file", "name", "arguments", "formula"),
    [
        (V8, "CBAM", [], "ultralytics"),
        (V8, "CBAM", [7], "ultralytics"),
        (V8, "CBAM", [1024, 3], "ultralytics"),
        (V8, "CBAM", [1024, 16, 7], "paper"),
        (V8, "CBAM", {"kernel_size": 7}, "paper"),
        (V8, "CBAM", {"formula": "ultralytics"}, "ultralytics"),
        (V8, "CBAMBlock", [], "paper"),
        (V5, "CBAM", [], "paper"),
        (V5, "CBAM", [1024], "paper"),
    ],
)
def test_cbam_is_that_of_the_files_program(
    file: str, name: str, arguments: Any, formula: str
) -> None:
    model = built(file, name, arguments)
    assert first_attention(model, "CBAM").formula == formula
    notes = {warning for warning in model.warnings if isinstance(warning, Note)}
    said = name == "CBAM" and isinstance(arguments, list)
    assert len(notes) == said
    assert all(("Ultralytics" in note) == (formula == "ultralytics") for note in notes)


def test_cbam_of_ultralytics_has_its_number_of_parameters() -> None:
    module = first_attention(built(V8, "CBAM", []), "CBAM")
    channels = module.channel_attention.fc.in_features
    count = sum(parameter.numel() for parameter in module.parameters())
    assert count == channels * channels + channels + 98


@pytest.mark.parametrize(
    ("arguments", "factor", "noted"),
    [
        ([], 8, True),
        ([1024], 8, True),
        ([8], 8, False),
        ([16], 16, False),
        ([1024, 16], 16, False),
        ({}, 32, False),
    ],
)
def test_ema_without_factor_is_that_of_most_copies(
    arguments: Any, factor: int, noted: bool
) -> None:
    model = built(V5, "EMA", arguments)
    assert first_attention(model, "EMA").factor == factor
    lines = remarks_on(model)
    assert [line for line in lines if line.startswith("note")] == (
        [
            "note: models/yolov5s_CBAM.yaml: EMA: factor taken as 8, the default of most public"
            " copies; {factor: …} sets another"
        ]
        if noted
        else []
    )
    assert not any("factor" in warning for warning in warnings_of(model))
