"""Which decoded box stands for an object, and the score that is explained."""

from __future__ import annotations

import torch

from engine.explain.targets import Target, find_targets, row_of, score_of
from utils.families import V5, V8
from utils.nms_settings import NMSSettings

# x, y, w, h, two classes; the third box is the first one shifted, the last one is elsewhere.
V8_ROWS = torch.tensor(
    [[[20.0, 20, 10, 10, 0.9, 0.1], [21.0, 20, 10, 10, 0.6, 0.2], [60.0, 60, 8, 8, 0.1, 0.7]]]
)
V5_ROWS = torch.cat((V8_ROWS[..., :4], torch.tensor([[[0.5], [0.5], [1.0]]]), V8_ROWS[..., 4:]), 2)
SETTINGS = NMSSettings(0.25, 0.45, 10)


def test_objects_and_classes_are_found_best_first() -> None:
    for rows, family in ((V8_ROWS, V8), (V5_ROWS, V5)):
        objects = find_targets(rows, family, SETTINGS, "object")
        assert {target.class_id for target in objects} == {0, 1}
        assert [row_of(rows, family, target) for target in objects] == (
            [0, 2] if family is V8 else [2, 0]
        )
        classes = find_targets(rows, family, SETTINGS, "class")
        assert [target.class_id for target in classes] == [one.class_id for one in objects]
        assert classes[0].box is None


def test_another_models_box_of_the_object_is_found_and_no_other_one() -> None:
    near = Target(0, torch.tensor([17.0, 15.0, 27.0, 25.0]))
    assert row_of(V8_ROWS, V8, near) == 0  # it overlaps less than the second, but is surer
    assert row_of(V8_ROWS, V8, Target(1, torch.tensor([40.0, 40.0, 50.0, 50.0]))) is None


def test_scores_count_the_objectness_where_there_is_one() -> None:
    assert float(score_of(V8_ROWS, V8, Target(0), 0)) == torch.tensor(0.9)
    assert float(score_of(V5_ROWS, V5, Target(0), 0)) == torch.tensor(0.9) * 0.5
    total = score_of(V5_ROWS, V5, Target(1))
    assert torch.allclose(total, torch.tensor(0.1 * 0.5 + 0.2 * 0.5 + 0.7))
