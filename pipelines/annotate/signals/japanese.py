"""Japanese words: where SudachiPy's tokens (split mode A) lie in a text, as FineWeb-2 counted them (decision 12).

The dictionary is opened by the first Japanese document of a process, and shared by its threads; each thread has a tokenizer
of its own, since one does not bear two callers.
"""

import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.annotate.kernels.external_tokens import (
    ExternalTokens,
    join_external_tokens,
    make_empty_tokens,
)
from pipelines.annotate.kernels.token_classes import SPACE, build_flag_table

MOST_BYTES = 40_000
"""Bytes of text that are cut at once, as in datatrove: Sudachi refuses more than 49,149."""

_LINE_END, _SENTENCE_ENDS = "\n", "。！？!?．"
_here = threading.local()
_opening = threading.Lock()


def tokenize_japanese(text: pa.Array, wanted: np.ndarray) -> ExternalTokens:
    """The tokens of those documents of a batch that are `wanted` (bool, one each), none for the others."""
    if not wanted.any():
        return make_empty_tokens(len(text))
    none = np.zeros(0, np.int32)
    return join_external_tokens(
        find_tokens(value.as_py()) if mine else (none, none)
        for value, mine in zip(text, wanted, strict=True)
    )


def find_tokens(text: str) -> tuple[np.ndarray, np.ndarray]:
    """int32 starts and ends of the tokens of a text, in code points.

    White space at the ends of a token is no part of it, and one that is nothing else is no token.
    """
    begins, at = list[np.ndarray](), 0
    for chunk in iter_chunks(text):
        begins.append(at + np.array(_list_token_starts(chunk), np.int64))
        at += len(chunk)
    return _strip_token_spaces(text, np.concatenate([*begins, np.array([at])]))


def iter_chunks(text: str, most: int = MOST_BYTES) -> Iterator[str]:
    """Pieces of at most `most` bytes in UTF-8 (4 or more) that make up the text.

    One ends behind the last line end that fits, else behind the last end of a sentence, else where it must.
    """
    start = 0
    while start < len(text):
        fitting = text[start : start + most].encode()[:most].decode(errors="ignore")
        if start + len(fitting) < len(text):
            fitting = fitting[: _find_chunk_end(fitting)]
        yield fitting
        start += len(fitting)


def _find_chunk_end(text: str) -> int:
    line = text.rfind(_LINE_END) + 1
    return line or max(text.rfind(end) for end in _SENTENCE_ENDS) + 1 or len(text)


def _list_token_starts(chunk: str) -> list[int]:
    """Where each of Sudachi's tokens begins; they lie side by side."""
    from sudachipy.errors import SudachiError

    try:
        return [morpheme.begin() for morpheme in _tokenizer().tokenize(chunk)]
    except SudachiError:
        # What it refuses is too long in the form it compares in: U+FDFA is 18 characters there.
        if len(chunk) == 1:
            raise
        half = len(chunk) // 2
        return [
            *_list_token_starts(chunk[:half]),
            *(half + begin for begin in _list_token_starts(chunk[half:])),
        ]


def _strip_token_spaces(text: str, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends between neighbouring `bounds`, without the white space at either end."""
    table, points = build_flag_table(), np.frombuffer(text.encode("utf-32-le"), "<u4")
    is_ink = table[np.minimum(points, len(table) - 1)] & SPACE == 0
    ink = np.flatnonzero(is_ink)
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_ink)])[
        bounds
    ]  # how much ink lies before each bound
    full = before[:-1] < before[1:]
    first, last = before[:-1][full], before[1:][full] - 1
    return ink[first].astype(np.int32), (ink[last] + 1).astype(np.int32)


def _tokenizer() -> Any:
    """The tokenizer of this thread."""
    if not hasattr(_here, "tokenizer"):
        with _opening:  # two threads that meet their first Japanese at once would open, and keep, one dictionary each
            _here.tokenizer = _dictionary().tokenizer(mode="A")
    return _here.tokenizer


@lru_cache(maxsize=1)
def _dictionary() -> Any:
    from sudachipy import Dictionary  # only processes that meet Japanese load it

    return Dictionary(dict="core")
