"""Where sentences start: in bytes by punctuation, then in tokens - for objectives that need segments (NSP)."""

import re

import numpy as np
import sentencepiece

_START = re.compile(
    rb"(?:[.!?]+[\"')\]]*[ ]+|(?:\xe3\x80\x82|\xef\xbc\x81|\xef\xbc\x9f)(?:\xe2\x80\x9d|\xe3\x80\x8d|\xe2\x80\x99)?|\n+)"
)
"""After a Latin sentence end and a space, after a Chinese one with its closing quote, and after line breaks."""


def find_sentence_starts(text: bytes) -> np.ndarray:
    """int64: byte offsets at which sentences of UTF-8 `text` begin; the first is 0; [] for an empty text."""
    if not text:
        return np.zeros(0, np.int64)
    ends = [match.end() for match in _START.finditer(text) if match.end() < len(text)]
    return np.unique(np.array([0, *ends], np.int64))


def measure_pieces(processor: sentencepiece.SentencePieceProcessor) -> np.ndarray:
    """int64 (vocabulary,): the bytes of text that each piece stands for; 1 for a byte piece, 0 for controls."""
    lengths = np.zeros(processor.get_piece_size(), np.int64)
    for number in range(len(lengths)):
        if processor.is_byte(number):
            lengths[number] = 1
        elif not processor.is_control(number) and not processor.is_unknown(number):
            lengths[number] = len(processor.id_to_piece(number).replace("▁", " ").encode())
    return lengths


def locate_sentence_tokens(
    ids: np.ndarray, starts: np.ndarray, lengths: np.ndarray, text: bytes
) -> np.ndarray:
    """uint32: the index of the first token of every sentence; [0] where pieces do not add up to the text.

    A sentence's first token is the one that holds the space before it, or, where none is before it, its first byte.
    The first piece carries the space that sentencepiece puts before a text, which is no byte of it, unless the model adds
    none. A literal `▁` in the text is one byte to the pieces and three to the text; such a document counts as one sentence.
    """
    if not len(ids):
        return np.zeros(0, np.uint32)
    ends = np.cumsum(lengths[ids])
    shift = ends[-1] - len(text)
    if shift not in (0, 1):
        return np.zeros(1, np.uint32)
    begins = np.r_[0, ends[:-1]] - shift
    after_space = np.frombuffer(text, np.uint8)[starts - 1] == ord(" ")
    first = np.searchsorted(begins, starts - after_space, side="right") - 1
    found: np.ndarray = np.unique(first).astype(np.uint32)
    found[0] = 0
    return found
