"""MinHash signatures over Arrow buffers: bit for bit those of `datasketch.MinHash(scheme="affine32")`.

Broder 1997; a signature's element k is the minimum over all shingles s of fmix32(s) * a[k] + b[k] mod 2**32. A shingle
is five consecutive words (see kernels.unicode for what a word is: in Chinese five characters). Documents of fewer than
five words have no signature: for them only exact duplicates count.
"""

import numpy as np
from numba import njit, uint32, uint64

from pipelines.kernels.unicode import build_class_table, build_lower_table
from pipelines.kernels.words import mix64, split_words

SHINGLE = 5
EMPTY = np.uint32(0xFFFFFFFF)


@njit(nogil=True, cache=True, inline="always")
def _fmix32(h):  # type: ignore[no-untyped-def]
    """MurmurHash3's 32-bit finalizer, as datasketch applies to every hash before permuting."""
    h = uint32(h ^ (h >> uint32(16)))
    h = uint32(h * uint32(0x85EBCA6B))
    h = uint32(h ^ (h >> uint32(13)))
    h = uint32(h * uint32(0xC2B2AE35))
    return uint32(h ^ (h >> uint32(16)))


@njit(nogil=True, cache=True)
def hash_shingles(words, count, out):  # type: ignore[no-untyped-def]
    """Hash every run of SHINGLE word hashes to 32 bits; returns how many."""
    shingles = max(0, count - SHINGLE + 1)
    for i in range(shingles):
        h = uint64(0)
        for j in range(SHINGLE):
            h = h * uint64(0x9E3779B97F4A7C15) + words[i + j]
        out[i] = uint32(mix64(h) >> uint64(32))
    return shingles


@njit(nogil=True, cache=True)
def minima(shingles, count, a, b, signature):  # type: ignore[no-untyped-def]
    """Fill `signature`; four permutations a pass keep their minima in registers, so the loop vectorizes."""
    for i in range(count):
        shingles[i] = _fmix32(shingles[i])
    for k in range(0, a.shape[0], 4):
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        m0 = EMPTY
        m1 = EMPTY
        m2 = EMPTY
        m3 = EMPTY
        for i in range(count):
            h = shingles[i]
            m0 = min(m0, uint32(uint32(h * a0) + b0))
            m1 = min(m1, uint32(uint32(h * a1) + b1))
            m2 = min(m2, uint32(uint32(h * a2) + b2))
            m3 = min(m3, uint32(uint32(h * a3) + b3))
        signature[k], signature[k + 1], signature[k + 2], signature[k + 3] = m0, m1, m2, m3


@njit(nogil=True, cache=True)
def _signatures(data, offsets, classes, lower, a, b, out, counts):  # type: ignore[no-untyped-def]
    longest = 0
    for d in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    starts = np.empty(longest + 1, np.int64)
    ends = np.empty(longest + 1, np.int64)
    lengths = np.empty(longest + 1, np.int32)
    hashes = np.empty(longest + 1, np.uint64)
    letters = np.empty(longest + 1, np.bool_)
    shingles = np.empty(longest + 1, np.uint32)
    for d in range(offsets.shape[0] - 1):
        words, _ = split_words(
            data, offsets[d], offsets[d + 1], classes, lower, starts, ends, lengths, hashes, letters
        )
        counts[d] = hash_shingles(hashes, words, shingles)
        minima(shingles, counts[d], a, b, out[d])


def draw_permutations(size: int, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The (a, b) of datasketch for `size` permutations, uint32 each, a odd. `size` must be a multiple of four.

    Drawn as datasketch draws them, from NumPy's frozen RandomState: importing it takes half a second and 13 MB.
    """
    if size <= 0 or size % 4:
        raise ValueError(f"the number of permutations must be a positive multiple of 4: {size}")
    draw = np.random.RandomState(seed).randint
    half = draw(0, 1 << 31, size, np.uint32)
    return half * np.uint32(2) + np.uint32(1), draw(0, 1 << 32, size, np.uint32)


def compute_signatures(
    data: np.ndarray, offsets: np.ndarray, size: int, *, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Signatures of documents in UTF-8 `data` (uint8) cut by `offsets` (n + 1).

    Returns uint32 (n, size) and the shingle counts int64 (n,); a row with count 0 has no signature.
    """
    a, b = draw_permutations(size, seed=seed)
    documents = len(offsets) - 1
    out, counts = np.empty((documents, size), np.uint32), np.zeros(documents, np.int64)
    _signatures(
        data,
        np.asarray(offsets, np.int64),
        build_class_table(),
        build_lower_table(),
        a,
        b,
        out,
        counts,
    )
    return out, counts
