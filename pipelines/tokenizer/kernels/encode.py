"""Encode texts with a sentencepiece model: the same ids as sentencepiece, from a table of the
segments met before.

In: the bytes of a batch and the tables of `pipelines.tokenizer.encoding_tables`. Out: ids, and the
tokens at which sentences start. A text is split into segments (`kernels.segments`); the ids of
short ones are kept in a table (`kernels.segment_table`), all others are encoded by `kernels.merges`
(BPE) or `kernels.viterbi` (unigram).

A unigram model adds scores in single precision from the start of the text, so which of two
near-equal ways wins can depend on everything before. A segment's ids are taken from the table only
where its lead over every other way is more than rounding can make up there; elsewhere it is worked
out again from the sum so far, as sentencepiece does it.

Reference: sentencepiece itself in `tests/pipelines/tokenizer/test_encoder.py`.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import uint64

from pipelines.kernels.arrays import Bytes, Int32s, Int64s, UInt32s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.tokenizer.kernels.merges import (
    BpeModel,
    MergeWorkspace,
    merge_segment,
    spell_bytes,
)
from pipelines.tokenizer.kernels.segment_table import (
    MAX_ROW_BYTES,
    MAX_ROW_IDS,
    SegmentTable,
    copy_row,
    fill_row,
    find_row,
)
from pipelines.tokenizer.kernels.segments import Neighbours, load_text, split_segments
from pipelines.tokenizer.kernels.sentences import mark_sentences
from pipelines.tokenizer.kernels.viterbi import (
    RESET,
    UnigramModel,
    ViterbiWorkspace,
    measure_lead,
    walk_segment,
)

_BOUND_FACTOR = 2.0**-22
_RESET_MARGIN = 1.0


class TextBuffers(NamedTuple):
    """Arrays for one text, as long as the longest of the batch."""

    text: Bytes
    """Its bytes, with the space before it."""
    words: UInt64s
    """The same memory as words of 64 bits."""
    segment_ends: Int32s
    last_characters: Int32s
    token_stops: Int32s


class Fallback(NamedTuple):
    """What becomes of a character that no piece holds: its bytes, or the unknown piece."""

    byte_ids: Int32s
    byte_fallback: bool
    unknown: int


@inline_kernel
def _join_unknown_run(out: Int32s, first: int, count: int, begin: int, fallback: Fallback) -> int:
    """Ids left of a segment's `count` where an unknown one continues a run: sentencepiece writes a
    run as one."""
    _, byte_fallback, unknown = fallback
    if (
        not byte_fallback
        and count
        and first > begin
        and out[first] == unknown
        and out[first - 1] == unknown
    ):
        for i in range(1, count):
            out[first + i - 1] = out[first + i]
        return count - 1
    return count


@inline_kernel
def _is_single_character(at: int, end: int, character: np.uint64) -> bool:
    """Whether the segment's last character is all of it; a space that is written `▁` is passed
    over."""
    # The bounds of UTF-8: up to U+007F one byte, up to U+07FF two, up to U+FFFF three.
    return end - at == (
        1
        if character < uint64(0x80)
        else 2
        if character < uint64(0x800)
        else 3
        if character < uint64(0x10000)
        else 4
    )


@inline_kernel
def _append_character(
    text: Bytes,
    at: int,
    end: int,
    character: int,
    single_ids: Int32s,
    fallback: Fallback,
    begin: int,
    out: Int32s,
    written: int,
) -> int:
    """Append the ids of a segment of one character; returns how many ids there are then."""
    byte_ids, byte_fallback, unknown = fallback
    if single_ids[character] >= 0:
        out[written] = single_ids[character]
        return written + 1
    if byte_fallback:
        return spell_bytes(text, at, end, byte_ids, out, written)
    if written == begin or out[written - 1] != unknown:
        out[written] = unknown
        return written + 1
    return written


@compile_kernel
def _merge_and_store(
    text: Bytes,
    words: UInt64s,
    at: int,
    end: int,
    row: int,
    model: BpeModel,
    table: SegmentTable,
    workspace: MergeWorkspace,
    out: Int32s,
    written: int,
) -> int:
    """Append the ids of a segment without a row by BPE, and keep them in `row` where they fit;
    returns how many."""
    count = merge_segment(text, at, end, out, written, model, workspace)
    if end - at <= MAX_ROW_BYTES and count <= MAX_ROW_IDS:
        fill_row(table, row, words, at, end - at, out, written, count)
    return count


@compile_kernel
def _encode_bpe(
    data: Bytes,
    cuts: Int32s,
    prefix: bool,
    neighbours: Neighbours,
    model: BpeModel,
    single_ids: Int32s,
    sizes: Int32s,
    table: SegmentTable,
    workspace: MergeWorkspace,
    buffers: TextBuffers,
    out: Int32s,
    starts: UInt32s,
    ends: Int64s,
) -> None:
    text, words, segment_ends, last_characters, token_stops = buffers
    rows, long_ids, _ = table
    fallback = Fallback(model.byte_ids, model.byte_fallback, model.unknown)
    written = 0
    sentences = 0
    first = 1 if prefix else 0
    for document in range(cuts.shape[0] - 1):
        begin = written
        stop = load_text(data, cuts[document], cuts[document + 1], prefix, text)
        segments = 0
        if stop:
            segments = split_segments(text, stop, neighbours, segment_ends, last_characters)
        at = 0
        for segment in range(segments):
            end = segment_ends[segment]
            character = last_characters[segment]
            if _is_single_character(at, end, character):
                written = _append_character(
                    text, at, end, character, single_ids, fallback, begin, out, written
                )
            else:
                row = 0
                is_stored = False
                if end - at <= MAX_ROW_BYTES:
                    row, is_stored = find_row(rows, words, at, end - at)
                if is_stored:
                    count = copy_row(rows, long_ids, row, out, written)
                else:
                    count = _merge_and_store(
                        text, words, at, end, row, model, table, workspace, out, written
                    )
                written += _join_unknown_run(out, written, count, begin, fallback)
            at = end
        sentences = mark_sentences(
            text, first, stop, out, begin, written, sizes, token_stops, starts, sentences
        )
        ends[document, 0] = written
        ends[document, 1] = sentences


@inline_kernel
def _is_certain(lead: float, lowest: float, previous: np.float32, after: np.float32) -> bool:
    """Whether rounding between the sums `previous` and `after` cannot make up a lead for each
    character of the segment.

    And no sum on the way is taken off. Two ways of so many steps err by at most half a unit in
    the last place each step, 2 ** -24 of the sum, together 2 ** -23; the bound is twice that.
    """
    leads = lead > np.abs(np.float64(after)) * _BOUND_FACTOR
    stays_above = np.float64(previous) + lowest > np.float64(RESET) + _RESET_MARGIN
    return bool(leads and stays_above)


@compile_kernel
def _walk_and_store(
    text: Bytes,
    words: UInt64s,
    at: int,
    end: int,
    row: int,
    is_stored: bool,
    total: np.float32,
    model: UnigramModel,
    table: SegmentTable,
    workspace: ViterbiWorkspace,
    out: Int32s,
    written: int,
) -> tuple[np.float32, int]:
    """Append the ids of a segment behind a sum of `total`; returns sum and count.

    The ids that it has by itself are kept in `row`, if they are not yet.
    """
    if not is_stored and end - at <= MAX_ROW_BYTES:
        lead, lowest, count = measure_lead(text, at, end, out, written, model, workspace)
        if 0 <= count <= MAX_ROW_IDS:
            fill_row(table, row, words, at, end - at, out, written, count)
            table.leads[row, 0] = lead
            table.leads[row, 1] = lowest
    return walk_segment(text, at, end, total, out, written, model, workspace)


@compile_kernel
def _encode_unigram(
    data: Bytes,
    cuts: Int32s,
    prefix: bool,
    neighbours: Neighbours,
    model: UnigramModel,
    single_ids: Int32s,
    sizes: Int32s,
    table: SegmentTable,
    workspace: ViterbiWorkspace,
    buffers: TextBuffers,
    out: Int32s,
    starts: UInt32s,
    ends: Int64s,
) -> None:
    text, words, segment_ends, last_characters, token_stops = buffers
    rows, long_ids, leads = table
    scores = model.scores
    fallback = Fallback(model.byte_ids, model.byte_fallback, model.unknown)
    written = 0
    sentences = 0
    first = 1 if prefix else 0
    for document in range(cuts.shape[0] - 1):
        begin = written
        stop = load_text(data, cuts[document], cuts[document + 1], prefix, text)
        segments = 0
        if stop:
            segments = split_segments(text, stop, neighbours, segment_ends, last_characters)
        at = 0
        total = np.float32(0.0)  # the sum that sentencepiece has reached where a segment begins
        for segment in range(segments):
            end = segment_ends[segment]
            character = last_characters[segment]
            if _is_single_character(at, end, character):
                piece = single_ids[character]
                score = scores[piece] if piece >= 0 else model.unknown_score
                total = np.float32((np.float32(0.0) if total < RESET else total) + score)
                written = _append_character(
                    text, at, end, character, single_ids, fallback, begin, out, written
                )
            else:
                row = 0
                is_stored = False
                count = -1
                if end - at <= MAX_ROW_BYTES:
                    row, is_stored = find_row(rows, words, at, end - at)
                if is_stored:
                    count = copy_row(rows, long_ids, row, out, written)
                    after = np.float32(0.0) if total < RESET else total
                    for i in range(written, written + count):
                        after = np.float32(after + scores[out[i]])
                    if _is_certain(leads[row, 0], leads[row, 1], total, after):
                        total = after
                    else:
                        count = -1
                if count < 0:
                    total, count = _walk_and_store(
                        text,
                        words,
                        at,
                        end,
                        row,
                        is_stored,
                        total,
                        model,
                        table,
                        workspace,
                        out,
                        written,
                    )
                written += _join_unknown_run(out, written, count, begin, fallback)
            at = end
        sentences = mark_sentences(
            text, first, stop, out, begin, written, sizes, token_stops, starts, sentences
        )
        ends[document, 0] = written
        ends[document, 1] = sentences


def encode_bpe(
    data: Bytes,
    cuts: Int32s,
    prefix: bool,
    neighbours: tuple[Any, ...],
    model: tuple[Any, ...],
    single_ids: Int32s,
    sizes: Int32s,
    table: tuple[Any, ...],
    workspace: tuple[Any, ...],
    buffers: tuple[Any, ...],
    out: Int32s,
    starts: UInt32s,
    ends: Int64s,
) -> None:
    """Ids of all texts of `data` (cut at `cuts`) into `out`, the tokens at which their sentences
    start into `starts`.

    `ends` (texts, 2) gets where the ids and the starts of each text end. `prefix`: put a space
    before each text that is not empty. `single_ids` (code points,) are the ids of characters
    that are pieces, or -1. `sizes` (2, vocabulary) is explained at
    `sentences.locate_token_ends`. `out` is longer by INLINE_IDS than ids can be. The tuples are
    those of `Neighbours`, `BpeModel`, `SegmentTable`, `MergeWorkspace` and `TextBuffers`.
    """
    _encode_bpe(
        data,
        cuts,
        prefix,
        Neighbours(*neighbours),
        BpeModel(*model),
        single_ids,
        sizes,
        SegmentTable(*table),
        MergeWorkspace(*workspace),
        TextBuffers(*buffers),
        out,
        starts,
        ends,
    )


def encode_unigram(
    data: Bytes,
    cuts: Int32s,
    prefix: bool,
    neighbours: tuple[Any, ...],
    model: tuple[Any, ...],
    single_ids: Int32s,
    sizes: Int32s,
    table: tuple[Any, ...],
    workspace: tuple[Any, ...],
    buffers: tuple[Any, ...],
    out: Int32s,
    starts: UInt32s,
    ends: Int64s,
) -> None:
    """As `encode_bpe`, for a unigram model: `UnigramModel` and `ViterbiWorkspace`."""
    _encode_unigram(
        data,
        cuts,
        prefix,
        Neighbours(*neighbours),
        UnigramModel(*model),
        single_ids,
        sizes,
        SegmentTable(*table),
        ViterbiWorkspace(*workspace),
        TextBuffers(*buffers),
        out,
        starts,
        ends,
    )
