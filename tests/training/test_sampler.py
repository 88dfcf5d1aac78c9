"""The shuffle is a bijection, the same everywhere, and known at any step without replay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.sampler import Sampler, shuffled


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_the_shuffle_is_a_bijection(size, seed, epoch):
    order = shuffled(np.arange(size), size, (seed, epoch))
    assert np.array_equal(np.sort(order), np.arange(size))


@given(size=st.integers(2, 2**40), position=st.integers(0, 2**40), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_one_position_is_shuffled_as_it_is_among_others(size, position, seed):
    position %= size
    alone = shuffled(np.array([position]), size, (seed, 0))
    among = shuffled(np.array([0, position, size - 1]), size, (seed, 0))
    assert alone[0] == among[1]
    assert 0 <= alone[0] < size


def test_the_shuffle_of_a_known_key_never_changes():
    assert shuffled(np.arange(10), 10, (7, 0)).tolist() == [2, 0, 1, 9, 7, 6, 4, 8, 3, 5]


def test_neighbours_do_not_stay_neighbours():
    order = shuffled(np.arange(20_000), 20_000, (3, 1)).astype(float)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.03


def test_nothing_cannot_be_shuffled():
    with pytest.raises(ValueError, match="cannot shuffle 0 items"):
        shuffled(np.arange(0), 0, (1, 1))


@given(size=st.integers(1, 200), batch=st.integers(1, 64), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_epoch_sees_every_sample_once(size, batch, seed):
    sampler = Sampler(size, batch, seed)
    draws = [sampler.draw(step) for step in range(-(-2 * size // batch))]
    samples = np.concatenate([draw.samples for draw in draws])
    epochs = np.concatenate([draw.epochs for draw in draws])
    for epoch in (0, 1):
        assert np.array_equal(np.sort(samples[epochs == epoch]), np.arange(size))


def test_epochs_have_different_orders():
    sampler = Sampler(100, 100, 5)
    assert sampler.draw(0).samples.tolist() != sampler.draw(1).samples.tolist()


@given(step=st.integers(0, 10_000), world=st.sampled_from([1, 2, 3, 4, 6, 12]))
@settings(max_examples=40, deadline=None)
def test_the_shares_of_all_ranks_are_the_batch_for_any_world_size(step, world):
    sampler = Sampler(1003, 12, 7)
    shares = [sampler.draw(step, rank=rank, world=world) for rank in range(world)]
    assert np.array_equal(
        np.concatenate([share.samples for share in shares]), sampler.draw(step).samples
    )
    assert np.array_equal(
        np.concatenate([share.epochs for share in shares]), sampler.draw(step).epochs
    )


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="a batch of 8 cannot be shared by 3 ranks"):
        Sampler(100, 8, 1).draw(0, rank=0, world=3)
