"""Which samples a step sees: a shuffle that is computed, not stored, so any step of any epoch is
known at once.

A keyed Feistel network is a bijection of 0..2^k-1; walking along its cycles until the value is
below n makes it a bijection of 0..n-1. Resume is an integer, no index file exists, and every rank
of any world size agrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ROUNDS = 6
"""Feistel rounds; four are enough for a pseudorandom permutation (Luby and Rackoff 1988)."""

Indices = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

# splitmix64's constants (Steele, Lea and Flood 2014).
FIRST_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
SECOND_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)


def shuffled(positions: Indices, size: int, key: tuple[int, int]) -> Indices:
    """Where each of `positions` (0..size-1) goes in the shuffle of `size` items named by `key`."""
    if size < 1:
        raise ValueError(f"cannot shuffle {size} items")
    bits = max(2, (size - 1).bit_length())
    half = np.uint64((bits + 1) // 2)
    keys = np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64).astype(np.uint64)
    values = positions.astype(np.uint64)
    outside = np.ones(values.shape, dtype=bool)
    # Cycle walking: the network permutes 2^k values; those beyond `size` are sent on until inside.
    while outside.any():
        values[outside] = _permute(values[outside], half, keys)
        outside = values >= np.uint64(size)
    return values.astype(np.int64)


def _permute(values: Words, half: np.uint64, keys: Words) -> Words:
    """One pass of the network over values of 2 * half bits."""
    mask = (np.uint64(1) << half) - np.uint64(1)
    high = values >> half
    low = values & mask
    for key in keys:
        mixed = high ^ (_mix(low ^ key) & mask)
        high = low
        low = mixed
    return (high << half) | low


def _mix(values: Words) -> Words:
    """Two rounds of multiply and shift; overflow wraps on purpose."""
    mixed = values * FIRST_MULTIPLIER
    mixed ^= mixed >> np.uint64(29)
    mixed *= SECOND_MULTIPLIER
    return mixed ^ (mixed >> np.uint64(32))


@dataclass(frozen=True, slots=True)
class Draw:
    """One batch: sample numbers, and the epoch each is drawn in (masks differ from
    epoch to epoch).
    """

    samples: Indices
    epochs: Indices


@dataclass(frozen=True, slots=True)
class Sampler:
    """Batches of `batch` samples out of `size`, each epoch in another order; a pure function of the
    step.
    """

    size: int
    batch: int
    seed: int

    def draw(self, step: int, *, rank: int = 0, world: int = 1) -> Draw:
        """The share of `rank` in the batch of `step` (from 0); the shares of all ranks in order are
        the batch.
        """
        if self.batch % world:
            raise ValueError(f"a batch of {self.batch} cannot be shared by {world} ranks")
        share = self.batch // world
        first = step * self.batch + rank * share
        positions = np.arange(first, first + share, dtype=np.int64)
        epochs = positions // self.size
        offsets = positions % self.size
        samples = np.empty_like(offsets)
        # A batch may reach over the end of an epoch; each epoch has its own shuffle.
        for epoch in np.unique(epochs):
            in_epoch = epochs == epoch
            samples[in_epoch] = shuffled(offsets[in_epoch], self.size, (self.seed, int(epoch)))
        return Draw(samples, epochs)
