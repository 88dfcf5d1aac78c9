"""Reads packed shards: token arrays stay on disk, memory-mapped, and look like one long text with borders.

Only the borders (documents, sentences, bytes) are held in memory. Windows for the causal model and segment pairs for
BERT are cut from that text at training time, so the same shards serve any sequence length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


class Special(IntEnum):
    """Ids every Gristmill tokenizer fixes; text never encodes to them."""

    PAD = 0
    UNK = 1
    BOS = 2
    EOS = 3
    CLS = 4
    SEP = 5
    MASK = 6


FIRST_TEXT_ID = len(Special)


class TokenSplit:
    """The documents of one split, in shard order, as one text of `token_starts[-1]` tokens.

    `token_starts` and `byte_starts` (documents + 1) say where each document begins; `sentence_starts` holds every
    sentence's first token, and `sentence_rows` which of them belong to document d: [rows[d], rows[d + 1]).
    """

    def __init__(self, name: str, tables: Sequence[Any]) -> None:
        chunks = [batch for table in tables for batch in table.to_batches() if batch.num_rows]
        lengths = [np.diff(_offsets(batch["input_ids"])) for batch in chunks]
        self.name = name
        self._blocks = [_values(batch["input_ids"]) for batch in chunks]
        self._block_starts = _running([np.array([len(block)]) for block in self._blocks])
        self.token_starts = _running(lengths)
        self.byte_starts = _running(
            [batch["bytes"].to_numpy(zero_copy_only=False) for batch in chunks]
        )
        self.sentence_rows = _running([np.diff(_offsets(batch["sentences"])) for batch in chunks])
        self.sentence_starts = self._sentences(chunks)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.token_starts) - 1

    @property
    def tokens(self) -> int:
        """How many text tokens there are, specials not counted."""
        return int(self.token_starts[-1])

    @property
    def bytes(self) -> int:
        """How many UTF-8 bytes of text the tokens stand for."""
        return int(self.byte_starts[-1])

    def text(self, begin: int, end: int) -> NDArray[np.unsignedinteger[Any]]:
        """Tokens [begin, end) of the whole text: a view where one block holds them all."""
        first, last = self._block_of(begin), self._block_of(max(begin, end - 1))
        pieces = [
            self._blocks[i][max(0, begin - self._block_starts[i]) : end - self._block_starts[i]]
            for i in range(first, last + 1)
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def bytes_between(self, begin: int, end: int) -> float:
        """Bytes that tokens [begin, end) stand for; a document cut in two shares its bytes by tokens."""
        low, high = np.interp([begin, end], self.token_starts, self.byte_starts)
        return float(high - low)

    def _block_of(self, token: int) -> int:
        return int(np.searchsorted(self._block_starts[1:-1], token, side="right"))

    def _sentences(self, chunks: Sequence[Any]) -> Int64:
        """Sentence offsets count from their document; shift them to the whole text."""
        if not chunks:
            return np.zeros(0, dtype=np.int64)
        local = np.concatenate([_values(batch["sentences"]) for batch in chunks]).astype(np.int64)
        return local + np.repeat(self.token_starts[:-1], np.diff(self.sentence_rows))


def _offsets(column: Any) -> Int64:
    offsets: Int64 = column.offsets.to_numpy().astype(np.int64)
    return offsets


def _values(column: Any) -> NDArray[Any]:
    """The values of a list column as a view on the mapped file; a sliced column's neighbours are left out."""
    offsets = _offsets(column)
    values: NDArray[Any] = column.values.to_numpy(zero_copy_only=True)
    return values[offsets[0] : offsets[-1]]


def _running(parts: Sequence[NDArray[Any]]) -> Int64:
    """0 followed by running sums of all parts joined."""
    joined = np.concatenate([np.zeros(1, dtype=np.int64), *parts]).astype(np.int64)
    sums: Int64 = np.cumsum(joined)
    return sums


class CausalWindows:
    """Fixed windows over the stream `<s> text </s> <s> text </s> ...`.

    Each window holds `length` inputs and one more token, so that every token of the stream is a target once. <s> opens
    every document because generation starts from it; what follows </s> tells the model nothing, so <s> is no target.
    """

    def __init__(self, split: TokenSplit, length: int) -> None:
        self.split, self.length = split, length
        self._starts = split.token_starts + 2 * np.arange(split.documents + 1)

    def __len__(self) -> int:
        return max(0, (int(self._starts[-1]) - 1) // self.length)

    def window(self, number: int) -> Int64:
        """The `length` + 1 tokens of one window."""
        begin = number * self.length
        end = begin + self.length + 1
        documents = np.arange(self._document_of(begin), self._document_of(end - 1) + 1)
        ids = np.empty(self.length + 1, dtype=np.int64)
        is_text = np.ones(self.length + 1, dtype=bool)
        for special, places in (
            (Special.BOS, self._starts[documents]),
            (Special.EOS, self._starts[documents + 1] - 1),
        ):
            inside = places[(places >= begin) & (places < end)] - begin
            ids[inside], is_text[inside] = special, False
        ids[is_text] = self.split.text(*self._text_between(begin, end))
        return ids

    def target_bytes(self, number: int) -> float:
        """How many bytes of text the window's targets (all but its first token) stand for."""
        begin = number * self.length
        return self.split.bytes_between(*self._text_between(begin + 1, begin + self.length + 1))

    def _document_of(self, position: int) -> int:
        return int(np.searchsorted(self._starts, position, side="right")) - 1

    def _text_between(self, begin: int, end: int) -> tuple[int, int]:
        return self._text_before(begin), self._text_before(end)

    def _text_before(self, position: int) -> int:
        """How many text tokens come before a position of the stream."""
        document = min(self._document_of(position), self.split.documents - 1)
        first, after = self.split.token_starts[document], self.split.token_starts[document + 1]
        return int(min(max(first, first + position - self._starts[document] - 1), after))


@dataclass(frozen=True, slots=True)
class SegmentPair:
    """Two stretches of the text, as token ranges, and whether the second is from another document (None: no second)."""

    first: tuple[int, int]
    second: tuple[int, int] | None
    from_elsewhere: bool | None


class SegmentPairs:
    """Documents cut at sentence ends into chunks that fit one sequence; each chunk yields one pair of segments."""

    def __init__(self, split: TokenSplit, length: int) -> None:
        self.split = split
        self._chunks, self._chunk_rows = _plan_chunks(
            split, length - 3
        )  # [CLS] first [SEP] second [SEP]

    def __len__(self) -> int:
        return len(self._chunks)

    def pair(self, number: int, rng: np.random.Generator) -> SegmentPair:
        """Cut chunk `number` at a sentence; half the time its second part is replaced by another document's text.

        The replacement starts at a chunk of the other document and is as long as what it replaces, where that
        document is long enough, so length does not give the answer away. A chunk of one sentence stays alone.
        """
        begin, end, document = (int(value) for value in self._chunks[number])
        cuts = self._cuts(begin, end, document)
        low, high = self._chunk_rows[document], self._chunk_rows[document + 1]
        others = len(self) - (high - low)
        if not len(cuts) or not others:
            return SegmentPair((begin, end), None, None)
        cut = int(rng.choice(cuts))
        if rng.random() < 0.5:
            return SegmentPair((begin, cut), (cut, end), False)
        donor = int(rng.integers(others))
        donor += int(high - low) if donor >= low else 0
        donor_begin, donor_end = (int(value) for value in self._chunks[donor, :2])
        return SegmentPair(
            (begin, cut), (donor_begin, min(donor_end, donor_begin + end - cut)), True
        )

    def document_of(self, number: int) -> int:
        """Which document a chunk is from."""
        return int(self._chunks[number, 2])

    def _cuts(self, begin: int, end: int, document: int) -> Int64:
        rows = self.split.sentence_rows
        sentences = self.split.sentence_starts[rows[document] : rows[document + 1]]
        low, high = np.searchsorted(sentences, [begin + 1, end])
        return sentences[low:high]


def _plan_chunks(split: TokenSplit, room: int) -> tuple[Int64, Int64]:
    """Chunks as rows (begin, end, document), and where the chunks of each document begin."""
    starts, sentences, rows = (
        split.token_starts.tolist(),
        split.sentence_starts,
        split.sentence_rows.tolist(),
    )
    chunks: list[tuple[int, int, int]] = []
    chunk_rows = [0]
    for document in range(split.documents):
        begin, after = starts[document], starts[document + 1]
        own = sentences[rows[document] : rows[document + 1]]
        while begin < after:
            end = _chunk_end(begin, after, own, room)
            chunks.append((begin, end, document))
            begin = end
        chunk_rows.append(len(chunks))
    return np.array(chunks, dtype=np.int64).reshape(-1, 3), np.array(chunk_rows, dtype=np.int64)


def _chunk_end(begin: int, after: int, sentences: Int64, room: int) -> int:
    """The last sentence border that still fits; within a sentence only where one sentence fills the room."""
    if after - begin <= room:
        return after
    border = (
        int(sentences[np.searchsorted(sentences, begin + room, side="right") - 1])
        if len(sentences)
        else begin
    )
    return border if border > begin else begin + room
