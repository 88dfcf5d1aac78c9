"""Hashes of lines are those of the xxhash package over lines folded by a plain loop, for any text and any batch."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.signals.table import LINE_HASHES, hash_lines
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.line_hashes import build_fold_table, fold_texts, hash_xxh64

MILLION = 10**6
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


def is_white(char):
    """Unicode's White_Space, in the version that all characters of it are older than."""
    return char in "\t\n\x0b\x0c\r\x85" or unicodedata.category(char) in ("Zs", "Zl", "Zp")


def folded(line):
    """The rule of the module as a plain loop over characters."""
    made = ""
    for char in line:
        low = char.lower() if len(char.lower()) == 1 else char
        made += " " if is_white(char) else low
    return " ".join(part for part in made.split(" ") if part)


def expected(text):
    lines = [folded(line) for line in text.split("\n")]
    return [xxhash.xxh64_intdigest(line.encode()) for line in lines if line]


def hashed(*texts):
    column = hash_lines(fold_texts(*get_text_buffers(pa.array(texts, pa.string()))))
    assert column.type == LINE_HASHES and column.null_count == 0
    column.validate(full=True)
    return column.to_pylist()


def fold_whole(*texts):
    made = fold_texts(*get_text_buffers(pa.array(texts, pa.string())))
    return [
        made.text[made.cuts[i] : made.cuts[i + 1]].tobytes().decode() for i in range(len(texts))
    ]


@settings(max_examples=500, deadline=None)
@given(
    texts=st.lists(
        TEXT | st.text(st.sampled_from("aA \n\u3000\x85Σİ\u023a中😀\t"), max_size=20), max_size=4
    )
)
@example(texts=["\u023a" * 9, "\u023a", ""])
@example(texts=[" ", "a", "\n a \n", " "])
def test_texts_are_folded_as_lines_whose_breaks_are_white_space(texts):
    assert fold_whole(*texts) == [folded(text) for text in texts]
    assert fold_whole(*fold_whole(*texts)) == fold_whole(*texts)


@pytest.mark.parametrize("size", [*range(72), 95, 96, 97, 128, 1000, 4095])
def test_the_kernels_hash_is_that_of_the_xxhash_package_for_every_length(size):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    words = np.full(
        size // 8 + 1, 0xFFFF_FFFF_FFFF_FFFF, np.uint64
    )  # what lies behind the end must not count
    words.view(np.uint8)[:size] = data
    assert int(hash_xxh64(words, size)) == xxhash.xxh64_intdigest(data.tobytes())


def test_the_published_values_of_the_hash_are_met():
    words = np.zeros(8, np.uint64)
    assert int(hash_xxh64(words, 0)) == 0xEF46DB3751D8E999
    words.view(np.uint8)[:3] = list(b"abc")
    assert int(hash_xxh64(words, 3)) == 0x44BC2CF5AD770999


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        (" \n\t\n\u3000\n\x85\u2028", []),
        ("abc", ["abc"]),
        ("  The  OLD\tMill \n\nthe old mill", ["the old mill", "the old mill"]),
        ("a\r\nb\rc", ["a", "b c"]),
        ("one\u2028two\x85three", ["one two three"]),
        ("ÉCOLE ΣΊΣΥΦΟΣ", ["école σίσυφοσ"]),
        ("İstanbul ISPARTA", ["İstanbul isparta"]),
        ("Ⱥ\u212a", ["ⱥk"]),
        ("磨坊　在　河边", ["磨坊 在 河边"]),
        ("\x00\x00\n\x00", ["\x00\x00", "\x00"]),
        ("\u0301\n\u202eשלום", ["\u0301", "\u202eשלום"]),
        ("𐐀 😀 \U000e0101", ["𐐨 😀 \U000e0101"]),
        ("last line without end\n", ["last line without end"]),
    ],
)
def test_lines_are_folded_as_the_rule_says(text, lines):
    assert hashed(text) == [[xxhash.xxh64_intdigest(line.encode()) for line in lines]]


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(TEXT, max_size=6))
@example(texts=["", "\n", "", "a"])
@example(texts=["A" * 31 + "\n" + "B" * 32 + "\n" + "é" * 33])
def test_the_hashes_of_any_batch_are_those_of_a_plain_loop(texts):
    assert hashed(*texts) == [expected(text) for text in texts]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_tricky_characters_are_folded_as_by_a_plain_loop(data, tricky):
    text = data.draw(
        st.text(st.sampled_from([*tricky, "\n", " ", "A", "Ⱥ", "İ", "\U00010400"]), max_size=60)
    )
    assert hashed(text) == [expected(text)]


def test_the_lines_of_a_slice_and_of_nulls_are_their_own():
    column = pa.array(["skipped\nlines", "A\nb", None, "c"], pa.string()).slice(1)
    assert hash_lines(fold_texts(*get_text_buffers(column))).to_pylist() == [
        expected("a\nb"),
        [],
        expected("c"),
    ]


def test_no_documents_have_no_lines():
    made = fold_texts(*get_text_buffers(pa.array([], pa.string())))
    assert (len(made.hashes), made.ends.tolist(), len(made.text), made.cuts.tolist()) == (
        0,
        [0],
        0,
        [0],
    )


@pytest.mark.parametrize("char", ["x", "中", "Ⱥ", "İ", " ", "\x00", "\u0301", "😀", "é", "\u202e"])
def test_a_line_of_a_million_characters_is_one_line(char):
    assert hashed(char * MILLION) == [expected(char * MILLION)]


def test_a_million_lines_are_hashed_in_order():
    [hashes] = hashed("".join(f"Line {number % 7}\n" for number in range(MILLION)))
    assert len(hashes) == MILLION
    assert hashes[:8] == [
        xxhash.xxh64_intdigest(f"line {number % 7}".encode()) for number in range(8)
    ]
    assert len(set(hashes)) == 7


def test_no_character_grows_by_more_than_the_room_that_is_made_for_it():
    table = build_fold_table()
    codes = [code for code in range(len(table)) if not 0xD800 <= code < 0xE000]
    grown = [
        code for code in codes if 2 * len(chr(table[code]).encode()) > 3 * len(chr(code).encode())
    ]
    assert grown == []


def test_characters_that_are_copied_unseen_have_neither_case_nor_space():
    table = build_fold_table()
    assert all(table[code] == code for code in range(0x4000, 0xA000))
