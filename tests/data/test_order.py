"""The order of an epoch: complete, repeatable, and the same global batches for any number of
processes.
"""

from itertools import chain

import numpy as np
import pytest

from data.order import Order, Share, batch_count, count_repeats


def numbers_of(batches):
    return [[key.number for key in batch] for batch in batches]


def test_an_epoch_is_a_permutation():
    first, second = (numbers_of(Order(0, epoch, True).batches(23, Share(4))) for epoch in (0, 1))
    assert sorted(chain(*first)) == list(range(23))
    assert [len(batch) for batch in first] == [4, 4, 4, 4, 4, 3]
    assert first != second
    assert first == numbers_of(Order(0, 0, True).batches(23, Share(4)))
    assert first != numbers_of(Order(1, 0, True).batches(23, Share(4)))
    assert list(chain(*numbers_of(Order(0, 0, False).batches(23, Share(4))))) == list(range(23))


@pytest.mark.parametrize("count", [24, 23, 5, 1])
@pytest.mark.parametrize("world", [2, 3, 8])
def test_processes_share_global_batches(count, world):
    shares = [
        numbers_of(Order(0, 7, True).batches(count, Share(2, rank, world))) for rank in range(world)
    ]
    sizes = [[len(batch) for batch in share] for share in shares]
    assert all(size == sizes[0] for size in sizes)
    assert len(shares[0]) == batch_count(count, Share(2, 0, world), rect=False)
    alone = numbers_of(Order(0, 7, True).batches(count, Share(2 * world)))
    for k, batch in enumerate(alone):
        together = sorted(chain(*(share[k] for share in shares)))
        assert set(batch) <= set(together)
        if len(batch) == 2 * world:
            assert sorted(batch) == together


@pytest.mark.parametrize("world", [1, 2, 3])
def test_rect_batches_stay_together(world):
    order = np.random.default_rng(0).permutation(11)
    groups = [order[start : start + 2].tolist() for start in range(0, 11, 2)]
    shares = [
        numbers_of(Order(0, 1, True).rect_batches(order, Share(2, rank, world)))
        for rank in range(world)
    ]
    assert {len(share) for share in shares} == {batch_count(11, Share(2, 0, world), rect=True)}
    found = [batch for share in shares for batch in share]
    assert all(batch in groups for batch in found)
    assert {tuple(batch) for batch in found} == {tuple(batch) for batch in groups}
    assert numbers_of(Order(0, 1, False).rect_batches(order, Share(2))) == groups


def test_weights_draw_with_replacement():
    weights = np.array([0.0, 1.0, 3.0, 0.0, 4.0])
    drawn = np.concatenate([Order(0, epoch, True, weights).numbers(5) for epoch in range(400)])
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    np.testing.assert_allclose(shares, weights / 8, atol=0.03)
    keys = list(chain(*Order(0, 0, True, weights).batches(5, Share(2))))
    assert all(set(key.pool) <= {1, 2, 4} and key.pool for key in keys)
    assert len({(key.number, key.repeat) for key in keys}) == 5
    assert next(Order(0, 0, True).batches(5, Share(2)))[0].pool == ()


def test_repeats():
    assert count_repeats(np.array([3, 1, 3, 3, 0, 1])).tolist() == [0, 0, 1, 2, 0, 1]
    assert count_repeats(np.zeros(0, dtype=int)).tolist() == []


@pytest.mark.parametrize("weights", [None, np.ones(23)])
def test_mosaics_within_a_batch(weights):
    order = Order(0, 3, True, weights, within_batch=True)
    batches = list(order.batches(23, Share(4)))
    for batch in batches:
        assert {key.pool for key in batch} == {tuple(key.number for key in batch)}
    without = Order(0, 3, True, weights).batches(23, Share(4))
    assert numbers_of(batches) == numbers_of(without)
