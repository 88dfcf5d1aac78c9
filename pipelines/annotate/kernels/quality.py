"""The quality signals of Gopher, C4 and FineWeb for every document of a batch, in one pass over its
tokens and lines.

Columns are named in FIELDS; `pipelines.annotate.signals.table` says what each means and where it
comes from.
"""

from typing import NamedTuple

import numpy as np
from numba import uint64

from pipelines.annotate.kernels.chinese import segment_chinese
from pipelines.annotate.kernels.chinese_tables import (
    ChineseWords,
    load_chinese_words,
    make_empty_chinese_words,
)
from pipelines.annotate.kernels.external_tokens import (
    ExternalTokens,
    copy_external_tokens,
    make_empty_tokens,
)
from pipelines.annotate.kernels.repetition import (
    choose_table_size,
    count_repeated_spans,
    measure_ngrams,
)
from pipelines.annotate.kernels.thai import segment_thai
from pipelines.annotate.kernels.thai_tables import ThaiWords, load_thai_words, make_empty_thai_words
from pipelines.annotate.kernels.token_classes import TERMINAL, build_arabic_flag_table
from pipelines.annotate.kernels.tokens import (
    TokenTables,
    build_token_tables,
    describe_tokens,
    read_code_points,
    split_tokens,
)
from pipelines.kernels.arrays import (
    Bools,
    Bytes,
    Float64s,
    Int32s,
    Int64s,
    Integers,
    UInt16s,
    UInt64s,
)
from pipelines.kernels.compile import compile_kernel
from pipelines.kernels.line_hashes import NEWLINE
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

_CHARS = FIELDS.index("chars")
_WORDS = FIELDS.index("words")
_MEAN_WORD_LENGTH = FIELDS.index("mean_word_length")
_ALPHA_WORD_RATIO = FIELDS.index("alpha_word_ratio")
_STOP_WORDS = FIELDS.index("stop_words")
_SYMBOL_WORD_RATIO = FIELDS.index("symbol_word_ratio")
_LINES = FIELDS.index("lines")
_BULLET_LINE_RATIO = FIELDS.index("bullet_line_ratio")
_ELLIPSIS_LINE_RATIO = FIELDS.index("ellipsis_line_ratio")
_TERMINAL_LINE_RATIO = FIELDS.index("terminal_line_ratio")
_SHORT_LINE_RATIO = FIELDS.index("short_line_ratio")
_NEWLINE_WORD_RATIO = FIELDS.index("newline_word_ratio")
_SENTENCES = FIELDS.index("sentences")
_DIGIT_RATIO = FIELDS.index("digit_ratio")
_CURLY_BRACES = FIELDS.index("curly_braces")
_DUP_LINE_RATIO = FIELDS.index("dup_line_ratio")
_DUP_LINE_CHAR_RATIO = FIELDS.index("dup_line_char_ratio")
_DUP_PARAGRAPH_RATIO = FIELDS.index("dup_paragraph_ratio")
_DUP_PARAGRAPH_CHAR_RATIO = FIELDS.index("dup_paragraph_char_ratio")
_FIRST_NGRAM_RATIO = FIELDS.index("top_2gram_ratio")
_LAST_NGRAM_RATIO = FIELDS.index("dup_10gram_ratio")
_DUP_LINE_TEXT_RATIO = FIELDS.index("dup_line_text_ratio")

SPACED, CHINESE, THAI, EXTERNAL, ARABIC = range(5)
"""What splits a document into tokens: `split_tokens`, `segment_chinese`, `segment_thai`, a library
(`ExternalTokens`), `split_tokens` with the flags for Arabic."""

SHORT_LINE = 30
"""Characters up to which FineWeb calls a line short."""

_ELLIPSIS = 0x2026
_HASH_SIGN = 0x23
_FULL_STOP = 0x2E
_OPEN_BRACE = 0x7B
_ELLIPSIS_DOTS = 3
"""Full stops in a row that count as an ellipsis."""

_SENTENCE_END = np.array([ord(char) for char in ".!?。！？؟۔।…"], np.uint32)
_BULLETS = np.array([ord(char) for char in "•‣▪◦●○·*-–"], np.uint32)


class Workspace(NamedTuple):
    """Arrays that one call reuses for every document, as long as the longest document's bytes.

    A document has no more code points, tokens, lines or n-grams than bytes, so no kernel checks
    a bound.
    """

    code_points: Int32s
    flags: UInt16s
    """Flags of `token_classes`, one for each code point."""
    score: Float64s
    back_pointers: Bytes
    """Four for each code point: the states of the hidden Markov model."""
    starts: Int32s
    ends: Int32s
    """Of tokens, in code points."""
    suffix_starts: Int32s
    lengths: Int32s
    hashes: UInt64s
    letters: Bools
    symbols: Bools
    line_hashes: UInt64s
    line_chars: Int64s
    paragraph_hashes: UInt64s
    paragraph_chars: Int64s
    keys: UInt64s
    """From here on for repeated spans: see `pipelines.annotate.kernels.repetition`."""
    positions: Int32s
    firsts: Int32s
    occurrences: Int32s
    table: Int32s


def _make_workspace(size: int) -> Workspace:
    """Arrays for documents of up to `size` bytes. Pages that no kernel touches cost no memory."""
    # Two more: segmenters write an end behind the last token, and an empty batch still needs one
    # slot.
    slots = size + 2
    return Workspace(
        code_points=np.empty(slots, np.int32),
        flags=np.empty(slots, np.uint16),
        score=np.empty(slots, np.float64),
        back_pointers=np.empty(4 * slots, np.uint8),
        starts=np.empty(slots, np.int32),
        ends=np.empty(slots, np.int32),
        suffix_starts=np.empty(slots, np.int32),
        lengths=np.empty(slots, np.int32),
        hashes=np.empty(slots, np.uint64),
        letters=np.empty(slots, np.bool_),
        symbols=np.empty(slots, np.bool_),
        line_hashes=np.empty(slots, np.uint64),
        line_chars=np.empty(slots, np.int64),
        paragraph_hashes=np.empty(slots, np.uint64),
        paragraph_chars=np.empty(slots, np.int64),
        keys=np.empty(slots, np.uint64),
        positions=np.empty(slots, np.int32),
        firsts=np.empty(slots, np.int32),
        occurrences=np.empty(slots, np.int32),
        table=np.empty(choose_table_size(slots), np.int32),
    )


@compile_kernel
def _fill_token_signals(
    row: Float64s,
    count: int,
    lengths: Int32s,
    hashes: UInt64s,
    letters: Bools,
    symbols: Bools,
    stop_hashes: UInt64s,
) -> None:
    """Fill the columns of words, mean length, share of tokens with a letter, and distinct stop
    words."""
    words = 0
    total = 0
    alpha = 0
    # One bit for each stop word of the list, which has at most 64.
    seen = uint64(0)
    for i in range(count):
        if not symbols[i]:
            words += 1
            total += lengths[i]
        alpha += letters[i]
        if stop_hashes.shape[0]:
            at = np.searchsorted(stop_hashes, hashes[i])
            if at < stop_hashes.shape[0] and stop_hashes[at] == hashes[i]:
                seen |= uint64(1) << uint64(at & 63)
    distinct = 0
    while seen:
        seen &= seen - uint64(1)  # clears the lowest bit that is set
        distinct += 1
    row[_WORDS] = words
    row[_STOP_WORDS] = distinct
    row[_MEAN_WORD_LENGTH] = total / words if words else 0.0
    row[_ALPHA_WORD_RATIO] = alpha / count if count else 0.0


@compile_kernel
def _fill_line_signals(
    row: Float64s,
    data: Bytes,
    start: int,
    stop: int,
    classes: Bytes,
    flags: UInt16s,
    tokens: int,
    line_hashes: UInt64s,
    line_chars: Int64s,
    paragraph_hashes: UInt64s,
    paragraph_chars: Int64s,
) -> tuple[int, int, int]:
    """Fill the columns of characters and lines; returns how many lines, paragraphs and line breaks
    there are.

    Blank lines are none; a paragraph is what lies between blank lines. White space at both ends
    of a line does not change its hash, as far as it stands before the first other character.
    """
    lines = 0
    paragraphs = 0
    hash_signs = 0
    ellipsis_count = 0
    digits = 0
    sentence_ends = 0
    newlines = 0
    braces = 0
    bullets = 0
    ellipsis_lines = 0
    terminals = 0
    shorts = 0
    line_digest = BASIS
    chars = 0
    first = np.uint32(0)
    last = np.uint32(0)
    dots = 0
    paragraph_digest = uint64(0)
    open_chars = 0  # of the paragraph that has not ended
    at = start
    after_sentence_end = False
    # One step behind the text: its end closes a line and a paragraph as a line break does.
    while at <= stop:
        code, size = (NEWLINE, 1) if at == stop else decode_point(data, at)
        char_class = classes[code] if code < classes.shape[0] else 0
        if code == NEWLINE:
            newlines += at < stop
            if chars:
                line_hashes[lines] = mix64(line_digest)
                line_chars[lines] = chars
                lines += 1
                bullets += contains(_BULLETS, first)
                ellipsis_lines += last == _ELLIPSIS or dots >= _ELLIPSIS_DOTS
                terminals += last < flags.shape[0] and (flags[last] & TERMINAL) != 0
                shorts += chars <= SHORT_LINE
                paragraph_digest = mix64(paragraph_digest ^ line_digest)
                open_chars = open_chars + chars
            if (chars == 0 or at == stop) and open_chars:
                paragraph_hashes[paragraphs] = paragraph_digest
                paragraph_chars[paragraphs] = open_chars
                paragraphs += 1
                paragraph_digest = uint64(0)
                open_chars = 0
            line_digest = BASIS
            chars = 0
            dots = 0
            after_sentence_end = False
        elif char_class != SPACE or chars:
            if char_class != SPACE:
                if chars == 0:
                    first = np.uint32(code)
                last = np.uint32(code)
                dots = dots + 1 if code == _FULL_STOP else 0
            chars += 1
            line_digest = (line_digest ^ uint64(code)) * PRIME
            hash_signs += code == _HASH_SIGN
            ellipsis_count += code == _ELLIPSIS or (code == _FULL_STOP and dots == _ELLIPSIS_DOTS)
            digits += char_class == DIGIT
            braces += code == _OPEN_BRACE
            is_sentence_end = contains(_SENTENCE_END, np.uint32(code))
            # "?!" and "..." end one sentence.
            sentence_ends += is_sentence_end and not after_sentence_end
            after_sentence_end = is_sentence_end
        at += size
    per_line = 1.0 / lines if lines else 0.0
    row[_SYMBOL_WORD_RATIO] = max(hash_signs, ellipsis_count) / tokens if tokens else 0.0
    row[_LINES] = lines
    row[_BULLET_LINE_RATIO] = bullets * per_line
    row[_ELLIPSIS_LINE_RATIO] = ellipsis_lines * per_line
    row[_TERMINAL_LINE_RATIO] = terminals * per_line
    row[_SHORT_LINE_RATIO] = shorts * per_line
    row[_NEWLINE_WORD_RATIO] = newlines / tokens if tokens else 0.0
    row[_SENTENCES] = sentence_ends
    row[_DIGIT_RATIO] = digits / row[_CHARS] if row[_CHARS] else 0.0
    row[_CURLY_BRACES] = braces
    return lines, paragraphs, newlines


class DocumentTokens(NamedTuple):
    """What splits the documents of a batch: which way each takes, and the tables of every way."""

    segmenters: Bytes
    """SPACED, CHINESE, THAI, EXTERNAL or ARABIC, one for each document."""
    external: ExternalTokens
    tables: TokenTables
    arabic_flags: UInt16s
    chinese: ChineseWords
    thai: ThaiWords


@compile_kernel
def _segment_document(
    document: int, chars: int, sources: DocumentTokens, workspace: Workspace
) -> int:
    """Fill the starts and ends of a document's tokens; returns how many."""
    code_points = workspace.code_points
    flags = workspace.flags
    starts = workspace.starts
    ends = workspace.ends
    segmenter = sources.segmenters[document]
    if segmenter == CHINESE:
        return segment_chinese(
            code_points,
            flags,
            chars,
            sources.chinese,
            workspace.score,
            workspace.suffix_starts,
            workspace.back_pointers,
            starts,
            ends,
        )
    if segmenter == THAI:
        return segment_thai(code_points, flags, chars, sources.thai, starts, ends)
    if segmenter == EXTERNAL:
        external = sources.external
        first = external.cuts[document]
        last = external.cuts[document + 1]
        return copy_external_tokens(external.starts, external.ends, first, last, starts, ends)
    return split_tokens(
        code_points, flags, chars, sources.tables, starts, ends, workspace.suffix_starts
    )


@compile_kernel
def _fill_repetitions(
    row: Float64s,
    chars: int,
    tokens: int,
    lines: int,
    paragraphs: int,
    newlines: int,
    workspace: Workspace,
) -> None:
    """Fill the columns of repeated lines, paragraphs and n-grams."""
    per_char = 1.0 / chars if chars else 0.0
    table = workspace.table
    firsts = workspace.firsts
    repeated, repeated_chars = count_repeated_spans(
        workspace.line_hashes, workspace.line_chars, lines, table, firsts
    )
    row[_DUP_LINE_RATIO] = repeated / lines if lines else 0.0
    row[_DUP_LINE_CHAR_RATIO] = repeated_chars * per_char
    # Without line breaks, which belong to no line.
    row[_DUP_LINE_TEXT_RATIO] = repeated_chars / (chars - newlines) if repeated_chars else 0.0
    repeated, repeated_chars = count_repeated_spans(
        workspace.paragraph_hashes, workspace.paragraph_chars, paragraphs, table, firsts
    )
    row[_DUP_PARAGRAPH_RATIO] = repeated / paragraphs if paragraphs else 0.0
    row[_DUP_PARAGRAPH_CHAR_RATIO] = repeated_chars * per_char
    measure_ngrams(
        workspace.hashes,
        workspace.lengths,
        tokens,
        workspace.keys,
        workspace.positions,
        firsts,
        workspace.occurrences,
        table,
        row[_FIRST_NGRAM_RATIO : _LAST_NGRAM_RATIO + 1],
    )
    for column in range(_FIRST_NGRAM_RATIO, _LAST_NGRAM_RATIO + 1):
        row[column] *= per_char


@compile_kernel
def _measure_document(
    row: Float64s,
    document: int,
    data: Bytes,
    start: int,
    stop: int,
    stop_hashes: UInt64s,
    classes: Bytes,
    sources: DocumentTokens,
    workspace: Workspace,
) -> None:
    """Fill the columns of one document."""
    flags = sources.tables.flags
    if sources.segmenters[document] == ARABIC:
        flags = sources.arabic_flags
    chars = read_code_points(data, start, stop, flags, workspace.code_points, workspace.flags)
    tokens = _segment_document(document, chars, sources, workspace)
    describe_tokens(
        workspace.code_points,
        workspace.flags,
        workspace.starts,
        workspace.ends,
        tokens,
        workspace.lengths,
        workspace.hashes,
        workspace.letters,
        workspace.symbols,
    )
    row[_CHARS] = chars
    _fill_token_signals(
        row,
        tokens,
        workspace.lengths,
        workspace.hashes,
        workspace.letters,
        workspace.symbols,
        stop_hashes,
    )
    lines, paragraphs, newlines = _fill_line_signals(
        row,
        data,
        start,
        stop,
        classes,
        sources.tables.flags,
        tokens,
        workspace.line_hashes,
        workspace.line_chars,
        workspace.paragraph_hashes,
        workspace.paragraph_chars,
    )
    _fill_repetitions(row, chars, tokens, lines, paragraphs, newlines, workspace)


@compile_kernel
def _measure_documents(
    data: Bytes,
    offsets: Int64s,
    stop_words: UInt64s,
    stop_cuts: Int64s,
    languages: Int64s,
    classes: Bytes,
    sources: DocumentTokens,
    workspace: Workspace,
    out: Float64s,
) -> None:
    for d in range(offsets.shape[0] - 1):
        language = languages[d]
        stop_hashes = stop_words[stop_cuts[language] : stop_cuts[language + 1]]
        _measure_document(
            out[d], d, data, offsets[d], offsets[d + 1], stop_hashes, classes, sources, workspace
        )


def measure_quality(
    data: Bytes,
    offsets: Integers,
    languages: Integers,
    stop_lists: list[UInt64s],
    segmenters: Integers,
    external_tokens: ExternalTokens | None = None,
) -> Float64s:
    """float64 (n, len(FIELDS)) for n documents in UTF-8 `data` cut by `offsets` (n + 1).

    `languages[i]` is the index into `stop_lists` (sorted uint64 token hashes, at most 64 each)
    for document i; `segmenters[i]` is what splits it: SPACED, CHINESE, THAI, EXTERNAL or ARABIC;
    `external_tokens` holds the tokens of the EXTERNAL ones. Reference:
    `tests/pipelines/annotate/test_quality.py`.
    """
    documents = len(offsets) - 1
    out = np.zeros((documents, len(FIELDS)), np.float64)
    stop_words = np.concatenate([np.zeros(0, np.uint64), *stop_lists])
    stop_cuts = np.cumsum([0, *map(len, stop_lists)])
    # The dictionaries take seconds to load: only where a document needs them.
    sources = DocumentTokens(
        np.asarray(segmenters, np.uint8),
        external_tokens or make_empty_tokens(documents),
        build_token_tables(),
        build_arabic_flag_table(),
        load_chinese_words() if CHINESE in segmenters else make_empty_chinese_words(),
        load_thai_words() if THAI in segmenters else make_empty_thai_words(),
    )
    _measure_documents(
        data,
        np.asarray(offsets, np.int64),
        stop_words,
        stop_cuts.astype(np.int64),
        np.asarray(languages, np.int64),
        build_class_table(),
        sources,
        _make_workspace(int(np.diff(offsets).max(initial=0))),
        out,
    )
    return out
