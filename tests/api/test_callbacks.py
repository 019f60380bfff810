"""Functions of the user at the moments of a training and a validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from api.callbacks import PREDICTION_MOMENTS, Callbacks
from api.keywords import KeywordError
from api.trainer import Predictor
from api.yolo import YOLO
from utils.errors import UserError


def on_val_end(validator: list[str]) -> None:
    validator.append("by name")


def test_functions_are_called_in_their_order() -> None:
    seen: list[str] = []
    functions = Callbacks()
    functions.add("on_val_end", lambda subject: subject.append("first"))
    more = functions.with_more([on_val_end])
    more = more.with_more({"on_val_end": [lambda subject: subject.append("last")]})
    more.call("on_val_end", seen)
    assert seen == ["first", "by name", "last"]
    functions.call("on_val_end", seen)  # what one call of train() adds is not kept
    assert seen[3:] == ["first"]
    functions.clear("on_val_end")
    functions.call("on_val_end", seen)
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([print], "'print': no such moment; there are on_train_start, on_train_epoch_start"),
        ({"on_val_end": "print"}, "on_val_end='print': must be a function"),
        ("on_val_end", "callbacks='on_val_end': must be a list of functions"),
    ],
)
def test_mistakes_are_said(given: object, words: str) -> None:
    with pytest.raises(KeywordError) as caught:
        Callbacks().with_more(given)
    assert words in str(caught.value)


def test_a_function_that_fails_is_named_with_its_line() -> None:
    def broken(subject: object) -> None:
        raise ValueError("no such\nscore")

    functions = Callbacks().with_more({"on_val_end": broken})
    with pytest.raises(UserError) as caught:
        functions.call("on_val_end", None)
    line = str(caught.value)
    assert "broken at on_val_end: ValueError: no such score (line " in line
    assert Path(__file__).name in line
    assert "\n" not in line
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("graph", ["anchors"], indirect=True)
def test_the_moments_of_a_prediction(weights: Path) -> None:
    model, order = YOLO(weights), []
    for moment in PREDICTION_MOMENTS:
        model.add_callback(moment, lambda subject, moment=moment: order.append(moment))

    def on_predict_batch_end(predictor: Predictor) -> None:
        assert predictor.args.conf_thres == 0.1
        predictor.results = [one[:1] for one in predictor.results]

    model.add_callback("on_predict_batch_end", on_predict_batch_end)
    images = [
        np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8) for seed in (0, 1)
    ]
    found = model.predict(images, conf=0.1, device="cpu", verbose=False)
    start, batch, end = PREDICTION_MOMENTS
    assert order == [start, batch, batch, end]
    assert [len(one) for one in found] == [1, 1]
