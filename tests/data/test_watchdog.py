"""The watch over worker processes: its limit, and what it says of them."""

import atexit

import pytest

from data.watchdog import WorkerWatch
from utils.errors import UserError


def test_the_image_of_each_worker_is_named(monkeypatch):
    monkeypatch.setattr(atexit, "register", lambda *_: None)  # these are not our processes
    watch = WorkerWatch(3)
    assert watch.describe(str) == "not known"
    watch.rows[:, 0] = 11, 12, 13
    assert watch.describe(str) == "11, 12, 13 do not answer"
    watch.rows[1, 1] = 8
    assert watch.describe(lambda number: f"{number}.jpg\x1b[31m") == r"12 reads 7.jpg\x1b[31m"


@pytest.mark.parametrize(("text", "limit"), [("", 120), ("0", 0), ("7.5", 7.5)])
def test_the_limit_is_set_by_the_environment(monkeypatch, text, limit):
    monkeypatch.setenv("YOLO_WORKER_TIMEOUT", text)
    assert WorkerWatch(1).limit == limit
    assert WorkerWatch(0).limit == 0


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_is_one_clear_line(monkeypatch, text):
    monkeypatch.setenv("YOLO_WORKER_TIMEOUT", text)
    with pytest.raises(UserError, match="give seconds, or 0"):
        WorkerWatch(1)
