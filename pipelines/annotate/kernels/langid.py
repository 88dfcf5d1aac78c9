"""Classify texts with a model of langid.py over Arrow buffers: the answers of py3langid without its
Python loop.

Lui and Baldwin 2012: an automaton over bytes finds the n-grams that tell languages apart, naive
Bayes weighs them. Scores are scaled by the square root of the text's length before softmax, as
py3langid (0.4) does.
"""

import numpy as np
from numba import float32, int64

from pipelines.kernels.arrays import Bools, Bytes, Float32s, Int32s, Int64s, UInt16s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import decode_point


@inline_kernel
def _count_features(
    text: Bytes,
    moves: UInt16s,
    rows: UInt16s,
    features: Int32s,
    counts: Int32s,
    feature_order: Int32s,
) -> int:
    """Count the n-grams of a text; returns how many there are, their numbers in `feature_order` in
    the order they were met."""
    state = 0
    distinct = 0
    for byte in text:
        state = moves[(int64(rows[state]) << 8) + byte]
        feature = features[state]
        if feature >= 0:
            if counts[feature] == 0:
                feature_order[distinct] = feature
                distinct += 1
            counts[feature] += 1
    return distinct


@inline_kernel
def _apply_softmax(scores: Float32s, scale: np.float32) -> None:
    """Turn scores into probabilities, in single precision as py3langid does."""
    highest = scores.max() * scale
    total = float32(0)
    for j in range(scores.shape[0]):
        scores[j] = np.exp(scores[j] * scale - highest)
        total += scores[j]
    for j in range(scores.shape[0]):
        scores[j] /= total


@compile_kernel
def classify(
    data: Bytes,
    offsets: Int64s,
    moves: UInt16s,
    rows: UInt16s,
    features: Int32s,
    weights: UInt16s,
    half_values: Float32s,
    priors: Float32s,
    duplicate_classes: Int64s,
    classes_out: Int32s,
    probability: Float32s,
) -> None:
    """Fill `classes_out` (int32, class numbers) and `probability` (float32) for texts in UTF-8
    `data` cut by `offsets`.

    `moves` (distinct rows of 256 next states) and `rows` (states: which of them) are the
    automaton, `features` (states) the n-gram that ends there or -1; `weights` (n-grams, classes)
    and `priors` (classes) are logarithms, the weights as the bits of a float16, whose value
    `half_values` (65,536) has; `duplicate_classes` (pairs, 2) names the classes that are one
    language.
    """
    counts = np.zeros(weights.shape[0], np.int32)
    feature_order = np.empty(weights.shape[0], np.int32)
    scores = np.empty(priors.shape[0], np.float32)
    for d in range(offsets.shape[0] - 1):
        size = _count_features(
            data[offsets[d] : offsets[d + 1]], moves, rows, features, counts, feature_order
        )
        scores[:] = 0
        for i in range(size):
            factor = np.log1p(float32(counts[feature_order[i]]))
            counts[feature_order[i]] = 0
            for j in range(scores.shape[0]):
                scores[j] += factor * half_values[weights[feature_order[i], j]]
        if size:
            scores += priors
        _apply_softmax(scores, float32(1.0 / np.sqrt(max(1, offsets[d + 1] - offsets[d]))))
        for i in range(duplicate_classes.shape[0]):
            scores[duplicate_classes[i, 0]] += scores[duplicate_classes[i, 1]]
            scores[duplicate_classes[i, 1]] = 0
        classes_out[d] = scores.argmax()
        probability[d] = scores[classes_out[d]]


@compile_kernel
def has_letters(
    data: Bytes,
    offsets: Int64s,
    max_chars: int,
    min_letters: int,
    flags: UInt16s,
    letter_flag: int,
    answers: Bools,
) -> None:
    """Fill `answers` (bool): whether `min_letters` letters are among the first `max_chars`
    characters of each text.

    `flags` holds the flags of every code point, `letter_flag` the one that says it is a letter.
    """
    for d in range(offsets.shape[0] - 1):
        at = offsets[d]
        chars = 0
        letters = 0
        while at < offsets[d + 1] and chars < max_chars and letters < min_letters:
            code, size = decode_point(data, at)
            letters += code < flags.shape[0] and (flags[code] & letter_flag) != 0
            chars = chars + 1
            at = at + size
        answers[d] = letters >= min_letters
