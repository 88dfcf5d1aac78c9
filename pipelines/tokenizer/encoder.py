"""Encoders: texts in, token ids and the places of sentences out, with the ids that the tokenizer's own library gives.

A sentencepiece model is compiled into tables (`pipelines.tokenizer.encoding_tables`), 5 to 10 times as fast; one that does what the
kernels do not is run by sentencepiece itself, and a `tokenizer.json` without a sentencepiece model by `tokenizers`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import sentencepiece
import tokenizers

from gristmill.errors import InputError
from pipelines.kernels.buffers import get_text_buffers
from pipelines.tokenizer.encoding_tables import ROWS, Tables, compile_file, make_memory
from pipelines.tokenizer.kernels.encode import INLINE, encode_bpe, encode_unigram
from pipelines.tokenizer.sentences import (
    find_sentence_starts,
    locate_sentence_tokens,
    measure_pieces,
)

MODEL, FAST = "tokenizer.model", "tokenizer.json"


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of texts, and at which of their tokens sentences start; text i has `values[offsets[i] : offsets[i + 1]]`."""

    ids: np.ndarray
    """int32 (tokens,)"""
    offsets: np.ndarray
    """int64 (texts + 1,)"""
    sentences: np.ndarray
    """uint32 (sentences,)"""
    sentence_offsets: np.ndarray
    """int64 (texts + 1,)"""


class Encoder(Protocol):
    """What `pack` needs of a tokenizer; one encoder serves one thread."""

    vocabulary: int

    def encode(self, texts: pa.StringArray) -> Encoded:
        """The ids of every text, without special tokens; a null is an empty text."""


def open_encoder(folder: str | Path) -> Encoder:
    """The encoder of a tokenizer folder; raises InputError where it holds none or one that cannot be read."""
    model, fast = Path(folder) / MODEL, Path(folder) / FAST
    try:
        if model.is_file():
            processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
            tables = compile_file(str(model))
            return (
                CompiledEncoder(tables, processor.normalize)
                if tables
                else SentencePieceEncoder(processor)
            )
        if fast.is_file():
            return HuggingFaceEncoder(tokenizers.Tokenizer.from_file(str(fast)))
    except Exception as error:  # each library has its own, down to a bare Exception
        where = {"folder": folder, "problem": error}
        raise InputError(
            "this tokenizer cannot be read", where, "train or import it again"
        ) from None
    raise InputError("there is no tokenizer", {"folder": folder}, f"it needs {MODEL} or {FAST}")


class CompiledEncoder:
    """A sentencepiece model by kernels; what it has met before stays in a table, which never changes what it answers."""

    def __init__(
        self, tables: Tables, normalize: Callable[[str], str], *, rows: int = ROWS
    ) -> None:
        self.vocabulary = tables.sizes.shape[1]
        self._tables, self._normalize = tables, normalize
        self._memory = make_memory(unigram=tables.unigram, rows=rows)

    def encode(self, texts: pa.StringArray) -> Encoded:
        """See `Encoder`."""
        tables, memory = self._tables, self._memory
        data, cuts = get_text_buffers(texts if tables.prefix else self._normalized(texts))
        total, longest = int(cuts[-1] - cuts[0]), int(np.diff(cuts).max(initial=0))
        words = np.zeros(longest // 8 + 4, np.uint64)
        ints = [np.empty(longest + 2, np.int32) for _ in range(3)]
        room = (words.view(np.uint8), words, *ints)
        out, starts = (
            np.empty(total + len(texts) + INLINE, np.int32),
            np.empty(total // 2 + len(texts), np.uint32),
        )
        ends = np.zeros((len(texts) + 1, 2), np.int64)
        kernel = encode_unigram if tables.unigram else encode_bpe
        kernel(
            data,
            cuts,
            tables.prefix,
            tables.neighbours,
            tables.model,
            tables.alone,
            tables.sizes,
            memory.table,
            memory.work,
            room,
            out,
            starts,
            ends[1:],
        )
        return Encoded(out[: ends[-1, 0]], ends[:, 0], starts[: ends[-1, 1]], ends[:, 1])

    def _normalized(self, texts: pa.StringArray) -> pa.StringArray:
        return pa.array([self._normalize(text or "") for text in texts.to_pylist()], pa.string())


class SentencePieceEncoder:
    """A sentencepiece model by its own library."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self.vocabulary = processor.get_piece_size()
        self._processor, self._lengths = processor, measure_pieces(processor)

    def encode(self, texts: pa.StringArray) -> Encoded:
        """See `Encoder`."""
        raw = [text or "" for text in texts.to_pylist()]
        ids = [np.array(found, np.int32) for found in self._processor.encode(raw, num_threads=1)]
        return _gathered(
            ids,
            raw,
            lambda number, text, starts: locate_sentence_tokens(
                ids[number], starts, self._lengths, text
            ),
        )


class HuggingFaceEncoder:
    """A `tokenizer.json` by `tokenizers`; text that spells a special token is text."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        tokenizer.encode_special_tokens = True
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.vocabulary = max(tokenizer.get_vocab().values(), default=-1) + 1  # ids may have gaps
        self._tokenizer = tokenizer

    def encode(self, texts: pa.StringArray) -> Encoded:
        """See `Encoder`."""
        raw = [text or "" for text in texts.to_pylist()]
        found = self._tokenizer.encode_batch(raw, add_special_tokens=False)
        begins = [
            np.array([begin for begin, _ in encoding.offsets], np.int64) for encoding in found
        ]

        def tokens_of(number: int, text: bytes, starts: np.ndarray) -> np.ndarray:
            return find_tokens_at(begins[number], starts, text)

        return _gathered([np.array(encoding.ids, np.int32) for encoding in found], raw, tokens_of)


def find_tokens_at(begins: np.ndarray, starts: np.ndarray, text: bytes) -> np.ndarray:
    """uint32: the tokens that hold the bytes `starts` of UTF-8 `text`, or the space before; `begins` counts characters."""
    if not len(begins):
        return np.zeros(0, np.uint32)
    raw = np.frombuffer(text, np.uint8)
    character = np.r_[0, np.cumsum((raw & 0xC0) != 0x80)]  # how many characters begin before a byte
    after_space = raw[starts - 1] == ord(" ")
    found = np.searchsorted(begins, character[starts] - after_space, side="right") - 1
    found[0] = 0
    return np.unique(np.maximum(found, 0)).astype(np.uint32)


def _gathered(
    ids: Sequence[np.ndarray],
    texts: Sequence[str],
    tokens_of: Callable[[int, bytes, np.ndarray], np.ndarray],
) -> Encoded:
    """The ids of texts one after the other, and the tokens at which their sentences start."""
    raw = [text.encode() for text in texts]
    starts = [
        tokens_of(number, text, find_sentence_starts(text)) for number, text in enumerate(raw)
    ]
    return Encoded(
        np.concatenate([np.zeros(0, np.int32), *ids]),
        np.cumsum([0, *map(len, ids)]),
        np.concatenate([np.zeros(0, np.uint32), *starts]),
        np.cumsum([0, *map(len, starts)]),
    )
