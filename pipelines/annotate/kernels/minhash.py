"""MinHash signatures over Arrow buffers: bit for bit those of
`datasketch.MinHash(scheme="affine32")`.

Broder 1997; a signature's element k is the minimum over all shingles s of fmix32(s) * a[k] +
b[k] mod 2**32. A shingle is five consecutive words (see kernels.unicode for what a word is: in
Chinese five characters). Documents of fewer than five words have no signature: for them only
exact duplicates count.
"""

import numpy as np
from numba import uint32, uint64

from pipelines.kernels.arrays import Bytes, Int64s, Integers, UInt32s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.unicode import build_class_table, build_lower_table
from pipelines.kernels.words import allocate_words, measure_longest, mix64, split_into

SHINGLE = 5
EMPTY = np.uint32(0xFFFFFFFF)


@inline_kernel
def _mix32(digest: np.uint32) -> np.uint32:
    """MurmurHash3's 32-bit finalizer, as datasketch applies to every hash before permuting."""
    digest = uint32(digest ^ (digest >> uint32(16)))
    digest = uint32(digest * uint32(0x85EBCA6B))
    digest = uint32(digest ^ (digest >> uint32(13)))
    digest = uint32(digest * uint32(0xC2B2AE35))
    return uint32(digest ^ (digest >> uint32(16)))


@compile_kernel
def hash_shingles(words: UInt64s, count: int, out: UInt32s) -> int:
    """Hash every run of SHINGLE word hashes to 32 bits; returns how many."""
    shingles = max(0, count - SHINGLE + 1)
    for i in range(shingles):
        digest = uint64(0)
        for j in range(SHINGLE):
            digest = digest * uint64(0x9E3779B97F4A7C15) + words[i + j]
        out[i] = uint32(mix64(digest) >> uint64(32))
    return shingles


@compile_kernel
def fill_minima(shingles: UInt32s, count: int, a: UInt32s, b: UInt32s, signature: UInt32s) -> None:
    """Fill `signature`; four permutations a pass keep their minima in registers, so the loop
    vectorizes."""
    for i in range(count):
        shingles[i] = _mix32(shingles[i])
    for k in range(0, a.shape[0], 4):
        a0 = a[k]
        a1 = a[k + 1]
        a2 = a[k + 2]
        a3 = a[k + 3]
        b0 = b[k]
        b1 = b[k + 1]
        b2 = b[k + 2]
        b3 = b[k + 3]
        m0 = EMPTY
        m1 = EMPTY
        m2 = EMPTY
        m3 = EMPTY
        for i in range(count):
            digest = shingles[i]
            m0 = min(m0, uint32(uint32(digest * a0) + b0))
            m1 = min(m1, uint32(uint32(digest * a1) + b1))
            m2 = min(m2, uint32(uint32(digest * a2) + b2))
            m3 = min(m3, uint32(uint32(digest * a3) + b3))
        signature[k] = m0
        signature[k + 1] = m1
        signature[k + 2] = m2
        signature[k + 3] = m3


@compile_kernel
def _compute_signatures(
    data: Bytes,
    offsets: Int64s,
    classes: Bytes,
    lower: UInt32s,
    a: UInt32s,
    b: UInt32s,
    out: UInt32s,
    counts: Int64s,
) -> None:
    """See `compute_signatures`."""
    # A document has no more words than bytes.
    capacity = measure_longest(offsets) + 1
    words = allocate_words(capacity)
    shingles = np.empty(capacity, np.uint32)
    for d in range(offsets.shape[0] - 1):
        count = split_into(data, offsets[d], offsets[d + 1], classes, lower, words)
        counts[d] = hash_shingles(words.hashes, count, shingles)
        fill_minima(shingles, counts[d], a, b, out[d])


def draw_permutations(size: int, *, seed: int = 1) -> tuple[UInt32s, UInt32s]:
    """The (a, b) of datasketch for `size` permutations, uint32 each, a odd. `size` must be a
    multiple of four.

    Drawn as datasketch draws them, from NumPy's frozen RandomState: importing it takes half a
    second and 13 MB.
    """
    if size <= 0 or size % 4:
        raise ValueError(f"the number of permutations must be a positive multiple of 4: {size}")
    draw = np.random.RandomState(seed).randint
    half = draw(0, 1 << 31, size, np.uint32)
    return half * np.uint32(2) + np.uint32(1), draw(0, 1 << 32, size, np.uint32)


def compute_signatures(
    data: Bytes, offsets: Integers, size: int, *, seed: int = 1
) -> tuple[UInt32s, Int64s]:
    """Signatures of documents in UTF-8 `data` (uint8) cut by `offsets` (n + 1).

    Returns uint32 (n, size) and the shingle counts int64 (n,); a row with count 0 has no signature.
    """
    a, b = draw_permutations(size, seed=seed)
    documents = len(offsets) - 1
    out = np.empty((documents, size), np.uint32)
    counts = np.zeros(documents, np.int64)
    _compute_signatures(
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
