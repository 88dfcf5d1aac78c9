"""Classify texts with a fastText model over Arrow buffers: the answers of fastText itself, several
times as fast.

Joulin et al. 2016 (arXiv 1607.01759): the mean of the vectors of all words, character n-grams
and word n-grams, then softmax, hierarchical softmax or a sigmoid for each label. Words are cut
at ASCII white space, n-grams are taken of `<word>`, and hashed by 32-bit FNV-1a over signed
bytes (fastText's own quirk, which its models are trained with).
"""

from typing import NamedTuple

import numpy as np
from numba import float32, int64, uint32, uint64

from pipelines.kernels.arrays import Bools, Bytes, Float32s, Int32s, Int64s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import hash_word

EMPTY_SLOT = np.uint64(0)
"""Marks a free slot of the table of words: no word has this hash."""
FNV_BASIS = np.uint32(2166136261)
FNV_PRIME = np.uint32(16777619)
"""Offset basis and prime of FNV-1a with 32 bits."""
TAB, RETURN, SPACE = 0x09, 0x0D, 0x20
LESS, MORE = np.uint8(ord("<")), np.uint8(ord(">"))
FLOOR = np.float32(1e-5)
"""What fastText adds to a probability before it takes its logarithm."""
NGRAM_FACTOR = np.uint64(116049371)
"""What the hash of a word n-gram is multiplied by before the next word's is added."""
REACH = 8
"""Beyond -REACH and REACH fastText's sigmoid is 0 and 1; between, it is looked up among 512 steps,
rounded down."""
_SIGMOID = (1 / (1 + np.exp(-np.arange(-REACH, REACH + 1 / 64, 1 / 32)))).astype(np.float32)
_LABEL = np.frombuffer(b"__label__", np.uint8)
_END = np.frombuffer(b"</s>", np.uint8)


@compile_kernel
def hash_token(token: Bytes) -> np.uint64:
    """uint64: the hash by which a word's bytes are looked up; never EMPTY_SLOT."""
    return hash_word(token) | uint64(1)


@inline_kernel
def _has_prefix(token: Bytes, prefix: Bytes) -> bool:
    """Whether a word begins with these bytes."""
    if token.shape[0] < prefix.shape[0]:
        return False
    for i in range(prefix.shape[0]):  # noqa: SIM110 - numba compiles no generator here
        if token[i] != prefix[i]:
            return False
    return True


class FastTextArrays(NamedTuple):
    """The input side of a model, as `pipelines.annotate.signals.fasttext_model` reads it."""

    vectors: Float32s
    """(rows, dimension): first of the words, then of the n-gram buckets."""
    output: Float32s
    """(labels, dimension), or (inner nodes, dimension) with hierarchical softmax."""
    words: int
    """Rows of words."""
    shortest: int
    longest: int
    """Characters of n-grams; no n-grams where `longest` is 0."""
    word_ngrams: int
    """Words of the longest run of words that has a vector."""
    word_slots: UInt64s
    """(2 ** k,): hashes of words by open addressing; `word_rows` holds their rows."""
    word_rows: Int32s
    ngram_rows: Int32s
    """(buckets,): the row of a bucket behind those of words, or -1 where it was pruned."""
    present: Bytes
    """One bit a bucket: whether it has a row.

    Small enough for a core's own cache, as `ngram_rows` is not.
    """


class TextScratch(NamedTuple):
    """Arrays for one text, reused for all of a batch."""

    hidden: Float32s
    """(dimension,): the mean vector."""
    marked: Bytes
    """A word between < and >."""
    line_hashes: UInt64s
    """Hashes of the text's words."""


@compile_kernel
def _allocate_scratch(dimension: int, max_chars: int) -> TextScratch:
    """Arrays for texts of up to `max_chars` characters."""
    # A word of the text has at most `max_chars` characters of 4 bytes; its words are no more than
    # its characters,
    # and the end-of-sentence word comes behind them.
    return TextScratch(
        np.empty(dimension, np.float32),
        np.empty(4 * max_chars + 2, np.uint8),
        np.empty(max_chars + 2, np.uint64),
    )


@inline_kernel
def _add(hidden: Float32s, vectors: Float32s, row: int) -> None:
    """Add a row of `vectors`; in this order and in single precision, as fastText adds it."""
    for j in range(hidden.shape[0]):
        hidden[j] += vectors[row, j]


@inline_kernel
def _is_present(present: Bytes, bucket: int) -> int:
    """Whether an n-gram has a row; most have none in a pruned model."""
    return (present[bucket >> 3] >> np.uint8(bucket & 7)) & 1


@inline_kernel
def _step_fnv(digest: np.uint32, byte: int) -> np.uint32:
    """One step of FNV-1a with 32 bits.

    fastText's bytes are signed: those from 0x80 on are widened with ones.
    """
    return uint32(uint32(digest ^ uint32(np.int8(byte))) * FNV_PRIME)


@inline_kernel
def _continues(byte: int) -> bool:
    """Whether a byte of UTF-8 is not the first of its character."""
    return byte & 0xC0 == 0x80


@compile_kernel
def _add_ngrams(
    hidden: Float32s,
    marked: Bytes,
    vectors: Float32s,
    words: int,
    shortest: int,
    longest: int,
    ngram_rows: Int32s,
    present: Bytes,
) -> int:
    """Add the vectors of all n-grams of `marked` (a word between < and >, UTF-8); returns how many
    there were."""
    size = marked.shape[0]
    rows_added = 0
    buckets = uint32(ngram_rows.shape[0])
    for first in range(size):
        if _continues(marked[first]):
            continue
        digest = FNV_BASIS
        at = first
        n = 0
        while at < size and n < longest:
            digest = _step_fnv(digest, marked[at])
            at += 1
            while at < size and _continues(marked[at]):
                digest = _step_fnv(digest, marked[at])
                at += 1
            n += 1
            # `<` and `>` by themselves are no n-grams.
            if n >= shortest and not (n == 1 and (first == 0 or at == size)):
                bucket = uint32(digest % buckets)
                if _is_present(present, bucket):
                    _add(hidden, vectors, words + ngram_rows[bucket])
                    rows_added += 1
    return rows_added


@inline_kernel
def _find_row(token: Bytes, slots: UInt64s, rows: Int32s) -> int:
    """The row of a word's vector, or -1. The search ends: the table has free slots."""
    key = hash_token(token)
    mask = slots.shape[0] - 1
    slot = int64(key & uint64(mask))
    while slots[slot] != EMPTY_SLOT:
        if slots[slot] == key:
            return rows[slot]
        slot = (slot + 1) & mask
    return -1


@compile_kernel
def _hash_line_token(token: Bytes) -> np.uint64:
    """fastText's 32-bit hash of a whole word, widened as a signed number."""
    digest = FNV_BASIS
    for byte in token:
        digest = _step_fnv(digest, byte)
    return uint64(int64(np.int32(digest)))


@compile_kernel
def _add_word_ngrams(
    hidden: Float32s,
    line_hashes: UInt64s,
    count: int,
    vectors: Float32s,
    words: int,
    word_ngrams: int,
    ngram_rows: Int32s,
    present: Bytes,
) -> int:
    """Add the vectors of all runs of 2 to `word_ngrams` words, given by their hashes; returns how
    many there were."""
    rows_added = 0
    buckets = uint64(ngram_rows.shape[0])
    for first in range(count):
        digest = line_hashes[first]
        for at in range(first + 1, min(count, first + word_ngrams)):
            digest = digest * NGRAM_FACTOR + line_hashes[at]
            bucket = int64(digest % buckets)
            if _is_present(present, bucket):
                _add(hidden, vectors, words + ngram_rows[bucket])
                rows_added += 1
    return rows_added


@inline_kernel
def _is_space(byte: int) -> bool:
    """White space of fastText's reader: space, tab to carriage return, and the zero byte."""
    return byte == SPACE or (TAB <= byte <= RETURN) or byte == 0


@compile_kernel
def _fill_mean(text: Bytes, model: FastTextArrays, scratch: TextScratch) -> None:
    """Fill `scratch.hidden` with the mean vector of a text."""
    hidden = scratch.hidden
    marked = scratch.marked
    line_hashes = scratch.line_hashes
    vectors = model.vectors
    words = model.words
    slots = model.word_slots
    rows = model.word_rows
    ngram_rows = model.ngram_rows
    present = model.present
    hidden[:] = 0
    at = 0
    rows_added = 0
    size = text.shape[0]
    is_last = False
    count = 0
    while at < size and not is_last:
        if _is_space(text[at]):
            at += 1
            continue
        first = at
        while at < size and not _is_space(text[at]):
            at += 1
        token = text[first:at]
        # fastText reads no further than its own end-of-sentence word, and skips what looks like a
        # label.
        is_last = token.shape[0] == _END.shape[0] and _has_prefix(token, _END)
        if is_last or _has_prefix(token, _LABEL):
            continue
        if model.word_ngrams > 1:
            line_hashes[count] = _hash_line_token(token)
            count += 1
        row = _find_row(token, slots, rows)
        if row >= 0:
            _add(hidden, vectors, row)
            rows_added += 1
        if model.longest > 0:
            word_end = 1 + token.shape[0]
            marked[0] = LESS
            marked[1:word_end] = token
            marked[word_end] = MORE
            rows_added += _add_ngrams(
                hidden,
                marked[: word_end + 1],
                vectors,
                words,
                model.shortest,
                model.longest,
                ngram_rows,
                present,
            )
    end_row = _find_row(
        _END, slots, rows
    )  # fastText closes every line with its end-of-sentence word
    if end_row >= 0:
        _add(hidden, vectors, end_row)
        rows_added += 1
    if model.word_ngrams > 1:
        line_hashes[count] = _hash_line_token(_END)
        rows_added += _add_word_ngrams(
            hidden, line_hashes, count + 1, vectors, words, model.word_ngrams, ngram_rows, present
        )
    scale = float32(1.0 / rows_added) if rows_added else float32(0)
    for j in range(hidden.shape[0]):
        hidden[j] *= scale


@inline_kernel
def _compute_dot(output: Float32s, row: int, hidden: Float32s) -> np.float32:
    """The product of a row of `output` and `hidden`, summed from left to right in single precision."""
    total = float32(0)
    for j in range(hidden.shape[0]):
        total += output[row, j] * hidden[j]
    return total


@compile_kernel
def _find_best_leaf(
    hidden: Float32s, output: Float32s, tree: Int32s, stack: Int32s, scores: Float32s
) -> tuple[int, np.float32]:
    """(label, log probability) of the most probable leaf of hierarchical softmax, searched depth
    first."""
    labels = output.shape[0]
    best = -1
    best_score = float32(-np.inf)
    stack[0] = 2 * labels - 2
    scores[0] = float32(0)
    depth = 1
    while depth:
        depth -= 1
        node = stack[depth]
        score = scores[depth]
        if score < best_score:
            continue
        if node < labels:
            best = node
            best_score = score
            continue
        right_share = float32(1.0 / (1.0 + np.exp(-_compute_dot(output, node - labels, hidden))))
        left_share = float32(1.0) - right_share
        stack[depth] = tree[node - labels, 1]
        scores[depth] = score + float32(np.log(right_share + FLOOR))
        stack[depth + 1] = tree[node - labels, 0]
        scores[depth + 1] = score + float32(np.log(left_share + FLOOR))
        depth += 2
    return best, best_score


@compile_kernel
def _find_best_output(hidden: Float32s, output: Float32s) -> tuple[int, np.float32]:
    """(label, log probability) by plain softmax."""
    best = 0
    best_score = _compute_dot(output, 0, hidden)
    total = 0.0
    for label in range(1, output.shape[0]):
        score = _compute_dot(output, label, hidden)
        if score > best_score:
            best = label
            best_score = score
    for label in range(output.shape[0]):
        total += np.exp(_compute_dot(output, label, hidden) - best_score)
    return best, float32(-np.log(total))


@compile_kernel
def _score_hidden(
    hidden: Float32s, output: Float32s, label: int, nodes: Int32s, rights: Bools, separate: bool
) -> np.float32:
    """The probability of one label: along its path through the tree, by its own sigmoid, or by
    softmax."""
    if nodes.shape[0]:
        score = 1.0
        for i in range(nodes.shape[0]):
            right = 1.0 / (1.0 + np.exp(-_compute_dot(output, nodes[i], hidden)))
            score *= right if rights[i] else 1.0 - right
        return float32(score)
    activation = _compute_dot(output, label, hidden)
    if separate:
        if not -REACH <= activation <= REACH:
            return float32(activation > 0)
        return _SIGMOID[int64((activation + float32(REACH)) * float32(32))]
    total = 0.0
    for other in range(output.shape[0]):
        total += np.exp(np.float64(_compute_dot(output, other, hidden)) - activation)
    return float32(1.0 / total)


@inline_kernel
def _truncate(data: Bytes, start: int, stop: int, max_chars: int) -> int:
    """Where the first `max_chars` characters of data[start:stop] end."""
    at = start
    chars = 0
    while at < stop and (chars < max_chars or data[at] & 0xC0 == 0x80):
        chars += data[at] & 0xC0 != 0x80
        at += 1
    return at


@compile_kernel
def classify(
    data: Bytes,
    offsets: Int64s,
    max_chars: int,
    model: FastTextArrays,
    tree: Int32s,
    labels_out: Int32s,
    probability: Float32s,
) -> None:
    """Fill `labels_out` (label numbers) and `probability` for texts in UTF-8 `data` cut by
    `offsets`.

    `tree` (labels - 1, 2) are the children of each inner node of hierarchical softmax; without,
    it is empty. Of every text the first `max_chars` characters are looked at. Reference:
    fastText itself in `tests/pipelines/annotate/test_classifier.py`.
    """
    output = model.output
    scratch = _allocate_scratch(model.vectors.shape[1], max_chars)
    stack = np.empty(2 * output.shape[0], np.int32)
    scores = np.empty(2 * output.shape[0], np.float32)
    for d in range(offsets.shape[0] - 1):
        text = data[offsets[d] : _truncate(data, offsets[d], offsets[d + 1], max_chars)]
        _fill_mean(text, model, scratch)
        if tree.shape[0]:
            label, score = _find_best_leaf(scratch.hidden, output, tree, stack, scores)
        else:
            label, score = _find_best_output(scratch.hidden, output)
        labels_out[d] = label
        # fastText's own logarithm of a sum may be a little above 0.
        probability[d] = min(float32(1), float32(np.exp(score)))


@compile_kernel
def score_label(
    data: Bytes,
    offsets: Int64s,
    max_chars: int,
    model: FastTextArrays,
    label: int,
    nodes: Int32s,
    rights: Bools,
    separate: bool,
    out: Float32s,
) -> None:
    """Fill `out` with the probability of one label for texts in UTF-8 `data` cut by `offsets`.

    `nodes` and `rights` are the label's path from the root in hierarchical softmax, empty
    without; `separate` says that every label has a sigmoid of its own. Of every text the first
    `max_chars` characters are looked at.
    """
    scratch = _allocate_scratch(model.vectors.shape[1], max_chars)
    for d in range(offsets.shape[0] - 1):
        text = data[offsets[d] : _truncate(data, offsets[d], offsets[d + 1], max_chars)]
        _fill_mean(text, model, scratch)
        out[d] = _score_hidden(scratch.hidden, model.output, label, nodes, rights, separate)
