"""Read a fastText classifier (.ftz or .bin) into arrays that the kernel of pipelines.kernels.fasttext walks.

The format is that of fastText 0.9 (version 12 of its file), dense or product-quantized (Joulin et al. 2016, arXiv
1612.03651). Only classifiers with softmax or hierarchical softmax over single words are read: others are refused.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gristmill import storage
from gristmill.errors import InputError
from pipelines.kernels.fasttext import EMPTY_SLOT, token_hash

MAGIC, VERSION = 793712314, 12
HIERARCHICAL, SOFTMAX = 1, 3
SUPERVISED = 3
LABEL = "__label__"


@dataclass(frozen=True, slots=True)
class FastText:
    """A classifier: `vectors` float32 (words + n-grams, dim), `output` float32 (labels, dim), and how to find rows."""

    labels: tuple[str, ...]
    vectors: np.ndarray
    output: np.ndarray
    words: int
    shortest: int
    longest: int
    word_slots: np.ndarray
    """uint64 (2 ** k,): hashes of known words by open addressing; `word_rows` holds their rows."""
    word_rows: np.ndarray
    ngram_rows: np.ndarray
    """int32 (buckets,): the row of an n-gram bucket below the words, or -1 where it was pruned."""
    tree: np.ndarray
    """int32 (labels - 1, 2): left and right child of every inner node of hierarchical softmax; empty for softmax."""

    @property
    def arrays(self) -> tuple[Any, ...]:
        """What the kernel takes after its texts."""
        return (
            self.vectors, self.output, self.words, self.shortest, self.longest, self.word_slots, self.word_rows,
            self.ngram_rows, self.tree,
        )  # fmt: skip


class _Reader:
    """The file's bytes, taken piece by piece."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def values(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return found

    def array(self, kind: str, *shape: int) -> np.ndarray:
        found = np.frombuffer(self.raw, kind, int(np.prod(shape)), self.at).reshape(shape)
        self.at += found.nbytes
        return found

    def text(self) -> bytes:
        end = self.raw.index(b"\0", self.at)
        found = self.raw[self.at : end]
        self.at = end + 1
        return found


def read_model(path: str | Path) -> FastText:
    """Read a model file; raises InputError for one that is cut, of another kind, or no fastText model at all."""
    reader = _Reader(storage.read_bytes(path))
    try:
        return _read(reader)
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        where = {"file": path, "problem": error}
        raise InputError("this is no fastText classifier that can be read", where, "give a .ftz or .bin file") from None


def _read(reader: _Reader) -> FastText:
    if reader.values("ii") != (MAGIC, VERSION):
        raise ValueError(f"it does not begin like version {VERSION} of the format")
    dim, *_, word_ngrams, loss, kind, buckets, shortest, longest, _, _ = reader.values("12id")
    if kind != SUPERVISED or loss not in (HIERARCHICAL, SOFTMAX) or word_ngrams != 1:
        raise ValueError("only classifiers with (hierarchical) softmax over words without word n-grams are read")
    size, words, labels, _, pruned = reader.values("3i2q")
    entries = [(reader.text(), reader.values("qb")[0]) for _ in range(size)]
    if size != words + labels or not labels:
        raise ValueError("its dictionary does not add up")
    buckets = buckets if longest else 0
    ngram_rows = np.arange(buckets, dtype=np.int32)
    if pruned >= 0:
        ngram_rows = np.full(buckets, -1, np.int32)
        pairs = reader.array("<i4", pruned, 2)
        ngram_rows[pairs[:, 0]] = pairs[:, 1]
    vectors = _matrix(reader, quantized=reader.values("?")[0])
    output = _matrix(reader, quantized=reader.values("?")[0])
    if vectors.shape[1] != dim or output.shape != (labels, dim) or words + ngram_rows.max(initial=-1) >= len(vectors):
        raise ValueError("its matrices do not fit its dictionary")
    counts = [count for _, count in entries[words:]]
    names = tuple(name.decode().removeprefix(LABEL) for name, _ in entries[words:])
    tree = huffman(counts) if loss == HIERARCHICAL else np.zeros((0, 2), np.int32)
    slots, rows = _word_table([name for name, _ in entries[:words]])
    return FastText(names, vectors, output, words, shortest, longest, slots, rows, ngram_rows, tree)


def _matrix(reader: _Reader, *, quantized: bool) -> np.ndarray:
    """float32 (rows, columns): a dense matrix, or a product-quantized one unpacked."""
    if not quantized:
        return reader.array("<f4", *reader.values("qq"))
    normed, rows, columns, size = reader.values("?qqi")
    codes = reader.array("u1", rows, size // max(1, rows))
    centroids = _centroids(reader)
    found = centroids[np.arange(codes.shape[1]), codes].reshape(rows, -1)[:, :columns]
    if normed:
        norm_codes = reader.array("u1", rows)
        found = found * _centroids(reader)[0, norm_codes]
    return np.ascontiguousarray(found, np.float32)


def _centroids(reader: _Reader) -> np.ndarray:
    """float32 (parts, 256, width) of a product quantizer whose parts are all equally wide."""
    dim, parts, width, last = reader.values("4i")
    if width != last or parts * width != dim:
        raise ValueError("its quantizer has parts of unequal width")
    return reader.array("<f4", parts, 256, width)


def _word_table(words: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    room = 1 << (2 * max(1, len(words))).bit_length()
    slots, rows = np.full(room, EMPTY_SLOT, np.uint64), np.zeros(room, np.int32)
    for row, word in enumerate(words):
        key = token_hash(np.frombuffer(word, np.uint8))
        at = int(key) & (room - 1)
        while slots[at] != EMPTY_SLOT:
            at = (at + 1) & (room - 1)
        slots[at], rows[at] = key, row
    return slots, rows


def huffman(counts: list[int]) -> np.ndarray:
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
