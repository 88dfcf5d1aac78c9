"""Where sentences start: in bytes by punctuation, then in tokens.

Objectives that need segments, such as next-sentence prediction, cut documents there.
"""

import re

import numpy as np
import numpy.typing as npt
import sentencepiece

SENTENCE_END = re.compile(
    # a Latin end, closing quotes or brackets, and spaces
    rb"(?:[.!?]+[\"')\]]*[ ]+"
    # 。 ！ or ？ in UTF-8, with a closing quote ” 」 or ’
    rb"|(?:\xe3\x80\x82|\xef\xbc\x81|\xef\xbc\x9f)(?:\xe2\x80\x9d|\xe3\x80\x8d|\xe2\x80\x99)?"
    rb"|\n+)"
)

SPACE = ord(" ")


def find_sentence_starts(text: bytes) -> npt.NDArray[np.int64]:
    """int64: byte offsets at which sentences of UTF-8 `text` begin.

    The first is 0; an empty text has none.
    """
    if not text:
        return np.zeros(0, np.int64)
    ends = [match.end() for match in SENTENCE_END.finditer(text) if match.end() < len(text)]
    return np.unique(np.array([0, *ends], np.int64))


def measure_pieces(processor: sentencepiece.SentencePieceProcessor) -> npt.NDArray[np.int64]:
    """int64 (vocabulary,): the bytes of text of each piece; 1 for a byte piece, 0 for controls."""
    lengths = np.zeros(processor.get_piece_size(), np.int64)
    for number in range(len(lengths)):
        if processor.is_byte(number):
            lengths[number] = 1
        elif not processor.is_control(number) and not processor.is_unknown(number):
            surface = processor.id_to_piece(number).replace("▁", " ")
            lengths[number] = len(surface.encode())
    return lengths


def locate_sentence_tokens(
    ids: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    text: bytes,
) -> npt.NDArray[np.uint32]:
    """uint32: the index of the first token of every sentence.

    A sentence's first token is the one that holds the space before it, or, without one, its first
    byte. The first piece carries the space that sentencepiece puts before a text, which is no byte of
    it, unless the model adds none. A literal `▁` in the text is one byte to the pieces and three to
    the text: pieces then do not add up to the text, and the document counts as one sentence, [0].
    """
    if not len(ids):
        return np.zeros(0, np.uint32)
    token_ends = np.cumsum(lengths[ids])
    added_space = token_ends[-1] - len(text)
    if added_space not in (0, 1):
        return np.zeros(1, np.uint32)
    token_begins = np.r_[0, token_ends[:-1]] - added_space
    follows_space = np.frombuffer(text, np.uint8)[starts - 1] == SPACE
    indices = np.searchsorted(token_begins, starts - follows_space, side="right") - 1
    first_tokens: npt.NDArray[np.uint32] = np.unique(indices).astype(np.uint32)
    first_tokens[0] = 0
    return first_tokens
