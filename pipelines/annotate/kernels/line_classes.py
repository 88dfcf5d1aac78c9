"""What a code point and a byte are to the kernel of lines: bit flags, the abbreviations that end no sentence, signs of code."""

import unicodedata
from functools import lru_cache

import numpy as np

from pipelines.annotate.kernels import token_classes as tokens
from pipelines.kernels import unicode

SPACE, PUNCTUATION, ALONE, END, BEFORE_DOT, UPPER, LOWER, QUOTE, WIDE, CLOSING, MARK = (
    1 << i for i in range(11)
)
"""END ends sentences; WIDE does so wherever it stands, as marks of East Asia do; CLOSING may stand behind a WIDE one."""

CLOSERS = "”’」』）》】〉〕)"
EAST_ASIAN = "。！？｡．"
SIGNS = "{}<>=;&\\$^~_"
"""What is rare in prose and frequent in source code."""
ABBREVIATED = 8
"""Bytes that fit one key: every abbreviation is shorter."""


@lru_cache(maxsize=1)
def build_line_table() -> np.ndarray:
    """uint16 of shape (LAST,): the flags of every code point below LAST."""
    table = np.zeros(unicode.LAST, np.uint16)
    source = tokens.build_flag_table()
    for ours, theirs in (
        (BEFORE_DOT, tokens.BEFORE_DOT),
        (UPPER, tokens.UPPER),
        (LOWER, tokens.LOWER),
        (QUOTE, tokens.QUOTE),
        (MARK, tokens.MARK),
        (END, tokens.TERMINAL),
    ):
        table[(source & theirs) != 0] |= ours
    table[unicode.build_class_table() == unicode.SPACE] |= SPACE
    table[unicode.build_class_table() == unicode.SINGLE] |= ALONE
    for code in range(0x32400):
        if unicodedata.category(chr(code))[0] == "P":
            table[code] |= PUNCTUATION
    for bit, chars in ((WIDE, EAST_ASIAN), (CLOSING, CLOSERS)):
        table[[ord(char) for char in chars]] |= bit
    return table


@lru_cache(maxsize=1)
def encode_abbreviations() -> np.ndarray:
    """uint64, sorted: the bytes of every abbreviation of kernels.token_classes and of `Ph.`, as one number each."""
    words = [
        *tokens.ABBREVIATIONS,
        "Ph.",
    ]  # the first dot of `Ph.D.` would otherwise end a sentence before a capital
    return np.sort(np.array([int.from_bytes(word.encode()) for word in words], np.uint64))


@lru_cache(maxsize=1)
def build_sign_table() -> np.ndarray:
    """uint8 (256,): 1 for the bytes that are signs of code."""
    table = np.zeros(256, np.uint8)
    table[[ord(char) for char in SIGNS]] = 1
    return table
