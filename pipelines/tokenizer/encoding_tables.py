"""The tables by which the kernels encode, made from a sentencepiece model; refused where a model does what they cannot.

`Tables` are read only and shared; `Memory` is what one encoder has met, and its room to work in.
"""

import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sentencepiece import sentencepiece_model_pb2

from pipelines.tokenizer.kernels.merges import ESCAPED, SPACE, fill_table
from pipelines.tokenizer.kernels.segment_table import MAX_ROW_BYTES, MAX_ROW_IDS, ROW_WORDS
from pipelines.tokenizer.kernels.segments import hash_pair
from pipelines.tokenizer.kernels.viterbi import RESET

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE, UNUSED = 1, 2, 3, 4, 6, 5
UNIGRAM, BPE = 1, 2
CODE_POINTS = 0x110000
UNKNOWN_PENALTY = np.float32(10)
"""What sentencepiece takes off the lowest score for a character that no piece holds."""
BITS_A_PAIR = 64
"""Bits of the table of neighbours a pair: 1 in so many strangers is taken for neighbours, which costs time, not exactness."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What the kernels know of a model."""

    unigram: bool
    prefix: bool
    """Whether a space goes before a text; with False a text comes as `SentencePieceProcessor.normalize` returns it."""
    neighbours: tuple[Any, ...]
    model: tuple[Any, ...]
    alone: np.ndarray
    """int32 (code points,): the pieces of single characters, -1 where there is none."""
    sizes: np.ndarray
    """int32 (2, vocabulary): the characters of every piece, 0 of a byte, -1 of the unknown one; and its bytes in a text."""


def compile_model(model: bytes) -> Tables | None:
    """The tables of a sentencepiece model (BPE or unigram), or None where the kernels cannot do all that it does.

    That is so with user-defined and unused pieces, special ones of one character, scores of a unigram model that are above 0
    or so low that one piece can pass RESET, without a piece for `▁`, where spaces stay spaces, and for models of words or
    characters.
    """
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    kind, types = proto.trainer_spec.model_type, {piece.type for piece in proto.pieces}
    pieces = {
        piece.piece: number for number, piece in enumerate(proto.pieces) if piece.type == NORMAL
    }
    strange = any(len(piece.piece) == 1 for piece in proto.pieces if piece.type != NORMAL)
    known = (
        kind in (UNIGRAM, BPE)
        and proto.normalizer_spec.escape_whitespaces
        and chr(ESCAPED) in pieces
    )
    if (
        not known
        or types & {USER_DEFINED, UNUSED}
        or strange
        or (kind == UNIGRAM and not has_plain_sums(proto))
    ):
        return None
    texts = {spaced(piece): number for piece, number in pieces.items() if chr(SPACE) not in piece}
    make = unigram_model if kind == UNIGRAM else bpe_model
    return Tables(
        kind == UNIGRAM,
        is_plain(proto),
        neighbours(texts),
        make(proto, texts),
        alone_of(texts),
        sizes_of(proto),
    )


def tiny_model(model_type: int) -> bytes:
    """A model of a handful of pieces, to compile the kernels with."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.trainer_spec.model_type, proto.normalizer_spec.remove_extra_whitespaces = (
        model_type,
        False,
    )
    for piece, score, kind in (
        ("<unk>", 0, UNKNOWN),
        ("▁", -1, NORMAL),
        ("o", -2, NORMAL),
        ("t", -2, NORMAL),
        ("to", -3, NORMAL),
    ):
        proto.pieces.add(piece=piece, score=score, type=kind)
    return bytes(proto.SerializeToString())


def compile_file(path: str) -> Tables | None:
    """`compile_model` of a file, once in a process: workers that are threads wait for the first."""
    with _COMPILING, open(path, "rb") as file:
        return _compiled(file.read())


_COMPILING = threading.Lock()


_compiled = lru_cache(maxsize=2)(compile_model)
"""By the bytes of the model: a folder may be given another one."""


def is_plain(proto: Any) -> bool:
    """Whether a text is normalized by putting a space before it and nothing else."""
    spec = proto.normalizer_spec
    return bool(
        not spec.precompiled_charsmap
        and not spec.remove_extra_whitespaces
        and spec.add_dummy_prefix
        and spec.escape_whitespaces
        and not proto.trainer_spec.treat_whitespace_as_suffix
    )


def spaced(piece: str) -> str:
    """A piece with a space for `▁`."""
    return piece.replace(chr(ESCAPED), chr(SPACE))


def neighbours(pieces: Iterable[str]) -> tuple[Any, ...]:
    """Which two characters stand side by side in some piece: bool (128 * 128,) of ASCII, and a bit each of all others."""
    pairs = {(ord(a), ord(b)) for piece in pieces for a, b in itertools.pairwise(piece)}
    ascii_pairs = np.zeros(128 * 128, np.bool_)
    ascii_pairs[[a * 128 + b for a, b in pairs if a < 128 and b < 128]] = True
    log2 = max(10, (len(pairs) * BITS_A_PAIR).bit_length())
    shift = np.uint64(64 - log2)
    bits = np.zeros(1 << (log2 - 6), np.uint64)
    for a, b in pairs:
        place = int(hash_pair(a, b)) >> int(shift)
        bits[place >> 6] |= np.uint64(1 << (place & 63))
    return ascii_pairs, bits, shift


def bpe_model(proto: Any, pieces: dict[str, int]) -> tuple[Any, ...]:
    """What `merges.merge_segment` takes: symbols of characters, pairs that make a piece, sizes, byte pieces."""
    vocabulary = len(proto.pieces)
    characters = sorted({character for piece in pieces for character in piece})
    others = itertools.count(vocabulary)  # characters that stand in pieces but are none
    symbols = {
        character: pieces[character] if character in pieces else next(others)
        for character in characters
    }
    symbol_of = np.full(CODE_POINTS, -1, np.int32)
    symbol_of[[ord(character) for character in characters]] = list(symbols.values())
    ranks = score_ranks([proto.pieces[number].score for number in pieces.values()])
    known = pieces | symbols
    keys, values = [], []
    for (piece, number), rank in zip(pieces.items(), ranks, strict=True):
        for at in range(1, len(piece)):
            left, right = known.get(piece[:at]), known.get(piece[at:])
            if left is not None and right is not None:
                keys.append(left << 32 | right)
                values.append(rank << 32 | number)
    return (symbol_of, hashed(keys, values), vocabulary, byte_ids(proto), *fallback(proto))


def unigram_model(proto: Any, pieces: dict[str, int]) -> tuple[Any, ...]:
    """What `viterbi.walk_segment` takes: a trie of pieces, byte pieces, scores."""
    children: dict[tuple[int, int], int] = {}
    ends = {0: -1}
    for piece, number in pieces.items():
        node = 0
        for character in piece:
            node = children.setdefault((node, ord(character)), len(children) + 1)
        ends[node] = number
    keys = [node << 21 | point for node, point in children]
    values = [node << 32 | (ends.get(node, -1) + 1) for node in children.values()]
    scores = np.array([piece.score for piece in proto.pieces], np.float32)
    lowest = min(piece.score for piece in proto.pieces if piece.type == NORMAL)
    byte_fallback, unknown = fallback(proto)
    trie = hashed(keys, values)
    return (
        trie,
        byte_ids(proto),
        byte_fallback,
        scores,
        np.float32(lowest) - UNKNOWN_PENALTY,
        unknown,
    )


def has_plain_sums(proto: Any) -> bool:
    """Whether no score is above 0, and sums at places within reach of one piece never differ by more than RESET.

    sentencepiece also takes off sums above 100,000, which only such differences can make.
    """
    scores = [piece.score for piece in proto.pieces if piece.type == NORMAL]
    longest = max(len(piece.piece) for piece in proto.pieces)
    return bool(
        max(scores) <= 0 and longest * (min(scores) - float(UNKNOWN_PENALTY)) > float(RESET)
    )


def score_ranks(scores: Sequence[float]) -> list[int]:
    """The rank of every score, 0 the highest; equal scores have one rank. For sentencepiece 0.2.2 -0.0 is less than 0.0."""
    bits = np.array(scores, np.float32).view(np.int32).astype(np.int64)
    _, places = np.unique(-np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits), return_inverse=True)
    ranks: list[int] = places.tolist()
    return ranks


def hashed(keys: Sequence[int], values: Sequence[int]) -> np.ndarray:
    """uint64 (2 ** k, 2): a table for `merges.look_up`, at most half full."""
    table = np.empty((1 << max(4, (2 * len(keys)).bit_length()), 2), np.uint64)
    fill_table(np.array(keys, np.uint64), np.array(values, np.uint64), table)
    return table


def byte_ids(proto: Any) -> np.ndarray:
    """int32 (256,): the piece of every byte, -1 where there is none."""
    found = np.full(256, -1, np.int32)
    for number, piece in enumerate(proto.pieces):
        if piece.type == BYTE:
            found[int(piece.piece[3:5], 16)] = number
    return found


def fallback(proto: Any) -> tuple[bool, int]:
    """Whether unknown characters are spelled in bytes, and the id of the unknown piece."""
    return bool(proto.trainer_spec.byte_fallback), next(
        number for number, piece in enumerate(proto.pieces) if piece.type == UNKNOWN
    )


def alone_of(pieces: Mapping[str, int]) -> np.ndarray:
    """int32 (code points,): see `Tables.alone`."""
    found = np.full(CODE_POINTS, -1, np.int32)
    for piece, number in pieces.items():
        if len(piece) == 1:
            found[ord(piece)] = number
    return found


def sizes_of(proto: Any) -> np.ndarray:
    """int32 (2, vocabulary): see `Tables.sizes`."""
    spell = spaced if is_plain(proto) else str
    sizes = {BYTE: (0, 1), UNKNOWN: (-1, 0)}
    found = [
        sizes.get(piece.type, (len(piece.piece), len(spell(piece.piece).encode())))
        for piece in proto.pieces
    ]
    return np.array(found, np.int32).T.copy()


@dataclass(frozen=True, slots=True)
class Memory:
    """What one encoder has met, and its room to work in; not for two threads at once."""

    table: tuple[np.ndarray, ...]
    work: tuple[np.ndarray, ...]


ROWS = 1 << 18
"""Segments kept, at 128 bytes, but only those that are met are memory."""


def make_memory(*, unigram: bool, rows: int) -> Memory:
    """An empty memory of `rows`, a power of two."""
    table = (
        np.zeros((rows, ROW_WORDS), np.uint64),
        np.zeros((rows, MAX_ROW_IDS), np.int32),
        np.zeros((rows if unigram else 1, 2), np.float64),
    )
    size = MAX_ROW_BYTES + 1
    ints, longs = ([np.zeros(size, kind) for _ in range(3)] for kind in (np.int32, np.int64))
    if unigram:
        best, second = np.zeros(size, np.float64), np.zeros(size, np.float64)
        return Memory(table, (longs[0], longs[1], *ints, np.zeros(size, np.float32), best, second))
    return Memory(table, (ints[0], longs[0], ints[1], ints[2], np.zeros(3 * size, np.uint64)))
