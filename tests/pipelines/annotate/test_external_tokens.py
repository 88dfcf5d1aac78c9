"""Tokens found elsewhere: a document that is handed its tokens gets the columns that these tokens make."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels.external_tokens import (
    copy_external_tokens,
    join_external_tokens,
    make_empty_tokens,
)
from pipelines.annotate.kernels.quality import EXTERNAL, FIELDS, SPACED, measure_quality
from pipelines.annotate.kernels.token_classes import build_flag_table
from pipelines.annotate.kernels.tokens import (
    build_token_tables,
    hash_tokens,
    read_code_points,
    split_tokens,
)
from pipelines.kernels.buffers import get_text_buffers

TEXT = st.text(st.sampled_from("ab .,\n…中文字。𠀀👍e\u0301#"), max_size=40)
STOPS = [np.zeros(0, np.uint64), hash_tokens(["a", "b", "中"])]


def pair(*spans):
    starts, ends = zip(*spans, strict=True) if spans else ((), ())
    return np.array(starts, np.int32), np.array(ends, np.int32)


def own_tokens(text):
    """The starts and ends that the kernel itself finds."""
    data, offsets = get_text_buffers(pa.array([text], pa.string()))
    room = len(data) + 2
    points, flags = np.empty(room, np.int32), np.empty(room, np.uint16)
    starts, ends, held = (np.empty(room, np.int32) for _ in range(3))
    chars = read_code_points(data, offsets[0], offsets[1], build_flag_table(), points, flags)
    count = split_tokens(points, flags, chars, build_token_tables(), starts, ends, held)
    return starts[:count], ends[:count]


def rows(texts, cutters, tokens=None):
    return measure_quality(
        *get_text_buffers(pa.array(texts, pa.string())),
        np.ones(len(texts), int),
        STOPS,
        cutters,
        tokens,
    )


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXT, max_size=5), data=st.data())
def test_the_tokens_that_the_kernel_finds_make_the_same_columns_when_they_are_given(texts, data):
    mine = [data.draw(st.booleans()) for _ in texts]
    tokens = join_external_tokens(
        own_tokens(text) if is_given else pair() for text, is_given in zip(texts, mine, strict=True)
    )
    cutters = np.where(np.array(mine, bool), EXTERNAL, SPACED)
    assert (
        rows(texts, cutters, tokens).tolist() == rows(texts, np.full(len(texts), SPACED)).tolist()
    )


@pytest.mark.parametrize(
    ("spans", "words", "length", "distinct"),
    [
        (((0, 1), (1, 2)), 2, 1.0, 2),
        (((0, 2),), 1, 2.0, 0),
        ((), 0, 0.0, 0),
        (((1, 2),), 1, 1.0, 1),
    ],
)
def test_a_document_has_the_words_that_are_given(spans, words, length, distinct):
    [row] = rows(["ab"], np.array([EXTERNAL]), join_external_tokens([pair(*spans)]))
    found = dict(zip(FIELDS, row, strict=True))
    assert [found[name] for name in ("words", "mean_word_length", "stop_words")] == [
        words,
        length,
        distinct,
    ]


def test_places_are_code_points_and_not_bytes():
    [row] = rows(["𠀀中a"], np.array([EXTERNAL]), join_external_tokens([pair((1, 2), (2, 3))]))
    assert row[FIELDS.index("stop_words")] == 2


def test_tokens_of_documents_lie_one_after_the_other():
    tokens = join_external_tokens([pair((0, 1), (2, 5)), pair(), pair((1, 3))])
    assert (tokens.starts.tolist(), tokens.ends.tolist(), tokens.cuts.tolist()) == (
        [0, 2, 1],
        [1, 5, 3],
        [0, 2, 2, 3],
    )
    assert (tokens.starts.dtype, tokens.ends.dtype, tokens.cuts.dtype) == (
        np.int32,
        np.int32,
        np.int64,
    )
    starts, ends = np.full(4, -1, np.int32), np.full(4, -1, np.int32)
    assert copy_external_tokens(tokens.starts, tokens.ends, 0, 2, starts, ends) == 2
    assert (starts.tolist(), ends.tolist()) == ([0, 2, -1, -1], [1, 5, -1, -1])


def test_no_tokens_are_of_the_same_types_as_some():
    none, some = make_empty_tokens(2), join_external_tokens([pair((0, 1)), pair()])
    for field in ("starts", "ends", "cuts"):
        assert getattr(none, field).dtype == getattr(some, field).dtype
    assert none.cuts.tolist() == [0, 0, 0] and join_external_tokens(
        []
    ).cuts.tolist() == make_empty_tokens(0).cuts.tolist() == [0]
