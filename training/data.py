"""Reads packed shards: token arrays stay on disk, memory-mapped, and look like one long text with
borders.

Only the borders (documents, sentences, bytes) are held in memory. Windows for the causal model and
segment pairs for BERT are cut from that text at training time, so the same shards serve any
sequence length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64 = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.unsignedinteger[Any]]
"""Token ids as the shards hold them: uint16, or uint32 for large vocabularies."""


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

    `token_starts` and `byte_starts` (documents + 1) say where each document begins;
    `sentence_starts` holds every sentence's first token, and `sentence_rows` which of them belong
    to document d: [rows[d], rows[d + 1]).
    """

    def __init__(self, name: str, tables: Sequence[pa.Table]) -> None:
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

    def text(self, begin: int, end: int) -> Tokens:
        """Tokens [begin, end) of the whole text: a view where one block holds them all."""
        first = self._block_of(begin)
        last = self._block_of(max(begin, end - 1))
        parts = [self._block_slice(number, begin, end) for number in range(first, last + 1)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _block_slice(self, number: int, begin: int, end: int) -> Tokens:
        """What block `number` holds of the tokens [begin, end)."""
        start = int(self._block_starts[number])
        return self._blocks[number][max(0, begin - start) : end - start]

    def bytes_between(self, begin: int, end: int) -> float:
        """Bytes that tokens [begin, end) stand for; a document cut in two shares its bytes by
        tokens.
        """
        low, high = np.interp([begin, end], self.token_starts, self.byte_starts)
        return float(high - low)

    def _block_of(self, token: int) -> int:
        return int(np.searchsorted(self._block_starts[1:-1], token, side="right"))

    def _sentences(self, chunks: Sequence[pa.RecordBatch]) -> Int64:
        """Sentence offsets count from their document; shift them to the whole text."""
        if not chunks:
            return np.zeros(0, dtype=np.int64)
        local = np.concatenate([_values(batch["sentences"]) for batch in chunks]).astype(np.int64)
        return local + np.repeat(self.token_starts[:-1], np.diff(self.sentence_rows))


def _offsets(column: pa.ListArray) -> Int64:
    offsets: Int64 = column.offsets.to_numpy().astype(np.int64)
    return offsets


def _values(column: pa.ListArray) -> npt.NDArray[Any]:
    """The values of a list column as a view on the mapped file; a sliced column's neighbours are
    left out.
    """
    offsets = _offsets(column)
    values: npt.NDArray[Any] = column.values.to_numpy(zero_copy_only=True)
    return values[offsets[0] : offsets[-1]]


def _running(parts: Sequence[npt.NDArray[Any]]) -> Int64:
    """0 followed by running sums of all parts joined."""
    joined = np.concatenate([np.zeros(1, dtype=np.int64), *parts]).astype(np.int64)
    sums: Int64 = np.cumsum(joined)
    return sums


class CausalWindows:
    """Fixed windows over the stream `<s> text </s> <s> text </s> ...`.

    Each window holds `length` inputs and one more token, so that every token of the stream is a
    target once. <s> opens every document because generation starts from it; what follows </s> tells
    the model nothing, so <s> is no target.
    """

    def __init__(self, split: TokenSplit, length: int) -> None:
        self.split = split
        self.length = length
        # Each document takes two more places in the stream than it has tokens: <s> and </s>.
        self._starts = split.token_starts + 2 * np.arange(split.documents + 1)

    def __len__(self) -> int:
        return max(0, (int(self._starts[-1]) - 1) // self.length)

    def window(self, number: int) -> Int64:
        """The `length` + 1 tokens of one window."""
        begin = number * self.length
        end = begin + self.length + 1
        documents = np.arange(self._document_of(begin), self._document_of(end - 1) + 1)
        openings = self._starts[documents]
        endings = self._starts[documents + 1] - 1
        ids = np.empty(self.length + 1, dtype=np.int64)
        is_text = np.ones(self.length + 1, dtype=bool)
        for special, positions in ((Special.BOS, openings), (Special.EOS, endings)):
            in_window = positions[(positions >= begin) & (positions < end)] - begin
            ids[in_window] = special
            is_text[in_window] = False
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
        first = self.split.token_starts[document]
        after = self.split.token_starts[document + 1]
        # One less for the document's own <s>; beyond its text stands its </s>.
        tokens = position - self._starts[document] - 1
        return int(min(max(first, first + tokens), after))


@dataclass(frozen=True, slots=True)
class SegmentPair:
    """Two stretches of the text, as token ranges, and whether the second is from another document
    (None: no second).
    """

    first: tuple[int, int]
    second: tuple[int, int] | None
    from_elsewhere: bool | None


class DocumentChunks:
    """Documents cut at sentence ends into chunks of at most `capacity` tokens."""

    def __init__(self, split: TokenSplit, capacity: int) -> None:
        # Rows (begin, end, document), and where the chunks of each document begin.
        self._chunks, self._chunk_rows = _plan_chunks(split, capacity)

    def __len__(self) -> int:
        return len(self._chunks)

    def span(self, number: int) -> tuple[int, int]:
        """The tokens [begin, end) of a chunk."""
        begin, end = self._chunks[number, :2]
        return int(begin), int(end)

    def document_of(self, number: int) -> int:
        """Which document a chunk is from."""
        return int(self._chunks[number, 2])

    def count_of(self, document: int) -> int:
        """How many chunks a document has."""
        return int(self._chunk_rows[document + 1] - self._chunk_rows[document])

    def elsewhere(self, document: int, number: int) -> int:
        """The chunk with this number among those of all other documents."""
        is_before = number < self._chunk_rows[document]
        return number if is_before else number + self.count_of(document)


class SegmentPairs:
    """Chunks that fit one sequence; each yields one pair of segments."""

    def __init__(self, split: TokenSplit, length: int) -> None:
        self.split = split
        # Three tokens are special: [CLS] first [SEP] second [SEP].
        self.chunks = DocumentChunks(split, length - 3)

    def __len__(self) -> int:
        return len(self.chunks)

    def pair(self, number: int, rng: np.random.Generator) -> SegmentPair:
        """Cut chunk `number` at a sentence; half the time its second part is replaced by another
        document's text.

        The replacement starts at a chunk of the other document and is as long as what it replaces,
        where that document is long enough, so length does not give the answer away. A chunk of one
        sentence stays alone.
        """
        begin, end = self.chunks.span(number)
        document = self.chunks.document_of(number)
        cuts = self._cuts(begin, end, document)
        other_chunks = len(self) - self.chunks.count_of(document)
        if not len(cuts) or not other_chunks:
            return SegmentPair((begin, end), None, None)
        cut = int(rng.choice(cuts))
        if rng.random() < 0.5:
            return SegmentPair((begin, cut), (cut, end), False)
        donor = self.chunks.elsewhere(document, int(rng.integers(other_chunks)))
        donor_begin, donor_end = self.chunks.span(donor)
        same_length_end = donor_begin + end - cut
        return SegmentPair((begin, cut), (donor_begin, min(donor_end, same_length_end)), True)

    def _cuts(self, begin: int, end: int, document: int) -> Int64:
        """The sentence borders inside a chunk."""
        rows = self.split.sentence_rows
        sentences = self.split.sentence_starts[rows[document] : rows[document + 1]]
        low, high = np.searchsorted(sentences, [begin + 1, end])
        return sentences[low:high]


def _plan_chunks(split: TokenSplit, capacity: int) -> tuple[Int64, Int64]:
    """Chunks as rows (begin, end, document), and where the chunks of each document begin.

    A chunk has at most `capacity` tokens.
    """
    starts = split.token_starts.tolist()
    rows = split.sentence_rows.tolist()
    chunks: list[tuple[int, int, int]] = []
    chunk_rows = [0]
    for document in range(split.documents):
        begin = starts[document]
        after = starts[document + 1]
        sentences = split.sentence_starts[rows[document] : rows[document + 1]]
        while begin < after:
            end = _chunk_end(begin, after, sentences, capacity)
            chunks.append((begin, end, document))
            begin = end
        chunk_rows.append(len(chunks))
    table = np.array(chunks, dtype=np.int64).reshape(-1, 3)
    return table, np.array(chunk_rows, dtype=np.int64)


def _chunk_end(begin: int, after: int, sentences: Int64, capacity: int) -> int:
    """The last sentence border that still fits; within a sentence only where one sentence fills the
    chunk.
    """
    full = begin + capacity
    if after <= full:
        return after
    border = begin
    if len(sentences):
        border = int(sentences[np.searchsorted(sentences, full, side="right") - 1])
    return border if border > begin else full
