"""The quality signals of Gopher, C4 and FineWeb for every document of a batch, in one pass over its tokens and lines.

Columns are named in FIELDS; `pipelines.annotate.signals.table` says what each means and where it comes from.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pipelines.annotate.kernels.chinese import load_chinese_words, segment_chinese
from pipelines.annotate.kernels.chinese import make_empty_chinese_words as no_chinese_words
from pipelines.annotate.kernels.external_tokens import (
    ExternalTokens,
    copy_external_tokens,
    make_empty_tokens,
)
from pipelines.annotate.kernels.repetition import ngram_chars, repeated_spans, table_size
from pipelines.annotate.kernels.thai import load_thai_words, segment_thai
from pipelines.annotate.kernels.thai import make_empty_thai_words as no_thai_words
from pipelines.annotate.kernels.token_classes import TERMINAL, build_arabic_flag_table
from pipelines.annotate.kernels.tokens import (
    build_token_tables,
    describe_tokens,
    read_code_points,
    split_tokens,
)
from pipelines.kernels.unicode import DIGIT, SPACE, build_class_table
from pipelines.kernels.words import BASIS, PRIME, contains, decode_point, mix64

FIELDS = (
    "chars",
    "words",
    "mean_word_length",
    "alpha_word_ratio",
    "stop_words",
    "symbol_word_ratio",
    "lines",
    "bullet_line_ratio",
    "ellipsis_line_ratio",
    "terminal_line_ratio",
    "short_line_ratio",
    "newline_word_ratio",
    "sentences",
    "digit_ratio",
    "curly_braces",
    "dup_line_ratio",
    "dup_line_char_ratio",
    "dup_paragraph_ratio",
    "dup_paragraph_char_ratio",
    "top_2gram_ratio",
    "top_3gram_ratio",
    "top_4gram_ratio",
    "dup_5gram_ratio",
    "dup_6gram_ratio",
    "dup_7gram_ratio",
    "dup_8gram_ratio",
    "dup_9gram_ratio",
    "dup_10gram_ratio",
    "dup_line_text_ratio",
)
"""The columns of `quality`, in order."""

SPACED, CHINESE, THAI, EXTERNAL, ARABIC = range(5)
"""What a document is cut by: `split_tokens`, `cut_chinese`, `cut_thai`, a library (`Given`), `split_tokens` with the flags for Arabic."""

SHORT_LINE = 30
"""Characters up to which FineWeb calls a line short."""

_SENTENCE_END = np.array([ord(c) for c in ".!?。！？؟۔।…"], np.uint32)
_BULLETS = np.array([ord(c) for c in "•‣▪◦●○·*-–"], np.uint32)


@njit(nogil=True, cache=True)
def _token_signals(row, count, lengths, hashes, letters, symbols, stops):  # type: ignore[no-untyped-def]
    """Fill columns 1 to 4: words, mean length, share of tokens with a letter, distinct stop words."""
    words, total, alpha, seen = 0, 0, 0, uint64(0)
    for i in range(count):
        if not symbols[i]:
            words += 1
            total += lengths[i]
        alpha += letters[i]
        if stops.shape[0]:
            at = np.searchsorted(stops, hashes[i])
            if at < stops.shape[0] and stops[at] == hashes[i]:
                seen |= uint64(1) << uint64(at & 63)
    distinct = 0
    while seen:
        seen &= seen - uint64(1)
        distinct += 1
    row[1], row[4] = words, distinct
    row[2] = total / words if words else 0.0
    row[3] = alpha / count if count else 0.0


@njit(nogil=True, cache=True)
def _scan(
    row, data, start, stop, classes, flags, tokens, line_hash, line_chars, part_hash, part_chars
):  # type: ignore[no-untyped-def]
    """Fill the columns of characters and lines (5 to 14); returns how many lines, paragraphs and line breaks there are."""
    lines, parts = 0, 0
    signs, dotted, digits, ends, newlines, braces = 0, 0, 0, 0, 0, 0
    bullets, ellipses, terminals, shorts = 0, 0, 0, 0
    h, chars, first, last, dots = BASIS, 0, np.uint32(0), np.uint32(0), 0
    ph, pchars = uint64(0), 0
    at = start
    previous_end = False
    while at <= stop:
        code, size = (10, 1) if at == stop else decode_point(data, at)
        kind = classes[code] if code < classes.shape[0] else 0
        if code == 10:
            newlines += at < stop
            if chars:
                line_hash[lines], line_chars[lines] = mix64(h), chars
                lines += 1
                bullets += contains(first, _BULLETS)
                ellipses += last == 0x2026 or dots >= 3
                terminals += last < flags.shape[0] and (flags[last] & TERMINAL) != 0
                shorts += chars <= SHORT_LINE
                ph, pchars = mix64(ph ^ h), pchars + chars
            if (chars == 0 or at == stop) and pchars:
                part_hash[parts], part_chars[parts] = ph, pchars
                parts += 1
                ph, pchars = uint64(0), 0
            h, chars, dots, previous_end = BASIS, 0, 0, False
        elif kind != SPACE or chars:
            if kind != SPACE:
                if chars == 0:
                    first = np.uint32(code)
                last = np.uint32(code)
                dots = dots + 1 if code == 0x2E else 0
            chars += 1
            h = (h ^ uint64(code)) * PRIME
            signs += code == 0x23
            dotted += code == 0x2026 or (code == 0x2E and dots == 3)
            digits += kind == DIGIT
            braces += code == 0x7B
            is_end = contains(np.uint32(code), _SENTENCE_END)
            ends += is_end and not previous_end
            previous_end = is_end
        at += size
    row[5] = max(signs, dotted) / tokens if tokens else 0.0
    row[6] = lines
    per_line = 1.0 / lines if lines else 0.0
    row[7], row[8], row[9], row[10] = (
        bullets * per_line,
        ellipses * per_line,
        terminals * per_line,
        shorts * per_line,
    )
    row[11] = newlines / tokens if tokens else 0.0
    row[12], row[13], row[14] = ends, digits / row[0] if row[0] else 0.0, braces
    return lines, parts, newlines


class Workspace(NamedTuple):
    """Arrays to work in, as long as the longest document: its characters, tokens, lines, paragraphs, n-grams."""

    points: np.ndarray
    flags: np.ndarray
    score: np.ndarray
    back: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    held: np.ndarray
    lengths: np.ndarray
    hashes: np.ndarray
    letters: np.ndarray
    symbols: np.ndarray
    line_hash: np.ndarray
    line_chars: np.ndarray
    part_hash: np.ndarray
    part_chars: np.ndarray
    keys: np.ndarray
    places: np.ndarray
    firsts: np.ndarray
    numbers: np.ndarray
    table: np.ndarray


def _room_for(size: int) -> Workspace:
    """Room for a document of `size` bytes; what is not used is never touched, and so costs no memory."""
    others = {
        "flags": "u2",
        "score": "f8",
        "back": "u1",
        "hashes": "u8",
        "letters": "?",
        "symbols": "?",
        "line_hash": "u8",
        "line_chars": "i8",
        "part_hash": "u8",
        "part_chars": "i8",
        "keys": "u8",
    }
    sizes = {"back": 4 * (size + 2), "table": table_size(size + 2)}
    return Workspace(
        **{
            name: np.empty(sizes.get(name, size + 2), others.get(name, "i4"))
            for name in Workspace._fields
        }
    )


@njit(nogil=True, cache=True)
def _cut(cutter, chars, given, first, last, tables, chinese, thai, room):  # type: ignore[no-untyped-def]
    """Fill the starts and ends of a document's tokens; returns how many."""
    points, flags, starts, ends = room.points, room.flags, room.starts, room.ends
    if cutter == CHINESE:
        return segment_chinese(
            points, flags, chars, chinese, room.score, room.held, room.back, starts, ends
        )
    if cutter == THAI:
        return segment_thai(points, flags, chars, thai, starts, ends)
    if cutter == EXTERNAL:
        return copy_external_tokens(given[0], given[1], first, last, starts, ends)
    return split_tokens(points, flags, chars, tables, starts, ends, room.held)


@njit(nogil=True, cache=True)
def _repetitions(row, chars, tokens, lines, parts, newlines, room):  # type: ignore[no-untyped-def]
    """Fill the columns of repeated lines, paragraphs and n-grams (15 to 28)."""
    per_char = 1.0 / chars if chars else 0.0
    spans, inside = repeated_spans(room.line_hash, room.line_chars, lines, room.table, room.firsts)
    row[15], row[16] = (spans / lines if lines else 0.0), inside * per_char
    row[28] = inside / (chars - newlines) if inside else 0.0
    spans, inside = repeated_spans(room.part_hash, room.part_chars, parts, room.table, room.firsts)
    row[17], row[18] = (spans / parts if parts else 0.0), inside * per_char
    ngram_chars(
        room.hashes,
        room.lengths,
        tokens,
        room.keys,
        room.places,
        room.firsts,
        room.numbers,
        room.table,
        row[19:28],
    )
    for n in range(19, 28):
        row[n] *= per_char


@njit(nogil=True, cache=True)
def _quality(
    data,
    offsets,
    stops,
    stop_cuts,
    languages,
    cutters,
    given,
    classes,
    tables,
    chinese,
    thai,
    arabic,
    room,
    out,
):  # type: ignore[no-untyped-def]
    for d in range(offsets.shape[0] - 1):
        row = out[d]
        flags = arabic if cutters[d] == ARABIC else tables[0]
        chars = read_code_points(data, offsets[d], offsets[d + 1], flags, room.points, room.flags)
        tokens = _cut(
            cutters[d], chars, given, given[2][d], given[2][d + 1], tables, chinese, thai, room
        )
        describe_tokens(
            room.points,
            room.flags,
            room.starts,
            room.ends,
            tokens,
            room.lengths,
            room.hashes,
            room.letters,
            room.symbols,
        )
        row[0] = chars
        mine = stops[stop_cuts[languages[d]] : stop_cuts[languages[d] + 1]]
        _token_signals(row, tokens, room.lengths, room.hashes, room.letters, room.symbols, mine)
        lines, parts, newlines = _scan(
            row,
            data,
            offsets[d],
            offsets[d + 1],
            classes,
            tables[0],
            tokens,
            room.line_hash,
            room.line_chars,
            room.part_hash,
            room.part_chars,
        )
        _repetitions(row, chars, tokens, lines, parts, newlines, room)


def measure_quality(
    data: np.ndarray,
    offsets: np.ndarray,
    languages: np.ndarray,
    stop_lists: list[np.ndarray],
    cutters: np.ndarray,
    given: ExternalTokens | None = None,
) -> np.ndarray:
    """float64 (n, len(FIELDS)) for n documents in UTF-8 `data` cut by `offsets` (n + 1).

    `languages[i]` is the index into `stop_lists` (sorted uint64 token hashes, at most 64 each) for document i;
    `cutters[i]` is what it is cut by: SPACED, CHINESE, THAI, GIVEN or ARABIC; `given` holds the tokens of those cut elsewhere.
    """
    out = np.zeros((len(offsets) - 1, len(FIELDS)), np.float64)
    stops = np.concatenate([np.zeros(0, np.uint64), *stop_lists])
    cuts = np.cumsum([0, *map(len, stop_lists)])
    tokens, room = (
        given or make_empty_tokens(len(out)),
        _room_for(int(np.diff(offsets).max(initial=0))),
    )
    _quality(
        data,
        np.asarray(offsets, np.int64),
        stops,
        cuts.astype(np.int64),
        np.asarray(languages, np.int64),
        np.asarray(cutters, np.uint8),
        (tokens.starts, tokens.ends, tokens.cuts),
        build_class_table(),
        build_token_tables(),
        load_chinese_words() if CHINESE in cutters else no_chinese_words(),
        load_thai_words() if THAI in cutters else no_thai_words(),
        build_arabic_flag_table(),
        room,
        out,
    )
    return out
