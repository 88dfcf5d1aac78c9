"""The matcher finds listed words as the lexicon README says, and agrees with a slow reference."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bias_audit import lexicon
from bias_audit.lexicon import Label, Lexicon
from bias_audit.matcher import compile_lexicon, scan


@pytest.fixture(scope="module")
def english():
    return lexicon.load_lexicon("en"), compile_lexicon(lexicon.load_lexicon("en"))


@pytest.fixture(scope="module")
def chinese():
    return lexicon.load_lexicon("zh"), compile_lexicon(lexicon.load_lexicon("zh"))


def mentions(pair, text: str) -> Counter:
    words, automaton = pair
    found = scan(pa.array([text]), automaton)
    return Counter(words.labels[index].key for index in found.match_label)


def sentences(pair, *texts: str) -> list[tuple[int, int]]:
    found = scan(pa.array(list(texts)), pair[1])
    return list(zip(found.sentence_doc.tolist(), found.sentence_words.tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She said her mother left.", {"gender/female": 3}),
        ('SHE, he; (his) "him" she\'s', {"gender/female": 2, "gender/male": 3}),
        ("The sheep, other, theme, history and mankind.", {}),
        ("“She” and ‘he’—his", {"gender/female": 1, "gender/male": 2}),
        ("A Polish nurse will polish it.", {"region/eastern_europe": 1, "nurse": 1}),
        ("An old man and a man.", {"age/old": 1, "gender/male": 2}),
        ("The Isle of Man and a man page about a man", {"gender/male": 1}),
        ("Two South African police officers.", {"region/africa": 1, "police officer": 1}),
        ("naïve hé él she", {"gender/female": 1}),
        ("the_she she_ 2she", {"gender/female": 2}),
        ("", {}),
    ],
)
def test_english_words_match_between_word_borders(english, text, expected):
    assert mentions(english, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("她说他是护士。", {"gender/female": 1, "gender/male": 1, "护士": 1}),
        ("其他的吉他和他们", {}),
        ("马耳他人和他", {"gender/male": 1}),
        ("外祖母看见祖母", {"gender/female": 2}),
        ("那位老太太", {"age/old": 1, "gender/female": 1}),
        ("她们是女孩子", {"gender/female": 2}),
        ("外科医生和医生", {"外科医生": 1, "医生": 1}),
        ("北京人是北方人", {"home_region/north": 2}),
        ("no Han at all", {}),
    ],
)
def test_chinese_words_match_as_substrings_and_exceptions_hide_them(chinese, text, expected):
    assert mentions(chinese, text) == expected


def test_a_group_is_counted_once_per_place_but_two_kinds_of_words_may_overlap(english):
    assert mentions(english, "young women") == {"age/young": 1, "gender/female": 1}


def test_words_and_sentences_are_counted_per_document(english):
    assert sentences(english, "One two. Three!\nFour", "", "Don't stop? It's 3.5 percent") == [
        (0, 2),
        (0, 1),
        (0, 1),
        (2, 2),
        (2, 4),
    ]


def test_quotes_around_a_word_do_not_join_it_to_the_word_before(english):
    assert sentences(english, "said 'she' and rock’n’roll") == [(0, 4)]


def test_chinese_counts_han_characters_and_chinese_marks(chinese):
    assert sentences(chinese, "她走了。他AB没走！好", "abc。") == [(0, 3), (0, 3), (0, 1)]


def test_words_sum_to_the_sentences_of_each_document(english):
    found = scan(pa.array(["a b. c", "", "d"]), english[1])
    assert found.words(3).tolist() == [3, 0, 1]


def test_sliced_and_null_columns_are_read_at_their_place(english):
    column = pa.array(["she", None, "he he", "his", "her"])
    sliced = scan(column.slice(1, 3), english[1])
    assert sliced.match_doc().tolist() == [1, 1, 2]
    assert scan(pa.array([], pa.string()), english[1]).match_label.size == 0


def test_surfaces_that_differ_only_in_case_are_refused():
    words = Lexicon("en", (Label("group", "a", "b"),), (("polish", 0), ("Polish", 0)), ())
    with pytest.raises(ValueError, match="differ only in case"):
        compile_lexicon(words)


SHORT_LIST = Lexicon(
    "en",
    tuple(Label("group", "test", name) for name in ("female", "male", "old", "polish", "nurse")),
    (
        ("she", 0),
        ("her", 0),
        ("he", 1),
        ("man", 1),
        ("old man", 2),
        ("Polish", 3),
        ("nurse", 4),
        ("Isle of Man", -1),
        ("mother tongue", -1),
    ),
    (),
)
SHORT_AUTOMATON = compile_lexicon(SHORT_LIST)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "she",
                "She",
                "her",
                "he",
                "man",
                "Isle of Man",
                "old man",
                "-",
                " ",
                ".",
                "é",
                "的",
                "mother tongue",
                "'s",
                "nurse",
                "\n",
                "x",
                "Polish",
                "polish",
            ]
        ),
        max_size=40,
    )
)
def test_english_matches_equal_a_slow_regular_expression(parts):
    text, by_surface, word = (
        "".join(parts),
        dict(SHORT_LIST.entries),
        "0-9A-Za-z\u00c0-\u07ff\u1000-\u1fff",
    )
    expected: Counter = Counter()
    for begin in re.finditer(f"(?<![{word}])[{word}]", _blank_exceptions(text, by_surface, word)):
        rest = text[begin.start() :]
        hits = [s for s in by_surface if re.match(f"{_cased(s)}(?![{word}])", rest)]
        if hits and by_surface[max(hits, key=len)] >= 0:
            expected[SHORT_LIST.labels[by_surface[max(hits, key=len)]].key] += 1
    assert mentions((SHORT_LIST, SHORT_AUTOMATON), text) == expected


def _cased(surface: str) -> str:
    return (
        re.escape(surface)
        if surface[0].isupper() and " " not in surface
        else f"(?i:{re.escape(surface)})"
    )


def _blank_exceptions(text: str, by_surface: dict, word: str) -> str:
    """Overwrite all but the first letter of exceptions, so that no match can begin inside them."""
    for surface in (s for s, index in by_surface.items() if index < 0):
        pattern = f"(?<![{word}]){_cased(surface)}(?![{word}])"
        text = re.sub(pattern, lambda found: found[0][0] * len(found[0]), text)
    return text


def test_matching_is_a_sum_over_documents(chinese):
    texts = ["她是老师。", "他是医生，也是父亲。", "其他"]
    together = scan(pa.array(texts), chinese[1])
    alone = [scan(pa.array([text]), chinese[1]) for text in texts]
    assert (
        together.match_label.tolist() == np.concatenate([one.match_label for one in alone]).tolist()
    )
    assert together.words(3).tolist() == [int(one.words(1)[0]) for one in alone]
