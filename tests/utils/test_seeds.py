"""Keyed streams: equal keys draw alike, other keys do not, and torch's own generator is left as it
was.
"""

from __future__ import annotations

import itertools
import sys
import threading
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from utils.seeds import caught_warnings, key_bytes, stream, torch_stream


def test_equal_keys_draw_alike_whatever_was_drawn_before():
    expected = stream(0, 3, 17).random(5)
    np.random.seed(5)
    stream(0, 3, 18).random(100)
    np.testing.assert_array_equal(stream(0, 3, 17).random(5), expected)


def test_draws_are_the_same_in_every_release():
    assert key_bytes(0, 1, "mosaic").hex() == "d52e8481291573f68ddc8446d6a8bb26"
    assert stream(0, 1, "mosaic").integers(0, 2**32, 3).tolist() == [
        3407827186,
        1717141909,
        3494737810,
    ]


@pytest.mark.parametrize(
    ("one", "other"), [((1,), ("1",)), ((1, 23), (12, 3)), ((1, 2), (2, 1)), ((0,), (0, 0))]
)
def test_like_spellings_are_different_keys(one, other):
    assert key_bytes(*one) != key_bytes(*other)
    assert stream(*one).random() != stream(*other).random()


def test_neighbouring_keys_are_unrelated():
    first = np.array(
        [
            stream(0, epoch, image).random()
            for epoch, image in itertools.product(range(40), range(40))
        ]
    )
    assert len(np.unique(first)) == 1600
    assert abs(first.mean() - 0.5) < 0.03
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.1


def test_torch_stream_is_keyed_and_leaves_no_trace():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with torch_stream(0, "model.0"):
        first = torch.rand(4)
    assert torch.equal(torch.rand(3), expected)
    with torch_stream(0, "model.0"):
        assert torch.equal(torch.rand(4), first)
    with torch_stream(1, "model.0"):
        assert not torch.equal(torch.rand(4), first)


def test_torch_stream_restores_after_an_error():
    before = torch.random.get_rng_state()
    with pytest.raises(ZeroDivisionError), torch_stream(3):
        torch.rand(2)
        raise ZeroDivisionError
    assert torch.equal(torch.random.get_rng_state(), before)


def test_threads_that_seed_torch_take_turns():
    """Torch has one generator for all threads, from which each would draw the others' numbers."""
    drawn: list[torch.Tensor] = []

    def draw() -> None:
        for _ in range(20):
            with torch_stream("a"):
                drawn.append(torch.cat([torch.rand(1) for _ in range(1000)]))

    in_threads(draw)
    assert len(drawn) == 80
    with torch_stream("a"):
        alone = torch.cat([torch.rand(1) for _ in range(1000)])
    assert all(torch.equal(one, alone) for one in drawn)


def test_threads_that_catch_warnings_leave_the_filters_as_they_were():
    before, show, counts = list(warnings.filters), warnings.showwarning, []

    def catch() -> None:
        for _ in range(100):
            with caught_warnings() as caught:
                warnings.warn("one", stacklevel=1)
            counts.append(len(caught))

    in_threads(catch)
    assert counts == [1] * 400
    assert (warnings.filters, warnings.showwarning) == (before, show)


def test_a_warning_of_another_thread_is_not_taken_for_an_own_one():
    def catch_while_another_thread_warns() -> list[warnings.WarningMessage]:
        with caught_warnings() as caught:
            other = threading.Thread(target=warnings.warn, args=("other",))
            other.start()
            other.join()
        return caught

    with pytest.warns(UserWarning, match="other"):
        assert catch_while_another_thread_warns() == []


def in_threads(work: Callable[[], None]) -> None:
    """Run work in four threads that are switched as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
