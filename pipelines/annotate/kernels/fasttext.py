"""Classify texts with a fastText model over Arrow buffers: the answers of fastText itself, several times as fast.

Joulin et al. 2016 (arXiv 1607.01759): the mean of the vectors of all words, character n-grams and word n-grams, then
softmax, hierarchical softmax or a sigmoid for each label. Words are cut at ASCII white space, n-grams are taken of
`<word>`, and hashed by 32-bit FNV-1a over signed bytes (fastText's own quirk, which its models are trained with).
"""

import numpy as np
from numba import float32, njit, uint32, uint64

from pipelines.kernels.words import hash_word

EMPTY_SLOT = np.uint64(0)
"""Marks a free slot of the table of words: no word has this hash."""
LESS, MORE = np.uint8(ord("<")), np.uint8(ord(">"))
FLOOR = np.float32(1e-5)
"""What fastText adds to a probability before it takes its logarithm."""
NGRAM_FACTOR = np.uint64(116049371)
"""What the hash of a word n-gram is multiplied by before the next word's is added."""
REACH = 8
"""Beyond -REACH and REACH fastText's sigmoid is 0 and 1; between, it is looked up among 512 steps, rounded down."""
_SIGMOID = (1 / (1 + np.exp(-np.arange(-REACH, REACH + 1 / 64, 1 / 32)))).astype(np.float32)
_LABEL = np.frombuffer(b"__label__", np.uint8)
_END = np.frombuffer(b"</s>", np.uint8)


@njit(nogil=True, cache=True)
def hash_token(token):  # type: ignore[no-untyped-def]
    """uint64: the hash by which a word's bytes are looked up; never EMPTY_SLOT."""
    return hash_word(token) | uint64(1)


@njit(nogil=True, cache=True, inline="always")
def _begins(token, prefix):  # type: ignore[no-untyped-def]
    if token.shape[0] < prefix.shape[0]:
        return False
    for i in range(prefix.shape[0]):  # noqa: SIM110 - numba compiles no generator here
        if token[i] != prefix[i]:
            return False
    return True


@njit(nogil=True, cache=True, inline="always")
def _add(hidden, vectors, row):  # type: ignore[no-untyped-def]
    for j in range(hidden.shape[0]):
        hidden[j] += vectors[row, j]


@njit(nogil=True, cache=True, inline="always")
def _is_present(present, bucket):  # type: ignore[no-untyped-def]
    """Whether an n-gram has a row; most have none in a pruned model."""
    return (present[bucket >> 3] >> np.uint8(bucket & 7)) & 1


@njit(nogil=True, cache=True)
def _add_ngrams(hidden, marked, vectors, words, shortest, longest, ngram_rows, present):  # type: ignore[no-untyped-def]
    """Add the vectors of all n-grams of `marked` (a word between < and >, UTF-8); returns how many there were."""
    size, added = marked.shape[0], 0
    buckets = uint32(ngram_rows.shape[0])
    for first in range(size):
        if marked[first] & 0xC0 == 0x80:
            continue
        h, at, n = uint32(2166136261), first, 0
        while at < size and n < longest:
            h = uint32(uint32(h ^ uint32(np.int8(marked[at]))) * uint32(16777619))
            at += 1
            while at < size and marked[at] & 0xC0 == 0x80:
                h = uint32(uint32(h ^ uint32(np.int8(marked[at]))) * uint32(16777619))
                at += 1
            n += 1
            if n >= shortest and not (n == 1 and (first == 0 or at == size)):
                bucket = uint32(h % buckets)
                if _is_present(present, bucket):
                    _add(hidden, vectors, words + ngram_rows[bucket])
                    added += 1
    return added


@njit(nogil=True, cache=True, inline="always")
def _word_row(token, slots, rows):  # type: ignore[no-untyped-def]
    key = hash_token(token)
    mask = slots.shape[0] - 1
    at = np.int64(key & uint64(mask))
    while slots[at] != EMPTY_SLOT:
        if slots[at] == key:
            return rows[at]
        at = (at + 1) & mask
    return -1


@njit(nogil=True, cache=True)
def _line_hash(token):  # type: ignore[no-untyped-def]
    """uint64: fastText's 32-bit hash of a whole word, widened as a signed number."""
    h = uint32(2166136261)
    for byte in token:
        h = uint32(uint32(h ^ uint32(np.int8(byte))) * uint32(16777619))
    return uint64(np.int64(np.int32(h)))


@njit(nogil=True, cache=True)
def _add_word_ngrams(hidden, line, count, vectors, words, word_ngrams, ngram_rows, present):  # type: ignore[no-untyped-def]
    """Add the vectors of all runs of 2 to `word_ngrams` words, given by their hashes; returns how many there were."""
    added, buckets = 0, uint64(ngram_rows.shape[0])
    for first in range(count):
        h = line[first]
        for at in range(first + 1, min(count, first + word_ngrams)):
            h = h * NGRAM_FACTOR + line[at]
            bucket = np.int64(h % buckets)
            if _is_present(present, bucket):
                _add(hidden, vectors, words + ngram_rows[bucket])
                added += 1
    return added


@njit(nogil=True, cache=True, inline="always")
def _is_space(byte):  # type: ignore[no-untyped-def]
    return byte == 32 or (9 <= byte <= 13) or byte == 0


@njit(nogil=True, cache=True)
def _mean(
    text,
    hidden,
    marked,
    line,
    vectors,
    words,
    shortest,
    longest,
    word_ngrams,
    slots,
    rows,
    ngram_rows,
    present,
):  # type: ignore[no-untyped-def]
    """Fill `hidden` with the mean vector of a text; `marked` and `line` are room for a word and for hashes of words."""
    hidden[:] = 0
    at, added, size, ended, count = 0, 0, text.shape[0], False, 0
    while at < size and not ended:
        if _is_space(text[at]):
            at += 1
            continue
        first = at
        while at < size and not _is_space(text[at]):
            at += 1
        token = text[first:at]
        ended = token.shape[0] == 4 and _begins(token, _END)
        if ended or _begins(token, _LABEL):
            continue
        if word_ngrams > 1:
            line[count] = _line_hash(token)
            count += 1
        row = _word_row(token, slots, rows)
        if row >= 0:
            _add(hidden, vectors, row)
            added += 1
        if longest > 0:
            marked[0] = LESS
            marked[1 : 1 + token.shape[0]] = token
            marked[1 + token.shape[0]] = MORE
            added += _add_ngrams(
                hidden,
                marked[: token.shape[0] + 2],
                vectors,
                words,
                shortest,
                longest,
                ngram_rows,
                present,
            )
    end = _word_row(_END, slots, rows)  # fastText closes every line with its end-of-sentence word
    if end >= 0:
        _add(hidden, vectors, end)
        added += 1
    if word_ngrams > 1:
        line[count] = _line_hash(_END)
        added += _add_word_ngrams(
            hidden, line, count + 1, vectors, words, word_ngrams, ngram_rows, present
        )
    scale = float32(1.0 / added) if added else float32(0)
    for j in range(hidden.shape[0]):
        hidden[j] *= scale


@njit(nogil=True, cache=True, inline="always")
def _dot(output, row, hidden):  # type: ignore[no-untyped-def]
    total = float32(0)
    for j in range(hidden.shape[0]):
        total += output[row, j] * hidden[j]
    return total


@njit(nogil=True, cache=True)
def _best_leaf(hidden, output, tree, stack, scores):  # type: ignore[no-untyped-def]
    """(label, log probability) of the most probable leaf of hierarchical softmax, searched depth first."""
    labels = output.shape[0]
    best, best_score = -1, float32(-np.inf)
    stack[0], scores[0], depth = 2 * labels - 2, float32(0), 1
    while depth:
        depth -= 1
        node, score = stack[depth], scores[depth]
        if score < best_score:
            continue
        if node < labels:
            best, best_score = node, score
            continue
        right = float32(1.0 / (1.0 + np.exp(-_dot(output, node - labels, hidden))))
        left = float32(1.0) - right
        stack[depth], scores[depth] = tree[node - labels, 1], score + float32(np.log(right + FLOOR))
        stack[depth + 1], scores[depth + 1] = (
            tree[node - labels, 0],
            score + float32(np.log(left + FLOOR)),
        )
        depth += 2
    return best, best_score


@njit(nogil=True, cache=True)
def _best_output(hidden, output):  # type: ignore[no-untyped-def]
    """(label, log probability) by plain softmax."""
    best, best_score, total = 0, _dot(output, 0, hidden), 0.0
    for label in range(1, output.shape[0]):
        score = _dot(output, label, hidden)
        if score > best_score:
            best, best_score = label, score
    for label in range(output.shape[0]):
        total += np.exp(_dot(output, label, hidden) - best_score)
    return best, float32(-np.log(total))


@njit(nogil=True, cache=True)
def _score(hidden, output, label, nodes, rights, separate):  # type: ignore[no-untyped-def]
    """The probability of one label: along its path through the tree, by its own sigmoid, or by softmax."""
    if nodes.shape[0]:
        score = 1.0
        for i in range(nodes.shape[0]):
            right = 1.0 / (1.0 + np.exp(-_dot(output, nodes[i], hidden)))
            score *= right if rights[i] else 1.0 - right
        return float32(score)
    mine = _dot(output, label, hidden)
    if separate:
        if not -REACH <= mine <= REACH:
            return float32(mine > 0)
        return _SIGMOID[np.int64((mine + float32(REACH)) * float32(32))]
    total = 0.0
    for other in range(output.shape[0]):
        total += np.exp(np.float64(_dot(output, other, hidden)) - mine)
    return float32(1.0 / total)


@njit(nogil=True, cache=True, inline="always")
def _cut(data, start, stop, most_chars):  # type: ignore[no-untyped-def]
    """Where the first `most_chars` characters of data[start:stop] end."""
    at, chars = start, 0
    while at < stop and (chars < most_chars or data[at] & 0xC0 == 0x80):
        chars += data[at] & 0xC0 != 0x80
        at += 1
    return at


@njit(nogil=True, cache=True)
def classify(
    data,
    offsets,
    most_chars,
    vectors,
    output,
    words,
    shortest,
    longest,
    word_ngrams,
    slots,
    rows,
    ngram_rows,
    present,
    tree,
    found,
    probability,
):  # type: ignore[no-untyped-def]
    """Fill `found` (int32, label numbers) and `probability` (float32) for texts in UTF-8 `data` cut by `offsets`.

    Of every text the first `most_chars` characters are looked at.
    """
    hidden, line = np.empty(vectors.shape[1], np.float32), np.empty(most_chars + 2, np.uint64)
    marked = np.empty(4 * most_chars + 2, np.uint8)
    stack, scores = (
        np.empty(2 * output.shape[0], np.int32),
        np.empty(2 * output.shape[0], np.float32),
    )
    for d in range(offsets.shape[0] - 1):
        text = data[offsets[d] : _cut(data, offsets[d], offsets[d + 1], most_chars)]
        _mean(
            text,
            hidden,
            marked,
            line,
            vectors,
            words,
            shortest,
            longest,
            word_ngrams,
            slots,
            rows,
            ngram_rows,
            present,
        )
        if tree.shape[0]:
            label, score = _best_leaf(hidden, output, tree, stack, scores)
        else:
            label, score = _best_output(hidden, output)
        found[d], probability[d] = label, min(float32(1), float32(np.exp(score)))


@njit(nogil=True, cache=True)
def score_label(
    data,
    offsets,
    most_chars,
    vectors,
    output,
    words,
    shortest,
    longest,
    word_ngrams,
    slots,
    rows,
    ngram_rows,
    present,
    label,
    nodes,
    rights,
    separate,
    out,
):  # type: ignore[no-untyped-def]
    """Fill `out` (float32) with the probability of one label for texts in UTF-8 `data` cut by `offsets`.

    `nodes` and `rights` are the label's path from the root in hierarchical softmax, empty without; `separate` says that
    every label has a sigmoid of its own. Of every text the first `most_chars` characters are looked at.
    """
    hidden, line = np.empty(vectors.shape[1], np.float32), np.empty(most_chars + 2, np.uint64)
    marked = np.empty(4 * most_chars + 2, np.uint8)
    for d in range(offsets.shape[0] - 1):
        text = data[offsets[d] : _cut(data, offsets[d], offsets[d + 1], most_chars)]
        _mean(
            text,
            hidden,
            marked,
            line,
            vectors,
            words,
            shortest,
            longest,
            word_ngrams,
            slots,
            rows,
            ngram_rows,
            present,
        )
        out[d] = _score(hidden, output, label, nodes, rights, separate)
