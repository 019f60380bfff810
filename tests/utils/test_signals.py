"""Signals become orderly requests."""

from __future__ import annotations

import os
import signal

import pytest

from utils import signals
from utils.signals import StopRequested, StopSignal, signal_name


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


def test_a_second_signal_is_waited_out_only_if_it_comes_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two quick Ctrl-C are one request; a third after a while does not wait for a batch."""
    clock = [0.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: clock[0])
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        clock[0] = 0.002
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.status == 130
        clock[0] = 1.5
        with stop.saving():
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.status == 130


def test_a_second_signal_does_not_interrupt_what_the_first_one_started() -> None:
    with StopSignal() as stop, pytest.raises(StopRequested), stop.anywhere():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_closed_terminal_and_a_broken_pipe_are_requests_too() -> None:
    with StopSignal(pipes=True) as stop, stop.anywhere():
        os.kill(os.getpid(), signal.SIGPIPE)  # says nothing about the moment, so it waits
        assert stop.status == 141
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.status == 129


def test_nohup_keeps_its_meaning() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.status == 0
    finally:
        signal.signal(signal.SIGHUP, former)


def test_signals_without_a_name_have_their_number() -> None:
    assert signal_name(9) == "SIGKILL"
    assert signal_name(40) == "signal 40"
