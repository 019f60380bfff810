"""A training tells its caller how far it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from engine.training.moments import Moments


def run_of(is_main: bool, epoch: int = 2) -> Any:
    notes: list[str] = []
    progress = SimpleNamespace(epoch=epoch, notes=notes, add_note=notes.append)
    setup = SimpleNamespace(
        world=SimpleNamespace(is_main=is_main), config=SimpleNamespace(epochs=9)
    )
    return SimpleNamespace(setup=setup, state=SimpleNamespace(progress=progress))


def test_a_wish_to_stop_is_kept() -> None:
    run, told = run_of(True), []

    def tell(moment: str, run: object, metrics: object) -> str:
        told.append(moment)
        return "it is late" if moment == "on_train_epoch_end" else ""

    moments = Moments(run, tell)
    moments("on_train_start")
    moments.note_stop()
    assert (moments.stop, run.state.progress.notes) == ("", [])
    moments("on_train_epoch_end")
    moments("on_fit_epoch_end")
    assert moments.stop
    assert told == ["on_train_start", "on_train_epoch_end", "on_fit_epoch_end"]
    moments.note_stop()
    assert run.state.progress.notes == ["stopped after epoch 1 of 8, since it is late"]


def test_only_the_main_process_is_told() -> None:
    def tell(moment: str, run: object, metrics: object) -> str:
        raise AssertionError

    Moments(run_of(False), tell)("on_train_start")
    assert not Moments(run_of(True, 9)).stop
