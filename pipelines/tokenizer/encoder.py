"""Encoders: texts in, token ids and the places of sentences out.

They give the ids of the tokenizer's own library. A sentencepiece model is compiled into tables
(`pipelines.tokenizer.encoding_tables`), 5 to 10 times as fast; one that does what the kernels cannot
is run by sentencepiece itself, and a `tokenizer.json` without a sentencepiece model by `tokenizers`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sentencepiece
import tokenizers

from gristmill.errors import InputError
from pipelines.kernels.buffers import get_text_buffers
from pipelines.tokenizer.encoding_tables import ROWS, Tables, compile_file, make_memory
from pipelines.tokenizer.kernels.encode import encode_bpe, encode_unigram
from pipelines.tokenizer.kernels.segment_table import INLINE_IDS
from pipelines.tokenizer.sentences import (
    find_sentence_starts,
    locate_sentence_tokens,
    measure_pieces,
)

MODEL, FAST = "tokenizer.model", "tokenizer.json"

LocateTokens = Callable[[int, bytes, npt.NDArray[np.int64]], npt.NDArray[np.uint32]]
"""(number of the text, its bytes, offsets of its sentences) -> their first tokens."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of texts, and at which of their tokens sentences start.

    Text i has `values[offsets[i] : offsets[i + 1]]`.
    """

    ids: npt.NDArray[np.int32]
    """(tokens,)"""
    offsets: npt.NDArray[np.int64]
    """(texts + 1,)"""
    sentences: npt.NDArray[np.uint32]
    """(sentences,)"""
    sentence_offsets: npt.NDArray[np.int64]
    """(texts + 1,)"""


class Encoder(Protocol):
    """What `pack` needs of a tokenizer; one encoder serves one thread."""

    vocabulary: int

    def encode(self, texts: pa.StringArray) -> Encoded:
        """Return the ids of every text, without special tokens; a null is an empty text."""


def open_encoder(folder: str | Path) -> Encoder:
    """Open the encoder of a tokenizer folder.

    Raises InputError where it holds none or one that cannot be read.
    """
    model = Path(folder) / MODEL
    fast = Path(folder) / FAST
    try:
        if model.is_file():
            return _open_sentencepiece(model)
        if fast.is_file():
            return HuggingFaceEncoder(tokenizers.Tokenizer.from_file(str(fast)))
    except Exception as error:  # each library has its own, down to a bare Exception
        raise InputError(
            "this tokenizer cannot be read",
            {"folder": folder, "problem": error},
            "train or import it again",
        ) from None
    raise InputError("there is no tokenizer", {"folder": folder}, f"it needs {MODEL} or {FAST}")


def _open_sentencepiece(model: Path) -> Encoder:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    tables = compile_file(str(model))
    if tables is None:
        return SentencePieceEncoder(processor)
    return CompiledEncoder(tables, processor.normalize)


class CompiledEncoder:
    """A sentencepiece model by kernels.

    Segments met before stay in a table, which never changes what is answered.
    """

    def __init__(
        self, tables: Tables, normalize: Callable[[str], str], *, rows: int = ROWS
    ) -> None:
        self.vocabulary = tables.sizes.shape[1]
        self._tables = tables
        self._normalize = normalize
        self._memory = make_memory(unigram=tables.unigram, rows=rows)

    def encode(self, texts: pa.StringArray) -> Encoded:
        """See `Encoder`."""
        tables = self._tables
        memory = self._memory
        data, offsets = get_text_buffers(texts if tables.prefix else self._normalize_column(texts))
        total_bytes = int(offsets[-1] - offsets[0])
        longest_text = int(np.diff(offsets).max(initial=0))
        # one buffer as words and as bytes: the kernel copies texts by words and reads bytes
        words = np.zeros(longest_text // 8 + 4, np.uint64)
        characters = [np.empty(longest_text + 2, np.int32) for _ in range(3)]
        workspace = (words.view(np.uint8), words, *characters)
        # a text has at most a token for each byte and one for the space put before it
        ids = np.empty(total_bytes + len(texts) + INLINE_IDS, np.int32)
        sentences = np.empty(total_bytes // 2 + len(texts), np.uint32)
        ends = np.zeros((len(texts) + 1, 2), np.int64)
        kernel = encode_unigram if tables.unigram else encode_bpe
        kernel(
            data,
            offsets,
            tables.prefix,
            tables.neighbours,
            tables.model,
            tables.alone,
            tables.sizes,
            memory.table,
            memory.work,
            workspace,
            ids,
            sentences,
            ends[1:],
        )
        token_count, sentence_count = ends[-1].tolist()
        return Encoded(ids[:token_count], ends[:, 0], sentences[:sentence_count], ends[:, 1])

    def _normalize_column(self, texts: pa.StringArray) -> pa.StringArray:
        normalized = [self._normalize(text or "") for text in texts.to_pylist()]
        return pa.array(normalized, pa.string())


class SentencePieceEncoder:
    """A sentencepiece model by its own library."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self.vocabulary = processor.get_piece_size()
        self._processor = processor
        self._lengths = measure_pieces(processor)

    def encode(self, texts: pa.StringArray) -> Encoded:
        """See `Encoder`."""
        strings = [text or "" for text in texts.to_pylist()]
        id_lists = self._processor.encode(strings, num_threads=1)
        ids = [np.array(id_list, np.int32) for id_list in id_lists]

        def locate(
            number: int, text: bytes, starts: npt.NDArray[np.int64]
        ) -> npt.NDArray[np.uint32]:
            return locate_sentence_tokens(ids[number], starts, self._lengths, text)

        return _join_texts(ids, strings, locate)


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
        strings = [text or "" for text in texts.to_pylist()]
        encodings = self._tokenizer.encode_batch(strings, add_special_tokens=False)
        ids = [np.array(encoding.ids, np.int32) for encoding in encodings]
        begins = [
            np.array([begin for begin, _ in encoding.offsets], np.int64) for encoding in encodings
        ]

        def locate(
            number: int, text: bytes, starts: npt.NDArray[np.int64]
        ) -> npt.NDArray[np.uint32]:
            return find_tokens_at(begins[number], starts, text)

        return _join_texts(ids, strings, locate)


def find_tokens_at(
    begins: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], text: bytes
) -> npt.NDArray[np.uint32]:
    """uint32: the tokens that hold the bytes `starts` of UTF-8 `text`, or the space before.

    `begins` are the tokens' first characters, counted in characters.
    """
    if not len(begins):
        return np.zeros(0, np.uint32)
    raw = np.frombuffer(text, np.uint8)
    begins_character = (raw & 0xC0) != 0x80  # all bytes but continuations (10xxxxxx)
    characters_before = np.r_[0, np.cumsum(begins_character)]
    follows_space = raw[starts - 1] == ord(" ")
    positions = characters_before[starts] - follows_space
    tokens = np.searchsorted(begins, positions, side="right") - 1
    tokens[0] = 0
    return np.unique(np.maximum(tokens, 0)).astype(np.uint32)


def _join_texts(
    ids: Sequence[npt.NDArray[np.int32]], texts: Sequence[str], locate: LocateTokens
) -> Encoded:
    """Return the ids of texts one after the other, and the tokens at which sentences start."""
    sentences: list[npt.NDArray[np.uint32]] = []
    for number, text in enumerate(texts):
        raw = text.encode()
        sentences.append(locate(number, raw, find_sentence_starts(raw)))
    return Encoded(
        np.concatenate([np.zeros(0, np.int32), *ids]),
        np.cumsum([0, *map(len, ids)]),
        np.concatenate([np.zeros(0, np.uint32), *sentences]),
        np.cumsum([0, *map(len, sentences)]),
    )
