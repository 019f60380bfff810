"""Signals become orderly requests."""

from __future__ import annotations

import os
import signal

import pytest

from utils.signals import StopRequested, StopSignal


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_waits_for_check(number: int, status: int) -> None:
    with StopSignal() as stop:
        os.kill(os.getpid(), number)
        assert stop.status == status
        with pytest.raises(StopRequested) as caught:
            stop.check()
    assert caught.value.status == status


def test_anywhere_raises_at_once_and_handlers_are_put_back() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop, pytest.raises(StopRequested), stop.anywhere():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is former


def test_a_second_signal_is_not_waited_out() -> None:
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.status == 130
