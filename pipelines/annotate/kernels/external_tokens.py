"""Tokens that a library split: how they are handed to a kernel that would else split the text
itself.

In: starts and ends of the tokens of each document. Out: one array of each, and where the
documents lie in them.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pipelines.kernels.arrays import Int32s, Int64s
from pipelines.kernels.compile import compile_kernel


class ExternalTokens(NamedTuple):
    """Document i has the tokens cuts[i] to cuts[i + 1]: `starts` and `ends` count its own code
    points."""

    starts: Int32s
    ends: Int32s
    cuts: Int64s


def join_external_tokens(documents: Iterable[tuple[Int32s, Int32s]]) -> ExternalTokens:
    """Join the starts and ends of every document, in order."""
    starts: list[Int32s] = [np.zeros(0, np.int32)]
    ends: list[Int32s] = [np.zeros(0, np.int32)]
    counts = [0]
    for document_starts, document_ends in documents:
        starts.append(document_starts)
        ends.append(document_ends)
        counts.append(len(document_starts))
    return ExternalTokens(
        np.concatenate(starts).astype(np.int32),
        np.concatenate(ends).astype(np.int32),
        np.cumsum(counts, dtype=np.int64),
    )


def make_empty_tokens(documents: int) -> ExternalTokens:
    """No tokens for any of so many documents."""
    empty = np.zeros(0, np.int32)
    return ExternalTokens(empty, empty, np.zeros(documents + 1, np.int64))


@compile_kernel
def copy_external_tokens(
    source_starts: Int32s, source_ends: Int32s, first: int, last: int, starts: Int32s, ends: Int32s
) -> int:
    """Copy the tokens `first` to `last` into `starts` and `ends`; returns how many."""
    for i in range(first, last):
        starts[i - first] = source_starts[i]
        ends[i - first] = source_ends[i]
    return last - first
