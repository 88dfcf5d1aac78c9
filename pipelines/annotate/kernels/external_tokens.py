"""Tokens that a library found: how they are handed to a kernel, in place of a cut by one of ours."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True, slots=True)
class ExternalTokens:
    """Document i has the tokens cuts[i] to cuts[i + 1]: int32 `starts` and `ends` among its own code points."""

    starts: np.ndarray
    ends: np.ndarray
    cuts: np.ndarray


def join_external_tokens(documents: Iterable[tuple[np.ndarray, np.ndarray]]) -> ExternalTokens:
    """The starts and ends of every document, one after the other."""
    found = list(documents)
    none = np.zeros(0, np.int32)
    starts, ends = (
        np.concatenate([none, *(pair[side] for pair in found)]).astype(np.int32) for side in (0, 1)
    )
    return ExternalTokens(
        starts, ends, np.cumsum([0, *(len(pair[0]) for pair in found)], dtype=np.int64)
    )


def make_empty_tokens(documents: int) -> ExternalTokens:
    """No tokens for any of so many documents."""
    none = np.zeros(0, np.int32)
    return ExternalTokens(none, none, np.zeros(documents + 1, np.int64))


@njit(nogil=True, cache=True)
def copy_external_tokens(given_starts, given_ends, first, last, starts, ends):  # type: ignore[no-untyped-def]
    """Copy the tokens `first` to `last` into `starts` and `ends`; returns how many."""
    for i in range(first, last):
        starts[i - first], ends[i - first] = given_starts[i], given_ends[i]
    return last - first
