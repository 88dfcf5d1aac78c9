"""Classify texts with a model of langid.py over Arrow buffers: the answers of py3langid without its Python loop.

Lui and Baldwin 2012: an automaton over bytes finds the n-grams that tell languages apart, naive Bayes weighs them. Scores
are scaled by the square root of the text's length before softmax, as py3langid (0.4) does.
"""

import numpy as np
from numba import float32, njit

from pipelines.kernels.words import decode_point


@njit(nogil=True, cache=True, inline="always")
def _count_features(text, moves, rows, features, counts, met):  # type: ignore[no-untyped-def]
    """Count the n-grams of a text; returns how many there are, their numbers in `met` in the order they were met."""
    state, found = 0, 0
    for byte in text:
        state = moves[(np.int64(rows[state]) << 8) + byte]
        feature = features[state]
        if feature >= 0:
            if counts[feature] == 0:
                met[found] = feature
                found += 1
            counts[feature] += 1
    return found


@njit(nogil=True, cache=True, inline="always")
def _softmax(scores, scale):  # type: ignore[no-untyped-def]
    highest, total = scores.max() * scale, float32(0)
    for j in range(scores.shape[0]):
        scores[j] = np.exp(scores[j] * scale - highest)
        total += scores[j]
    for j in range(scores.shape[0]):
        scores[j] /= total


@njit(nogil=True, cache=True)
def classify(
    data, offsets, moves, rows, features, weights, halves, priors, doubles, found, probability
):  # type: ignore[no-untyped-def]
    """Fill `found` (int32, class numbers) and `probability` (float32) for texts in UTF-8 `data` cut by `offsets`.

    `moves` (distinct rows of 256 next states) and `rows` (states: which of them) are the automaton, `features` (states) the
    n-gram that ends there or -1; `weights` (n-grams, classes) and `priors` (classes) are logarithms, the weights as the bits
    of a float16, whose value `halves` (65,536) has; `doubles` (pairs, 2) names the classes that are one language.
    """
    counts, met = np.zeros(weights.shape[0], np.int32), np.empty(weights.shape[0], np.int32)
    scores = np.empty(priors.shape[0], np.float32)
    for d in range(offsets.shape[0] - 1):
        size = _count_features(
            data[offsets[d] : offsets[d + 1]], moves, rows, features, counts, met
        )
        scores[:] = 0
        for i in range(size):
            factor = np.log1p(float32(counts[met[i]]))
            counts[met[i]] = 0
            for j in range(scores.shape[0]):
                scores[j] += factor * halves[weights[met[i], j]]
        if size:
            scores += priors
        _softmax(scores, float32(1.0 / np.sqrt(max(1, offsets[d + 1] - offsets[d]))))
        for i in range(doubles.shape[0]):
            scores[doubles[i, 0]] += scores[doubles[i, 1]]
            scores[doubles[i, 1]] = 0
        found[d] = scores.argmax()
        probability[d] = scores[found[d]]


@njit(nogil=True, cache=True)
def has_letters(data, offsets, most_chars, fewest, flags, letter, found):  # type: ignore[no-untyped-def]
    """Fill `found` (bool): whether `fewest` letters stand among the first `most_chars` characters of each text.

    `flags` holds the flags of every code point, `letter` the one that says it is a letter.
    """
    for d in range(offsets.shape[0] - 1):
        at, chars, letters = offsets[d], 0, 0
        while at < offsets[d + 1] and chars < most_chars and letters < fewest:
            code, size = decode_point(data, at)
            letters += code < flags.shape[0] and (flags[code] & letter) != 0
            chars, at = chars + 1, at + size
        found[d] = letters >= fewest
