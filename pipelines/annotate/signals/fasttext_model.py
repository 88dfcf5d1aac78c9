"""Read a fastText classifier (.ftz or .bin) into arrays that the kernel of pipelines.annotate.kernels.fasttext walks.

The format is that of fastText 0.9 (version 12 of its file), dense or product-quantized (Joulin et al. 2016, arXiv
1612.03651). Every classifier (model `supervised`) is read, whatever its loss; models of word vectors are refused.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gristmill.errors import InputError
from pipelines.annotate.kernels.fasttext import EMPTY_SLOT, hash_token

MAGIC, VERSION = 793712314, 12
HIERARCHICAL, NEGATIVE, SOFTMAX, SEPARATE = 1, 2, 3, 4
"""Losses a model may be trained with; NEGATIVE and SEPARATE (`ova`) give every label a sigmoid of its own."""
SUPERVISED = 3
LABEL = "__label__"


@dataclass(frozen=True, slots=True)
class FastTextModel:
    """A classifier: `vectors` float32 (words + n-grams, dim), `output` float32 (labels, dim), and how to find rows."""

    labels: tuple[str, ...]
    vectors: np.ndarray
    output: np.ndarray
    words: int
    shortest: int
    longest: int
    word_ngrams: int
    """Words in the longest run of words that has a vector."""
    word_slots: np.ndarray
    """uint64 (2 ** k,): hashes of known words by open addressing; `word_rows` holds their rows."""
    word_rows: np.ndarray
    ngram_rows: np.ndarray
    """int32 (buckets,): the row of an n-gram bucket below the words, or -1 where it was pruned."""
    present: np.ndarray
    """uint8, one bit a bucket: whether it has a row. Small enough for a core's own cache, as `ngram_rows` is not."""
    tree: np.ndarray
    """int32 (labels - 1, 2): left and right child of every inner node of hierarchical softmax; else empty."""
    separate: bool
    """Whether every label has a sigmoid of its own: probabilities do not add up to one."""

    @property
    def arrays(self) -> tuple[Any, ...]:
        """What both kernels take after their texts."""
        return (
            self.vectors,
            self.output,
            self.words,
            self.shortest,
            self.longest,
            self.word_ngrams,
            self.word_slots,
            self.word_rows,
            self.ngram_rows,
            self.present,
        )

    def path(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """int32 and bool (depth,): the inner nodes from a label up to the root, and whether it lies to their right."""
        nodes, rights, node = list[int](), list[bool](), label
        while len(self.tree) and node != 2 * len(self.labels) - 2:
            (row,), (side,) = np.nonzero(self.tree == node)
            nodes.append(int(row))
            rights.append(bool(side))
            node = len(self.labels) + int(row)
        return np.array(nodes, np.int32), np.array(rights, np.bool_)


class _Reader:
    """The file's bytes, taken piece by piece: mapped, so that a model of gigabytes is in memory once, as its arrays."""

    def __init__(self, raw: mmap.mmap) -> None:
        self.raw, self.at = raw, 0

    def values(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return found

    def array(self, kind: str, *shape: int) -> np.ndarray:
        if min(shape) < 0:
            raise ValueError("a matrix has a size below 0")
        found = (
            np.frombuffer(self.raw, kind, int(np.prod(shape)), self.at).reshape(shape).copy()
        )  # aligned, for numba
        self.at += found.nbytes
        return found

    def text(self) -> bytes:
        end = self.raw.find(b"\0", self.at)
        if end < 0:
            raise ValueError("a word has no end")
        found = self.raw[self.at : end]
        self.at = end + 1
        return found


def read_model(path: str | Path) -> FastTextModel:
    """Read a model file; raises InputError for one that is cut, of another kind, or no fastText model at all."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            return _read(_Reader(raw))
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        where = {"file": path, "problem": error}
        raise InputError(
            "this is no fastText classifier that can be read", where, "give a .ftz or .bin file"
        ) from None


def _read(reader: _Reader) -> FastTextModel:
    if reader.values("ii") != (MAGIC, VERSION):
        raise ValueError(f"it does not begin like version {VERSION} of the format")
    dim, *_, word_ngrams, loss, kind, buckets, shortest, longest, _, _ = reader.values("12id")
    if kind != SUPERVISED or loss not in (HIERARCHICAL, NEGATIVE, SOFTMAX, SEPARATE):
        raise ValueError("it holds vectors of words, not a classifier")
    size, words, labels, _, pruned = reader.values("3i2q")
    entries = [(reader.text(), reader.values("qb")[0]) for _ in range(size)]
    if size != words + labels or not labels:
        raise ValueError("its dictionary does not add up")
    buckets = buckets if longest or word_ngrams > 1 else 0
    if (longest or word_ngrams > 1) and buckets < 1:
        raise ValueError("it has n-grams but no rows for them")
    ngram_rows = np.arange(buckets, dtype=np.int32)
    if pruned >= 0:
        ngram_rows = np.full(buckets, -1, np.int32)
        pairs = reader.array("<i4", pruned, 2)
        ngram_rows[pairs[:, 0]] = pairs[:, 1]
    vectors = _read_matrix(reader, quantized=reader.values("?")[0])
    output = _read_matrix(reader, quantized=reader.values("?")[0])
    if (
        vectors.shape[1] != dim
        or output.shape != (labels, dim)
        or words + ngram_rows.max(initial=-1) >= len(vectors)
    ):
        raise ValueError("its matrices do not fit its dictionary")
    counts = [count for _, count in entries[words:]]
    names = tuple(name.decode().removeprefix(LABEL) for name, _ in entries[words:])
    tree = build_huffman_tree(counts) if loss == HIERARCHICAL else np.zeros((0, 2), np.int32)
    slots, rows = _build_word_table([name for name, _ in entries[:words]])
    separate = loss in (NEGATIVE, SEPARATE)
    present = np.packbits(ngram_rows >= 0, bitorder="little")
    return FastTextModel(
        names,
        vectors,
        output,
        words,
        shortest,
        longest,
        word_ngrams,
        slots,
        rows,
        ngram_rows,
        present,
        tree,
        separate,
    )


def _read_matrix(reader: _Reader, *, quantized: bool) -> np.ndarray:
    """float32 (rows, columns): a dense matrix, or a product-quantized one unpacked."""
    if not quantized:
        return reader.array("<f4", *reader.values("qq"))
    normed, rows, columns, size = reader.values("?qqi")
    codes = reader.array("u1", rows, size // max(1, rows))
    centroids = _read_centroids(reader)
    found = centroids[np.arange(codes.shape[1]), codes].reshape(rows, -1)[:, :columns]
    if normed:
        norm_codes = reader.array("u1", rows)
        found = found * _read_centroids(reader)[0, norm_codes]
    return np.ascontiguousarray(found, np.float32)


def _read_centroids(reader: _Reader) -> np.ndarray:
    """float32 (parts, 256, width) of a product quantizer whose parts are all equally wide."""
    dim, parts, width, last = reader.values("4i")
    if width != last or parts * width != dim:
        raise ValueError("its quantizer has parts of unequal width")
    return reader.array("<f4", parts, 256, width)


def _build_word_table(words: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    room = 1 << (2 * max(1, len(words))).bit_length()
    slots, rows = np.full(room, EMPTY_SLOT, np.uint64), np.zeros(room, np.int32)
    for row, word in enumerate(words):
        key = hash_token(np.frombuffer(word, np.uint8))
        at = int(key) & (room - 1)
        while slots[at] != EMPTY_SLOT:
            at = (at + 1) & (room - 1)
        slots[at], rows[at] = key, row
    return slots, rows


def build_huffman_tree(counts: list[int]) -> np.ndarray:
    """int32 (labels - 1, 2): the children of every inner node, the last the root; nodes below `labels` are leaves.

    As fastText builds it: labels come sorted by falling count, and of equal counts the inner node is taken first.
    """
    labels = len(counts)
    weights = [*counts, *[10**15] * (labels - 1)]
    leaf, inner = labels - 1, labels
    children = np.zeros((labels - 1, 2), np.int32)
    for node in range(labels, 2 * labels - 1):
        total = 0
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[inner]:
                child, leaf = leaf, leaf - 1
            else:
                child, inner = inner, inner + 1
            children[node - labels, side], total = child, total + weights[child]
        weights[node] = total
    return children
