"""The letters of each script in a document, counted in one pass over the bytes with a table of code points.

`scripts.toml` has the letters of every script. ISO 15924 has codes for what is written in several: Hangul counts as Kore,
and Han with Kana as Jpan, see `main_scripts`.
"""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from pipelines.kernels.unicode import LAST
from pipelines.kernels.words import decode_point

NO_SCRIPT = "Zyyy"
KANA_SHARE = 10
"""Text in Han and Kana is Japanese where at least one letter in so many is Kana: Chinese quotes a name, or writes の.

Of 15,819 articles of the Chinese Wikipedia 24 have as many, of 2,427 reports of the Japanese Wikinews 3 have fewer.
"""


class ScriptTable(NamedTuple):
    """The codes, `Zyyy` first and the others in order; uint8 (LAST,), the place of each code point's script there."""

    codes: tuple[str, ...]
    table: np.ndarray


@lru_cache(maxsize=1)
def load_scripts() -> ScriptTable:
    """The scripts of scripts.toml, Hangul as Kore, and Jpan, which no letter is in alone."""
    letters = tomllib.loads((Path(__file__).parent / "scripts.toml").read_text(encoding="utf-8"))
    letters["Kore"] = letters.pop("Hang")
    codes = (NO_SCRIPT, *sorted([*letters, "Jpan"]))
    table = np.zeros(LAST, np.uint8)
    for code, text in letters.items():
        for span in text.split():
            first, _, last = span.partition("-")
            table[int(first, 16) : int(last or first, 16) + 1] = codes.index(code)
    return ScriptTable(codes, table)


@njit(nogil=True, cache=True)
def _count(data, offsets, table, latin, counts):  # type: ignore[no-untyped-def]
    for d in range(offsets.shape[0] - 1):
        at, stop, ascii_letters = offsets[d], offsets[d + 1], np.int64(0)
        row = counts[d]
        while at < stop:
            byte = data[at]
            if byte < 0x80:
                ascii_letters += np.uint8((byte | 0x20) - 0x61) < 26
                at += 1
            else:
                code, size = decode_point(data, at)
                if code < table.shape[0]:
                    row[table[code]] += 1
                at += size
        row[latin] += ascii_letters


def count_scripts(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """int64 (n, scripts) for n documents in UTF-8 `data` cut by `offsets` (n + 1): letters; column 0 means nothing."""
    codes, table = load_scripts()
    counts = np.zeros((len(offsets) - 1, len(codes)), np.int64)
    _count(data, np.asarray(offsets, np.int64), table, codes.index("Latn"), counts)
    return counts


def choose_main_scripts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 (n,) place of the script most letters are in, and float64 (n,) its share of them; 0 and 0 without letters.

    `counts` are `script_counts`. Han, Hiragana and Katakana are one script, Jpan, where Kana are one in KANA_SHARE or
    more of them. Of equals the first in the order of codes is taken.
    """
    codes = load_scripts().codes
    japanese, han, hira, kana = (codes.index(code) for code in ("Jpan", "Hani", "Hira", "Kana"))
    counts = counts.copy()
    counts[:, 0] = 0
    phonetic = counts[:, hira] + counts[:, kana]
    together = phonetic + counts[:, han]
    mixed = (phonetic > 0) & (phonetic * KANA_SHARE >= together)
    counts[:, japanese] = np.where(mixed, together, 0)
    counts[np.ix_(mixed, [han, hira, kana])] = 0
    best, total = counts.argmax(axis=1), counts.sum(axis=1)
    most = counts[np.arange(len(counts)), best]
    return best, np.where(total > 0, most / np.maximum(total, 1), 0.0)
