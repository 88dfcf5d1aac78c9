"""Thai words: every text is cut as PyThaiNLP itself cuts it, and only documents in Thai are cut so."""

import gzip
import math
import random
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels.quality import FIELDS
from pipelines.annotate.kernels.thai import segment_thai
from pipelines.annotate.kernels.thai_tables import (
    ThaiWords,
    build_cluster_automaton,
    load_thai_words,
    make_empty_thai_words,
    read_words,
)
from pipelines.annotate.kernels.token_classes import build_flag_table
from pipelines.annotate.signals.table import SIGNAL_FIELDS, compute_signal_columns, load_stop_words
from pipelines.contract import load_preset_rules

CONSONANTS, VOWELS, MARKS = "กขคงจชดตทนบปพมยรลวสหอฮ", "ะัาำิีึืุูเแโใไ", "็่้๊๋์"
COMMON = "ที่ การ เป็น และ ใน มี ของ ได้ ว่า ไม่ ให้ จะ นี้ คน ประเทศ บริษัท เศรษฐกิจ ความ สามารถ มากที่สุด ตากลม นั่งตากลม ร ทร ง".split()
PIECES = [
    "กรุงเทพมหานคร",
    "รถไฟฟ้า",
    "เคลียริง",
    "เฮาส์",
    "ตากลม",
    "พ.ศ.",
    "ฯลฯ",
    "ๆ",
    "ต่าง ๆ",
    "แมนฯ ซิตี้",
    "ฯ",
    "๏",
    "๛",
    "฿",
    "ฤๅษี",
    "๑๒๓",
    "๑,๒๓๔.๕",
    "1,234.5",
    "12:30น.",
    "127.0.0.1",
    "1.",
    ":2",
    ",3",
    "1.2.",
    "٣٫٤",
    "٣.٤",
    "²",
    "①",
    "½",
    "x1.2",
    "3G",
    "hello",
    "well-known",
    "C++",
    "-",
    "--",
    "e.g.",
    "é",
    "中文",
    "한국",
    "ລາວ",
    "ខ្មែរ",
    "👍🏽",
    "👩‍👩‍👧",
    "!?",
    "...",
    "…",
    "“",
    "”",
    "(",
    ")",
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\u3000",
    "\xa0",
    "\u200b",
    "\x00",
    "\x0b",
    "\x1c",
    "\x85",
    "\u2028",
    "เ",
    "แ",
    "ะ",
    "ั",
    "ำ",
    "็",
    "่",
    "์",
    "ฺ",
    "ํ",
    "๎",
    "\u0e3b",
    "\u0e7f",
    "ก่่",
    "ก์์",
    "เก็",
    "เก่ง",
    "เกี๊ย",
    "เกี๊ยะ",
    "เกื้อ",
    "กร๊วก",
]
TEXTS = st.one_of(
    st.text(st.sampled_from(CONSONANTS + VOWELS + MARKS), max_size=60),
    st.text(st.characters(min_codepoint=0x0E00, max_codepoint=0x0E7F), max_size=40),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "ignore").decode()),
    st.text("ก่ะ์1.,: x-\n", max_size=30),
    st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from(COMMON)), max_size=60).map("".join),
)
LONG_TEXTS = st.lists(
    st.one_of(
        st.sampled_from(COMMON),
        st.sampled_from(PIECES),
        st.text(st.sampled_from(CONSONANTS + VOWELS + MARKS)),
    ),
    min_size=30,
    max_size=200,
).map("".join)
"""Mostly of the 140 characters and more that are cut in pieces first."""


def points_of(text):
    points = np.frombuffer(text.encode("utf-32-le"), "<i4").copy()
    known = np.minimum(points, len(build_flag_table()) - 1)
    return points, np.where(points == known, build_flag_table()[known], 0).astype(np.uint16)


def words(text, tables=None):
    points, flags = points_of(text)
    starts, ends = (np.empty(len(points) + 1, np.int32) for _ in range(2))
    count = segment_thai(points, flags, len(points), tables or load_thai_words(), starts, ends)
    return [text[first:last] for first, last in zip(starts[:count], ends[:count], strict=True)]


def dictionary(*entries):
    """Tables that know these words only."""
    return ThaiWords(*read_words("\n".join(entries)), *load_thai_words()[3:])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("โอเคบ่พวกเรารักภาษาบ้านเกิด", "โอเค|บ่|พวกเรา|รัก|ภาษา|บ้านเกิด"),
        ("วรรณกรรม ภาพวาด และการแสดงงิ้ว ", "วรรณกรรม|ภาพวาด|และ|การแสดง|งิ้ว"),
        ("ชินโซ อาเบะ เกิด 21 กันยายน", "ชิน|โซ|อา|เบะ|เกิด|21|กันยายน"),
        ("เงิน1,234บาท19:32น 127.0.0.1", "เงิน|1,234|บาท|19:32|น|127.0.0.1"),
        ("ราคา ๑,๒๓๔.๕๐ บาท", "ราคา|๑,๒๓๔.๕๐|บาท"),
        ("ใช้iPhone 15-Proนะครับ!", "ใช้|iPhone|15|-Pro|นะ|ครับ|!"),
        ("คน😀ไทย", "คน|😀|ไทย"),
        ("a\u3000b\xa0c", "a|b\xa0c"),
        ("\t \n　", ""),
        ("", ""),
    ],
)
def test_sentences_are_cut_like_this(text, expected):
    assert "|".join(words(text)) == expected


@settings(max_examples=2000, deadline=None)
@given(text=TEXTS)
@example(text="ตากลม" * 40)
@example(text="มากกว่า" * 30 + "x")
@example(text="ก" * 139)
@example(text="ก" * 141)
@example(text="ทรงงาน" * 23 + "\n")
@example(text="เกี๊ย\n")
@example(text="1.2.3.")
@example(text="1" * 150 + ".5")
def test_any_text_is_cut_as_pythainlp_cuts_it(text, pythainlp_words):
    assert words(text) == pythainlp_words(text)


@settings(max_examples=300, deadline=None)
@given(text=LONG_TEXTS)
def test_any_long_text_is_cut_as_pythainlp_cuts_it(text, pythainlp_words):
    assert words(text) == pythainlp_words(text)


@pytest.mark.parametrize("size", range(100, 300, 7))
def test_pieces_end_where_pythainlp_ends_them(size, pythainlp_words):
    rng = random.Random(size)
    for between in ("", " ", "\n"):
        text = between.join(rng.choices(COMMON, k=size))[:size]
        assert words(text) == pythainlp_words(text)


def test_every_word_of_the_dictionary_is_cut_as_pythainlp_cuts_it_beside_others(
    pythainlp, pythainlp_words
):
    rng = random.Random(3)
    entries = sorted(pythainlp.corpus.thai_words())
    rng.shuffle(entries)
    for i in range(0, len(entries), 40):
        text = "".join(entries[i : i + 40])
        assert words(text) == pythainlp_words(text)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_words_side_by_side_are_the_text_without_white_space_around_them(text):
    at = 0
    for word in words(text):
        assert word == word.strip() != ""
        found = text.index(word, at)
        assert text[at:found].strip() == ""
        at = found + len(word)
    assert text[at:].strip() == ""


@settings(max_examples=200, deadline=None)  # PyThaiNLP's expressions take 40 ms a text
@given(text=st.text(st.sampled_from("กยวรอฮะัาำิีึืุูเแโใไ็่๋์ๆ\nx"), min_size=1, max_size=12))
def test_clusters_are_those_of_pythainlps_expressions(text, pythainlp):
    assert clusters(text) == pythainlp.tokenize.tcc_p.segment(text)


def clusters(text):
    """By the automaton, step by step."""
    kinds, steps = build_cluster_automaton()
    last = len(text) - text.endswith("\n")
    found, first = [], 0
    while first < len(text):
        state, end, at = 1, first + 1, first
        while state:
            inside = at < last and 0x0E00 <= ord(text[at]) <= 0x0E7F
            kind = kinds[ord(text[at]) - 0x0E00] if inside else 0
            state, ended = divmod(int(steps[state, kind if at < last else -1]), 2)
            end = at if ended else end
            at += 1
        found.append(text[first:end])
        first = end
    return found


def test_real_sentences_are_cut_as_pythainlp_cuts_them(shared_data, pythainlp_words):
    with gzip.open(shared_data / "langid/lingua_sentences.tsv.gz", "rt", encoding="utf-8") as lines:
        sentences = [line.rstrip("\n").split("\t")[1] for line in lines if line.startswith("tha\t")]
    for i in range(0, len(sentences), 20):
        for between in ("", " ", "\n"):
            text = between.join(sentences[i : i + 20])
            assert words(text) == pythainlp_words(text)


@pytest.mark.timeout(60, func_only=True)
@pytest.mark.parametrize(
    "text", ["ก", "ตากลม", "มากกว่า", "เกี๊ยะ", "่", "1", "1.", "x", "👍", "\n", "ก ", "ๆ\r"]
)
def test_a_million_characters_take_linear_time(text):
    text = text * (10**6 // len(text))
    assert "".join("".join(words(text)).split()) == "".join(text.split())


def test_the_fewest_words_are_taken_and_of_equals_the_one_that_begins_with_a_shorter_word():
    assert words("กาตา", dictionary("กา", "ตา", "กาตา")) == ["กาตา"]
    assert words("กาตานา", dictionary("กา", "ตานา", "กาตา", "นา")) == ["กา", "ตานา"]
    assert words("กาตานา", dictionary("กา", "ตา", "กาตา", "นา")) == ["กาตา", "นา"]


def test_no_word_tears_a_cluster():
    assert words("กา", dictionary("ก")) == ["กา"]
    assert words("กก", dictionary("ก")) == ["ก", "ก"]


def test_what_no_word_covers_goes_on_to_the_next_word_of_more_than_two_consonants():
    assert words("ยยกกยตา", dictionary("กก", "ตา")) == ["ยยกกย", "ตา"]
    assert words("ยยกกกยตา", dictionary("กกก", "ตา")) == ["ยย", "กกก", "ย", "ตา"]


def test_words_may_hold_blanks_and_dots():
    assert words("ต่าง ๆ พ.ศ. 2500", dictionary("ต่าง ๆ", "พ.ศ.")) == ["ต่าง ๆ", "พ.ศ.", "2500"]


def test_a_dictionary_is_held_as_the_beginnings_of_its_words_by_length():
    labels, firsts, ends = read_words("กา\nกาตา\n กรง\n\nกา\n")
    assert [labels[ord(char)] for char in "กงตรา"] == [1, 2, 3, 4, 5]
    assert firsts.tolist() == [1, 2, 4, 5, 6, 6, 7, 7]  # ก; กร, กา; กรง, กาต; กาตา
    assert [end >> 2 for end in ends] == [0, 1, 4, 5, 2, 3, 5, 0]
    assert [end & 3 for end in ends] == [0, 0, 0, 3, 3, 0, 3, 0]


def test_words_of_one_or_two_consonants_are_no_long_ones():
    ends = read_words("กก\nก\nกกก")[2]
    assert [end & 3 for end in ends] == [0, 1, 1, 3, 0]


def test_an_empty_dictionary_leaves_only_what_is_not_thai():
    assert words("กา x 1", dictionary()) == ["กา", "x", "1"]


@pytest.mark.parametrize(("lang", "count"), [("th", 6), ("lo", 23), ("ko", 23), ("und", 23)])
def test_documents_in_thai_have_words_and_others_characters(lang, count):
    columns = compute_signal_columns(pa.array(["โอเคบ่พวกเรารักภาษาบ้านเกิด"]), pa.array([lang]))
    assert SIGNAL_FIELDS[1].name == "words"
    assert columns[1].to_pylist() == [count]


def test_a_batch_may_hold_thai_beside_chinese_and_other_languages():
    texts = ["พวกเรารักภาษาบ้านเกิด", "the old mill", "我来到北京清华大学", "ภาษา"]
    langs = ["th", "en", "zh", "th"]
    together = compute_signal_columns(pa.array(texts), pa.array(langs))
    for row, (text, lang) in enumerate(zip(texts, langs, strict=True)):
        alone = compute_signal_columns(pa.array([text]), pa.array([lang]))
        assert [column[row] for column in together] == [column[0] for column in alone]


def test_tables_without_content_have_the_types_of_full_ones():
    shapes = [
        [(table.dtype, table.ndim) for table in tables()]
        for tables in (load_thai_words, make_empty_thai_words)
    ]
    assert shapes[0] == shapes[1]


def test_pythainlps_code_is_never_imported_and_its_list_only_where_a_document_is_thai():
    code = """
import sys, pyarrow as pa
from pipelines.annotate.kernels.thai_tables import load_thai_words
from pipelines.annotate.signals.table import compute_signal_columns
compute_signal_columns(pa.array(["x", "我来到"]), pa.array(["en", "zh"]))
print(load_thai_words.cache_info().currsize)
compute_signal_columns(pa.array(["ภาษา"]), pa.array(["th"]))
print(load_thai_words.cache_info().currsize, 'pythainlp' in sys.modules)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.split() == ["0", "1", "False"]


def test_every_fineweb2_rule_that_other_languages_have_is_there_for_thai():
    rules = [rule for rule in load_preset_rules() if rule.preset == "fineweb2"]
    assert {rule.signal for rule in rules} <= set(FIELDS)
    lacking = [
        rule.name for rule in rules if rule.only_languages and "th" not in rule.only_languages
    ]
    assert lacking == ["fw2_line_ends"]  # Thai marks no end of a sentence: the published bound is 0
    bounds = {rule.name: rule.bounds("th") for rule in rules}
    assert bounds["fw2_word_length"] == (2, 10)
    assert bounds["fw2_letters"] == (0.9, math.inf)
    assert bounds["fw2_top_2gram"] == (-math.inf, 0.221)
    assert bounds["fw2_repeated_10grams"] == (-math.inf, 0.111)
    assert bounds["fw2_line_breaks"] == (-math.inf, 0.153)
    assert bounds["fw2_too_few_words"] == (50, math.inf)
    assert bounds["fw2_stop_words"] == (2, math.inf)


def test_every_thai_stop_word_is_a_word_by_itself():
    for word in load_stop_words()["th"]:
        assert words(word) == [word]
