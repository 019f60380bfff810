"""The ranges of a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.tuning.space import SELDOM, Range, load_space, usual_ranges
from utils.errors import UserError
from utils.families import FAMILIES, V5, V8
from utils.files import ROOT
from utils.hyperparameters import Hyperparameters
from utils.yaml_file import load_yaml


def test_the_usual_ranges_are_possible_values() -> None:
    for family in FAMILIES:
        for optimizer in ("SGD", "AdamW"):
            for name, one in {**usual_ranges(family, optimizer), **SELDOM}.items():
                for value in (one.low, one.high):
                    Hyperparameters.from_mapping({name: value}, name)


def test_published_recipes_are_within_the_usual_ranges() -> None:
    for file in ("low", "med", "high"):
        values = load_yaml(ROOT / f"data/hyps/hyp.scratch-{file}.yaml")
        ranges = usual_ranges(V5, "SGD")
        assert [name for name, one in ranges.items() if not one.has(values[name])] == []
    values, ranges = load_yaml(ROOT / "data/hyps/hyp.v8.yaml"), usual_ranges(V8, "SGD")
    assert [name for name, one in ranges.items() if not one.has(values[name])] == []
    # What --optimizer auto takes for 80 classes, and for one.
    assert all(usual_ranges(V8, "AdamW")["lr0"].has(rate) for rate in (0.000119, 0.002))


def test_a_file_names_what_is_searched(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("lr0: [1e-4, 0.1, log]\nmixup: [0, 1]\ndegrees: usual\nmosaic: 0.5\n")
    ranges, fixed = load_space(str(file), None, usual_ranges(V5, "SGD"))
    assert ranges == {
        "lr0": Range(1e-4, 0.1, True),
        "mixup": Range(0, 1),
        "degrees": Range(0, 45),
    }
    assert fixed == {"mosaic": 0.5}
    assert ranges["lr0"].plain() == [1e-4, 0.1, "log"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("rate: [0, 1]", "rate: no such hyperparameter; known are anchor_t"),
        ("lr0: [0.1]", "lr0: [0.1] is no range; write [low, high]"),
        ("lr0: [0.1, 0.2, linear]", "lr0: [0.1, 0.2, 'linear'] is no range"),
        ("lr0: [0.2, 0.1]", "lr0: [0.2, 0.1]: the first number must be below the second"),
        ("lr0: [0, 0.1]", "lr0: lr0=0.0: must be above 0"),
        ("box: [0, 0.1, log]", "box: [0, 0.1, 'log']: a range with log must begin above 0"),
        ("mosaic: [0, 2]", "mosaic: mosaic=2.0: is a probability"),
        ("mosaic: [0, .nan]", "mosaic: [0, nan]: nan is no finite number"),
        ("mosaic: [0, true]", "mosaic: [0, True]: True is no finite number"),
        ("mosaic: {low: 0}", "mosaic: {'low': 0}: {'low': 0} is no finite number"),
        ("mosaic: much", "mosaic: 'much': 'much' is no finite number"),
        ("anchors: usual", "anchors: has no usual range; write [low, high]"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(tmp_path: Path, row: str, said: str) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(f"# ranges\nmixup: [0, 1]\n{row}\n")
    with pytest.raises(UserError) as error:
        load_space(str(file), None, usual_ranges(V5, "SGD"))
    assert str(error.value).startswith(f"{file}:3: {said}")


def test_a_space_without_a_range_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("mosaic: 0.5\n")
    with pytest.raises(UserError, match="has no range to search"):
        load_space(str(file), None, {})
    with pytest.raises(UserError, match=r"^space: lr0: 'x': 'x' is no finite number"):
        load_space("", {"lr0": "x"}, {})
