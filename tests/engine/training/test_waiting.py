"""The line about waiting comes if there is something to gain, and names what is left to try."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data.dataset import DatasetSettings
from data.index import DatasetIndex
from data.loader import Loader, build_loader
from engine.training.logbook import StepTiming
from engine.training.waiting import print_waiting, waiting_line
from utils.hyperparameters import Hyperparameters

EMPTY = DatasetIndex.pack([], {0: "a"})
SETTINGS = DatasetSettings(64, augment=True, batch_size=4)


@pytest.fixture(autouse=True)
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.workers.usable_cores", lambda: 3)


def timed(*waits: float) -> StepTiming:
    """Waits for batches, each of which is then trained for a second."""
    timing = StepTiming()
    for wait in waits:
        timing.seconds["loader"] += wait
        timing._first_wait = timing._first_wait or wait
        timing.seconds["forward"] += 1.0
    return timing


def loader(**changes: object) -> Loader:
    return build_loader(EMPTY, replace(SETTINGS, **changes))


def test_no_line_if_the_first_batch_alone_took_long() -> None:
    assert timed(60.0, 0.0, 0.0).waited_share() == 0
    assert waiting_line(timed(60.0, 0.1, 0.1), loader(), "cuda") == ""


def test_the_line_names_what_is_left_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    slow = timed(9.0, 1.0, 1.0)  # two seconds of five
    start = "Training waited 40% of the first epoch for images"
    assert waiting_line(slow, loader(), "cuda") == (
        f"{start}; faster: --workers 3, --cache ram, --cache disk, --mosaic-pool batch"
    )
    assert waiting_line(slow, loader(cache="ram"), "cuda") == f"{start}; faster: --workers 3"
    plain = loader(hyp=Hyperparameters(mosaic=0), mosaic_pool="batch")
    assert waiting_line(slow, plain, "cuda").endswith(
        "faster: --workers 3, --cache ram, --cache disk"
    )
    print_waiting(slow, loader(), "cuda")
    print_waiting(timed(1.0, 0.0), loader(), "cuda")
    assert capsys.readouterr().out.count(start) == 1


def test_the_first_wait_is_kept() -> None:
    timing = StepTiming()
    timing.add("loader", -1e9)
    whole = timing.seconds["loader"]
    timing.add("loader", -1e9)
    assert timing._first_wait == whole
    assert timing.waited_share() == pytest.approx(1.0)
