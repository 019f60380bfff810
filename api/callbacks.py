"""Functions of the user that are called while a model is trained, evaluated or used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from api.keywords import KeywordError
from engine.training.moments import MOMENTS as TRAINING_MOMENTS
from models.own.guard import Attempt, in_words
from utils.errors import UserError
from utils.text import shown

Callback = Callable[[Any], object]  # gets a Trainer, Validator or Predictor of api/trainer.py
PREDICTION_MOMENTS = (
    "on_predict_start",
    "on_predict_batch_end",  # with the Results of an image or frame, which may be replaced
    "on_predict_end",
)
MOMENTS = (*TRAINING_MOMENTS, *PREDICTION_MOMENTS)


class Callbacks:
    """The functions of each moment, in the order in which they were added."""

    def __init__(self, functions: Mapping[str, Iterable[Callback]] | None = None) -> None:
        given = functions or {}
        self.functions = {moment: list(given.get(moment, ())) for moment in MOMENTS}

    def add(self, moment: str, function: Callback) -> None:
        """Add a function. Raises KeywordError if there is no such moment, or it is no function."""
        if moment not in self.functions:
            raise KeywordError(
                f"callbacks: {shown(moment)}: no such moment; there are {', '.join(MOMENTS)}"
            )
        if not callable(function):
            raise KeywordError(f"callbacks: {moment}={shown(function)}: must be a function")
        self.functions[moment].append(function)

    def clear(self, moment: str) -> None:
        """Remove all functions of a moment."""
        self.functions[moment].clear()

    def with_more(self, functions: object) -> Callbacks:
        """These and further functions.

        Args:
            functions: a list of functions, whose names are those of their moments, such as
                `def on_fit_epoch_end(trainer)`; or a dict {moment: function or list of such}.

        Raises:
            KeywordError: a name is that of no moment.
        """
        more = Callbacks(self.functions)
        if isinstance(functions, Mapping):
            for moment, value in functions.items():
                for function in value if isinstance(value, (list, tuple)) else (value,):
                    more.add(moment, function)
        elif isinstance(functions, (list, tuple)):
            for function in functions:
                more.add(getattr(function, "__name__", str(function)), function)
        else:
            raise KeywordError(
                f"callbacks={shown(functions)}: must be a list of functions with the names of"
                " moments, or {moment: function}"
            )
        return more

    def call(self, moment: str, subject: object) -> None:
        """Call the functions of a moment. Raises UserError, in one line, if one raises."""
        for function in self.functions[moment]:
            attempt = Attempt()
            with attempt:
                function(subject)
            if attempt.error is not None:
                where = _file_of(function)
                raise UserError(
                    f"callback {_name_of(function)} at {moment}:"
                    f" {in_words(attempt.error, where)}; repair it in {where}"
                ) from attempt.error


def _name_of(function: Callback) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _file_of(function: Callback) -> Path:
    """The file that a function was written in, or a name that no file has."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Path(code.co_filename if code else "the program")
