"""A wait ends only if nothing at all has gone on, and then it names the file."""

import pytest

from data.scanning.patience import Patience
from utils.errors import UserError


def test_progress_begins_the_wait_anew(monkeypatch):
    monkeypatch.setenv("YOLO_WORKER_TIMEOUT", "12")  # three looks of 5 seconds
    patience = Patience()
    assert patience.poll == 5
    for state in ([1], [1], [1], [2], [2], [2]):
        patience.look(state, "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg: was waited for 12 seconds; check the disk"):
        patience.look([2], "a.jpg")


def test_no_limit_waits_for_ever(monkeypatch):
    monkeypatch.setenv("YOLO_WORKER_TIMEOUT", "0")
    patience = Patience()
    for _ in range(1000):
        patience.look(0, "a.jpg")
