"""Normalize extracted text: NFC, Unix line breaks, no control characters, no trailing spaces, no runs of blank lines."""

import re
import unicodedata
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.annotate.kernels.normalize import normalize_texts
from pipelines.kernels.buffers import get_text_buffers

_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\ufff9-\ufffb\ud800-\udfff]")
_SPACES = re.compile(r"[^\S\n]{2,}|[^\S\n ]")
_BLANK_LINES = re.compile(r"\n{3,}")
MOST_MARKS = 1000
"""Combining marks in a row that `unicodedata`, whose sorting of them is quadratic, still gets as they come."""
SAMPLES = 4


def normalize(text: str) -> str:
    """The normal form; normalizing twice changes nothing more.

    Most texts have nothing to change, so each slow pattern runs only where a fast search says that it may match: no
    character of the first two, and no white space but the space, is printable.
    """
    if text.replace("\n", "").isprintable():
        text = _compose(text)
        text = _SPACES.sub(" ", text) if "  " in text else text
    else:
        text = _CONTROL.sub("", _LINE_BREAKS.sub("\n", text))
        text = _SPACES.sub(" ", _compose(text))
    text = text.replace(" \n", "\n").replace("\n ", "\n")
    return (_BLANK_LINES.sub("\n\n", text) if "\n\n\n" in text else text).strip()


def normalize_column(text: pa.Array) -> pa.Array:
    """`normalize` of every text of a `string` column; a null becomes an empty text."""
    data, ends, unsafe = normalize_texts(*get_text_buffers(text))
    column = pa.Array.from_buffers(
        pa.string(), len(text), [None, pa.py_buffer(ends), pa.py_buffer(data)]
    )
    if not unsafe.any():
        return column
    rest = [normalize(text[row].as_py()) for row in np.flatnonzero(unsafe).tolist()]
    return pc.replace_with_mask(column, pa.array(unsafe), pa.array(rest, pa.string()))


def _compose(text: str) -> str:
    """`text` in NFC, in linear time: long runs of marks are put in canonical order before, which NFC keeps.

    A long run holds SAMPLES of every (MOST_MARKS / SAMPLES)th character in a row, and hardly any other text does.
    """
    samples, runs = _compile_mark_runs()
    if len(text) > MOST_MARKS and samples.search(text[:: MOST_MARKS // SAMPLES]):
        text = runs.sub(lambda run: _order_marks(run[0]), text)
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=1)
def _compile_mark_runs() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """SAMPLES, and more than MOST_MARKS, characters that are, or are made of, nothing but combining marks."""
    every = map(chr, range(0x300, 0x1F000))
    marks = "".join(
        char for char in every if unicodedata.combining(unicodedata.normalize("NFD", char)[0])
    )
    return re.compile(f"[{marks}]{{{SAMPLES}}}"), re.compile(f"[{marks}]{{{MOST_MARKS + 1},}}")


def _order_marks(marks: str) -> str:
    """Marks in canonical order: decomposed one by one, then sorted by class, equals as they stood."""
    return "".join(
        sorted(
            "".join(unicodedata.normalize("NFD", mark) for mark in marks), key=unicodedata.combining
        )
    )
