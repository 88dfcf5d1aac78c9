"""Which samples a step sees: a shuffle that is computed, not stored, so any step of any epoch is known at once.

A keyed Feistel network is a bijection of 0..2^k-1; walking along its cycles until the value is below n makes it a
bijection of 0..n-1. Resume is an integer, no index file exists, and every rank of any world size agrees.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 6
Indices = NDArray[np.int64]


def shuffled(positions: Indices, size: int, key: tuple[int, int]) -> Indices:
    """Where each of `positions` (0..size-1) goes in the shuffle of `size` items named by `key`."""
    if size < 1:
        raise ValueError(f"cannot shuffle {size} items")
    bits = max(2, (size - 1).bit_length())
    half = np.uint64((bits + 1) // 2)
    keys = np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64).astype(np.uint64)
    values = positions.astype(np.uint64)
    outside = np.ones(values.shape, dtype=bool)
    while outside.any():
        values[outside] = _feistel(values[outside], half, keys)
        outside = values >= np.uint64(size)
    return values.astype(np.int64)


def _feistel(
    values: NDArray[np.uint64], half: np.uint64, keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << half) | right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Two rounds of multiply and shift (splitmix64's constants); overflow wraps on purpose."""
    mixed = values * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(32))


@dataclass(frozen=True, slots=True)
class Draw:
    """One batch: sample numbers, and the epoch each is drawn in (masks differ from epoch to epoch)."""

    samples: Indices
    epochs: Indices


@dataclass(frozen=True, slots=True)
class Sampler:
    """Batches of `batch` samples out of `size`, each epoch in another order; a pure function of the step."""

    size: int
    batch: int
    seed: int

    def draw(self, step: int, *, rank: int = 0, world: int = 1) -> Draw:
        """The share of `rank` in the batch of `step` (from 0); the shares of all ranks in order are the batch."""
        if self.batch % world:
            raise ValueError(f"a batch of {self.batch} cannot be shared by {world} ranks")
        share = self.batch // world
        first = step * self.batch + rank * share
        positions = np.arange(first, first + share, dtype=np.int64)
        epochs, places = positions // self.size, positions % self.size
        samples = np.empty_like(places)
        for epoch in np.unique(epochs):
            inside = epochs == epoch
            samples[inside] = shuffled(places[inside], self.size, (self.seed, int(epoch)))
        return Draw(samples, epochs)
