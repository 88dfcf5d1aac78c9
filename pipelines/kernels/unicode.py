"""What a code point is to us: tables of word classes and of lower-case forms, built once from `unicodedata`.

A word is a run of letters, digits and marks; an apostrophe between two letters belongs to it. In scripts written
without spaces (Han, Kana, Thai, Lao, Khmer, Myanmar) every character with its marks is a word of its own: a clause is
never one word. MinHash counts these words; the quality signals count tokens (kernels.tokens), with the same scripts.
"""

import sys
import unicodedata
from functools import lru_cache

import numpy as np

OTHER, LETTER, DIGIT, MARK, SINGLE, SPACE = range(6)
"""Classes of code points; SINGLE is a letter of a script without spaces."""

NO_SPACES = (
    (0x0E01, 0x0E30),
    (0x0E32, 0x0E33),
    (0x0E40, 0x0E46),  # Thai
    (0x0E81, 0x0EB0),
    (0x0EB2, 0x0EB3),
    (0x0EC0, 0x0EC6),  # Lao
    (0x1000, 0x109F),
    (0xA9E0, 0xA9FE),
    (0xAA60, 0xAA7F),  # Myanmar
    (0x1780, 0x17B3),  # Khmer
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3041, 0x309F),
    (0x30A1, 0x30FA),
    (0x30FC, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x20000, 0x3FFFF),
)
"""Ranges of scripts written without spaces (first, last)."""

LAST = 0x40000
"""Code points from here on (tags, private use) are OTHER and have no lower case."""

_CLASS = {"L": LETTER, "N": DIGIT, "M": MARK, "Z": SPACE}


@lru_cache(maxsize=1)
def build_class_table() -> np.ndarray:
    """uint8 of shape (LAST,): the class of every code point below LAST."""
    table = np.zeros(LAST, np.uint8)
    for code in range(0x32400):
        table[code] = _CLASS.get(unicodedata.category(chr(code))[0], OTHER)
    for first, last in NO_SPACES:
        part = table[first : last + 1]
        part[(part == LETTER) | (part == DIGIT)] = SINGLE
    table[0x20000:] = np.where(table[0x20000:] == OTHER, OTHER, SINGLE)
    table[[9, 10, 11, 12, 13, 0x85]] = SPACE
    return table


@lru_cache(maxsize=1)
def build_lower_table() -> np.ndarray:
    """uint32 of shape (LAST,): the one-character lower case of every code point below LAST, or itself."""
    table = np.arange(LAST, dtype=np.uint32)
    for code in range(min(0x1E944, sys.maxunicode)):
        low = chr(code).lower()
        if len(low) == 1:
            table[code] = ord(low)
    return table
