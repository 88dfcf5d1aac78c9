"""Windows and pairs are exact: every token once, borders where documents end, no copy of what lies on disk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import CausalWindows, DocumentChunks, SegmentPairs, Special

B, E = Special.BOS, Special.EOS
documents_of_sentences = st.lists(
    st.lists(st.lists(st.integers(7, 511), min_size=1, max_size=9), min_size=1, max_size=6),
    min_size=1,
    max_size=9,
)


def joined(documents):
    return [token for parts in documents for part in parts for token in part]


@given(documents=documents_of_sentences, batch_rows=st.integers(1, 4), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_stretch_of_text_reads_as_in_the_joined_documents(
    make_split, documents, batch_rows, data
):
    split = make_split(documents, batch_rows=batch_rows)
    tokens = joined(documents)
    begin = data.draw(st.integers(0, len(tokens)))
    end = data.draw(st.integers(begin, len(tokens)))
    assert split.text(begin, end).tolist() == tokens[begin:end]
    assert split.tokens == len(tokens)
    assert split.bytes == 2 * len(tokens)


def test_text_within_a_batch_is_a_view_of_the_shard(corpus):
    split = corpus.train
    assert np.shares_memory(split.text(0, 5), split._blocks[0])
    assert split.text(0, 5).dtype == np.uint16
    assert not split.text(0, 5).flags.writeable


def test_a_split_reads_all_shards_and_all_their_batches(corpus):
    assert corpus.train.documents == 240
    assert len(corpus.train._blocks) == 4
    assert corpus.validation.documents == 60


def test_documents_are_wrapped_in_begin_and_end_and_cut_into_windows(make_split):
    windows = CausalWindows(make_split([[[10, 11], [12]], [[20]], [[30, 31, 32, 33]]]), 4)
    assert len(windows) == 3
    assert [windows.window(i).tolist() for i in range(3)] == [
        [B, 10, 11, 12, E],
        [E, B, 20, E, B],
        [B, 30, 31, 32, 33],
    ]


@given(documents=documents_of_sentences, length=st.integers(1, 40), batch_rows=st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_windows_tile_the_stream_and_overlap_by_one_token(
    make_split, documents, length, batch_rows
):
    stream = [
        token for parts in documents for token in [B, *(t for part in parts for t in part), E]
    ]
    windows = CausalWindows(make_split(documents, batch_rows=batch_rows), length)
    assert len(windows) == (len(stream) - 1) // length
    for number in range(len(windows)):
        assert (
            windows.window(number).tolist() == stream[number * length : (number + 1) * length + 1]
        )


@given(documents=documents_of_sentences, length=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_the_bytes_of_a_window_are_those_of_its_targets(make_split, documents, length):
    windows = CausalWindows(make_split(documents), length)
    for number in range(len(windows)):
        text = [token for token in windows.window(number)[1:] if token >= 7]
        assert windows.target_bytes(number) == pytest.approx(2 * len(text))


def test_an_empty_split_has_no_window_and_no_pair(make_split):
    split = make_split([])
    assert (split.documents, split.tokens, split.bytes) == (0, 0, 0)
    assert len(CausalWindows(split, 8)) == 0
    assert len(SegmentPairs(split, 8)) == 0


@given(documents=documents_of_sentences, length=st.integers(8, 30))
@settings(max_examples=80, deadline=None)
def test_chunks_cover_every_token_once_and_fit_the_sequence(make_split, documents, length):
    split = make_split(documents)
    pairs = SegmentPairs(split, length)
    covered = [token for begin, end, _ in pairs.chunks._chunks for token in range(begin, end)]
    assert covered == list(range(split.tokens))
    for begin, end, document in pairs.chunks._chunks:
        assert 0 < end - begin <= length - 3
        assert split.token_starts[document] <= begin < end <= split.token_starts[document + 1]


def test_chunks_end_where_sentences_end_unless_one_sentence_is_too_long(make_split):
    pairs = SegmentPairs(make_split([[[7] * 4, [8] * 4, [9] * 4], [[10] * 23]]), 13)
    assert pairs.chunks._chunks.tolist() == [
        [0, 8, 0],
        [8, 12, 0],
        [12, 22, 1],
        [22, 32, 1],
        [32, 35, 1],
    ]


def test_a_pair_is_cut_at_a_sentence_and_followed_by_its_own_document_or_another(corpus):
    pairs = SegmentPairs(corpus.train, 64)
    split = corpus.train
    rng = np.random.default_rng(1)
    seen = {True: 0, False: 0, None: 0}
    for number in range(len(pairs)):
        pair = pairs.pair(number, rng)
        seen[pair.from_elsewhere] += 1
        document = pairs.chunks.document_of(number)
        if pair.second is None:
            continue
        second_document = int(np.searchsorted(split.token_starts, pair.second[0], side="right")) - 1
        assert (second_document == document) is (not pair.from_elsewhere)
        assert pair.from_elsewhere or pair.first[1] == pair.second[0]
        assert pair.first[1] in split.sentence_starts
        assert pair.second[1] - pair.second[0] + pair.first[1] - pair.first[0] <= 61
    assert min(seen.values()) > 0


def test_a_chunk_of_one_sentence_stays_alone(make_split):
    pairs = SegmentPairs(make_split([[[7] * 5], [[8] * 5]]), 16)
    assert pairs.pair(0, np.random.default_rng(0)).second is None


def test_the_only_document_cannot_be_paired_with_another(make_split):
    pairs = SegmentPairs(make_split([[[7] * 5, [8] * 5]]), 16)
    assert pairs.pair(0, np.random.default_rng(0)).from_elsewhere is None


def test_chunks_are_counted_by_document_and_found_in_all_others(make_split):
    split = make_split([[[1] * 5, [2] * 5], [[3] * 4], [[4] * 6, [5] * 6]])
    chunks = DocumentChunks(split, 6)
    assert [chunks.span(number) for number in range(len(chunks))] == [
        (0, 5),
        (5, 10),
        (10, 14),
        (14, 20),
        (20, 26),
    ]
    assert [chunks.document_of(number) for number in range(5)] == [0, 0, 1, 2, 2]
    assert [chunks.count_of(document) for document in range(3)] == [2, 1, 2]
    assert [chunks.elsewhere(1, number) for number in range(4)] == [0, 1, 3, 4]
    assert [chunks.elsewhere(0, number) for number in range(3)] == [2, 3, 4]
