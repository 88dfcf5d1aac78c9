"""Signatures: bit for bit those of datasketch, and good estimates of Jaccard's similarity."""

import math

import datasketch
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.document import as_text
from pipelines.annotate.kernels.minhash import (
    SHINGLE,
    compute_signatures,
    draw_permutations,
    hash_shingles,
)
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.unicode import build_lower_table
from pipelines.kernels.words import hash_word

SIZE = 112


def word_hashes(words):
    lower = build_lower_table()
    points = [lower[[ord(char) for char in word.replace("’", "'")]] for word in words]
    return np.array([hash_word(point) for point in points], np.uint64)


def hashes_of(words):
    out = np.empty(max(1, len(words)), np.uint32)
    count = hash_shingles(word_hashes(words), len(words), out)
    return out[:count].copy()


def by_datasketch(words, size=SIZE, seed=1):
    minhash = datasketch.MinHash(
        num_perm=size, seed=seed, scheme="affine32", hashfunc=lambda value: value
    )
    for value in hashes_of(words).tolist():
        minhash.update(value)
    return np.asarray(minhash.hashvalues, np.uint64).astype(np.uint32)


def by_kernel(texts, size=SIZE, seed=1):
    return compute_signatures(*get_text_buffers(pa.array(texts, pa.string())), size, seed=seed)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_signature_is_bit_for_bit_that_of_datasketch(data, tricky, words_of):
    text = data.draw(
        st.one_of(
            st.text(st.sampled_from(tricky), max_size=200),
            st.text(st.sampled_from("ab 中"), max_size=80),
        )
    )
    words = words_of(text)
    matrix, counts = by_kernel([text])
    assert counts.tolist() == [max(0, len(words) - SHINGLE + 1)]
    if counts[0]:
        assert matrix[0].tolist() == by_datasketch(words).tolist()


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("size", "seed"), [(4, 1), (112, 1), (128, 7)])
def test_signatures_of_long_prose_equal_datasketch(lang, size, seed, prose, words_of):
    text = prose(3, 60, lang=lang)
    matrix, _ = by_kernel([text], size, seed)
    assert matrix[0].tolist() == by_datasketch(words_of(text), size, seed).tolist()


def test_the_estimate_lies_within_three_standard_errors_of_the_exact_similarity(prose, words_of):
    misses, pairs = 0, 0
    for seed in range(60):
        left = prose(seed, 30).split(". ")
        right = left[: 30 - seed // 3] + prose(1000 + seed, 10).split(". ")
        texts = [". ".join(left), ". ".join(right)]
        sets = [
            set(zip(*(words_of(text)[i:] for i in range(SHINGLE)), strict=False)) for text in texts
        ]
        exact = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        matrix, _ = by_kernel(texts)
        estimate = float((matrix[0] == matrix[1]).mean())
        misses += (
            abs(estimate - exact) > 3 * math.sqrt(max(exact * (1 - exact), 1e-9) / SIZE) + 1e-9
        )
        pairs += 1
    assert misses <= 2, f"{misses} of {pairs} estimates are further off than 3 standard errors"


def test_equal_sets_of_shingles_have_equal_signatures_whatever_case_and_spacing():
    text = "the quick brown fox jumps over the lazy dog tonight"
    matrix, _ = by_kernel([text, text.upper(), text.replace(" ", " \n,  ")])
    assert (matrix[0] == matrix[1]).all() and (matrix[0] == matrix[2]).all()


@pytest.mark.parametrize("text", ["", "one two three four", "中文字字", "!!! ... ???"])
def test_a_document_of_fewer_than_five_words_has_no_signature(text):
    assert by_kernel([text])[1].tolist() == [0]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.one_of(st.none(), st.text(st.sampled_from("ab c中 "), max_size=40)),
        min_size=1,
        max_size=9,
    ),
    start=st.integers(0, 8),
    length=st.integers(0, 9),
)
def test_a_slice_has_the_signatures_of_its_rows(rows, start, length):
    array = pa.array(rows, pa.string())
    whole, counts = compute_signatures(*get_text_buffers(array), SIZE)
    part, part_counts = compute_signatures(
        *get_text_buffers(array.slice(min(start, len(rows)), length)), SIZE
    )
    assert part_counts.tolist() == counts[start : start + length].tolist()
    signed = part_counts > 0
    assert (part[signed] == whole[start : start + length][signed]).all()


def test_other_string_columns_have_the_same_signatures_after_the_border(prose):
    text = [prose(seed) for seed in range(4)]
    plain, _ = by_kernel(text)
    for column in (
        pa.array(text).cast(pa.string_view()),
        pa.array(text, pa.large_string()),
        pa.array(text).dictionary_encode(),
        pa.array([value.encode() for value in text]),
        pa.chunked_array([text[:1], text[1:]]),
    ):
        assert (compute_signatures(*get_text_buffers(as_text(column)), SIZE)[0] == plain).all()


def test_a_document_does_not_depend_on_its_neighbours(prose):
    text = prose(5)
    alone, _ = by_kernel([text])
    among, _ = by_kernel(["short", prose(6, 40), text, ""])
    assert (among[2] == alone[0]).all()


@pytest.mark.parametrize("size", [0, -4, 3, 113])
def test_an_impossible_number_of_permutations_is_refused(size):
    with pytest.raises(ValueError, match="positive multiple of 4"):
        draw_permutations(size)


def test_permutations_are_those_of_datasketch_and_depend_on_the_seed():
    a, b = draw_permutations(112)
    theirs = datasketch.MinHash(num_perm=112, seed=1, scheme="affine32").permutations
    assert a.tolist() == theirs[0].tolist() and b.tolist() == theirs[1].tolist()
    assert draw_permutations(112, seed=2)[0].tolist() != a.tolist()
