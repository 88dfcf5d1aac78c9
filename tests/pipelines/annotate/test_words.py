"""Words: the kernel agrees with an obvious reference on every text, and stop words hash as words in texts do."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.unicode import (
    DIGIT,
    LAST,
    LETTER,
    MARK,
    OTHER,
    SINGLE,
    SPACE,
    build_class_table,
    build_lower_table,
)
from pipelines.kernels.words import decode_point, hash_word

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def word_hashes(words):
    lower = build_lower_table()
    points = [lower[[ord(char) for char in word.replace("’", "'")]] for word in words]
    return np.array([hash_word(point) for point in points], np.uint64)


def texts(tricky):
    return st.one_of(ANY, st.text(st.sampled_from(tricky), max_size=60))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("   \n\t", []),
        ("Hello, World", ["hello", "world"]),
        ("don't stop", ["don't", "stop"]),
        ("don’t stop", ["don't", "stop"]),
        ("'quoted' rock 'n' roll", ["quoted", "rock", "n", "roll"]),
        ("dogs' bones", ["dogs", "bones"]),
        ("the 90's o'clock", ["the", "90", "s", "o'clock"]),
        ("it''s", ["it", "s"]),
        ("abc123 3rd", ["abc123", "3rd"]),
        ("state-of-the-art", ["state", "of", "the", "art"]),
        ("中文字", ["中", "文", "字"]),
        ("我用Python3写code。", ["我", "用", "python3", "写", "code"]),
        ("カタカナとかな", list("カタカナとかな")),
        ("人々〇", ["人", "々", "〇"]),
        ("ที่การ", ["ที่", "ก", "า", "ร"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("e\u0301tude", ["e\u0301tude"]),
        ("\u0301 alone", ["alone"]),
        ("👍🏽 ok", ["ok"]),
        ("a\x00b", ["a", "b"]),
        ("ÉCOLE Straße", ["école", "straße"]),
        ("\U00020000\U00020001", ["\U00020000", "\U00020001"]),
        ("葛\U000e0101", ["葛"]),
        ("x\u200dy", ["x", "y"]),
    ],
)
def test_words_of_a_text(text, words, words_of, kernel_words):
    assert words_of(text) == words
    assert kernel_words(text)[3].tolist() == word_hashes(words).tolist()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_spans_lengths_letters_and_hashes_agree_with_the_reference(
    data, tricky, word_spans, words_of, char_kind, kernel_words
):
    text = data.draw(texts(tricky))
    starts, ends, lengths, hashes, letters, chars = kernel_words(text)
    spans = word_spans(text)
    at_byte = np.cumsum([0, *(len(char.encode()) for char in text)])
    assert starts.tolist() == [int(at_byte[a]) for a, _ in spans]
    assert ends.tolist() == [int(at_byte[b]) for _, b in spans]
    assert lengths.tolist() == [b - a for a, b in spans]
    assert letters.tolist() == [any(char_kind(c) in "LS" for c in text[a:b]) for a, b in spans]
    assert chars == len(text)
    points = [np.array([ord(char) for char in word], np.uint32) for word in words_of(text)]
    assert hashes.tolist() == [int(hash_word(point)) for point in points]


@settings(max_examples=200, deadline=None)
@given(
    words=st.lists(
        st.text(st.sampled_from("abcXYZéДд'’ΣσςİÄß中の"), min_size=1, max_size=8), max_size=6
    )
)
@example(words=["ΟΔΟΣ"])
@example(words=["İstanbul"])
def test_a_stop_word_hashes_as_the_same_word_in_a_text(words, kernel_words, word_spans):
    for word in words:
        if word_spans(word) == [(0, len(word))]:
            assert kernel_words(word)[3].tolist() == word_hashes([word]).tolist()


def test_upper_and_lower_case_and_both_apostrophes_are_one_word():
    assert len(set(word_hashes(["DON'T", "don't", "Don’t", "don’t"]).tolist())) == 1
    assert len(set(word_hashes(["a", "b", "ab", "ba", "aa", ""]).tolist())) == 6


@settings(deadline=None)
@given(char=st.characters(exclude_categories=["Cs"]))
def test_a_code_point_is_decoded_with_its_size(char):
    raw = np.frombuffer(b"x" + char.encode() + b"y", np.uint8)
    assert decode_point(raw, 1) == (ord(char), len(char.encode()))


def test_every_letter_of_the_scripts_without_spaces_is_a_word_of_its_own():
    table = build_class_table()
    for char in "中々〇あンー가ㄱกำລំကខ\uf900\uff76\U00020000\U0002a6d6":
        expected = LETTER if char in "가ㄱ" else MARK if char == "ំ" else SINGLE
        assert table[ord(char)] == expected, char


def test_the_class_table_knows_the_plain_cases():
    table = build_class_table()
    cases = {
        "a": LETTER,
        "Я": LETTER,
        "7": DIGIT,
        "½": DIGIT,
        "\u0301": MARK,
        " ": SPACE,
        "\u3000": SPACE,
        "\n": SPACE,
    }
    cases |= {"\x85": SPACE, ",": OTHER, "。": OTHER, "👍": OTHER, "\x00": OTHER, "\u200b": OTHER}
    assert {char: int(table[ord(char)]) for char in cases} == cases
    assert table.shape == build_lower_table().shape == (LAST,)


def test_lower_case_keeps_one_character_for_one():
    lower = build_lower_table()
    for char in "AZÉДΣ\U00010400Ⓐ":
        assert chr(lower[ord(char)]) == char.lower()
    for char in "azß中İ1 ":
        assert chr(lower[ord(char)]) == char


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.one_of(st.none(), ANY), max_size=8),
    start=st.integers(0, 8),
    length=st.integers(0, 8),
)
def test_buffers_of_any_slice_give_its_texts_and_nulls_are_empty(rows, start, length):
    array = pa.array(rows, pa.string()).slice(min(start, len(rows)), length)
    data, offsets = get_text_buffers(array)
    found = [data[a:b].tobytes().decode() for a, b in itertools.pairwise(offsets)]
    assert found == [value or "" for value in array.to_pylist()]


def test_a_null_over_bytes_reads_as_an_empty_document():
    whole = pa.array(["abc", "def", "ghi"])
    validity = pa.array([True, False, True]).buffers()[1]
    masked = pa.Array.from_buffers(pa.string(), 3, [validity, *whole.buffers()[1:]])
    data, offsets = get_text_buffers(masked)
    assert [data[a:b].tobytes() for a, b in itertools.pairwise(offsets)] == [b"abc", b"", b"ghi"]


def test_an_empty_column_has_one_offset():
    for empty in (
        pa.array([], pa.string()),
        pa.array(["a"]).slice(1),
        pa.array([], pa.large_string()).cast(pa.string()),
    ):
        _data, offsets = get_text_buffers(empty)
        assert offsets.tolist()[-1] - offsets.tolist()[0] == 0 and len(offsets) == 1


@pytest.mark.parametrize("kind", [pa.large_string(), pa.binary(), pa.string_view()])
def test_kernels_refuse_other_types_than_string(kind):
    with pytest.raises(TypeError, match="kernels take `string`"):
        get_text_buffers(pa.array(["a"]).cast(kind))
