"""Words and phrases of a list in a text: found as an obvious search finds them, whatever the list and the text."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels.word_lists import build_word_automaton, measure_listed_shares
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.unicode import NO_SPACES


def shares(entries, *texts):
    found = measure_listed_shares(
        *get_text_buffers(pa.array(texts, pa.string())), build_word_automaton(list(entries))
    )
    assert found.dtype == np.float32
    return found.tolist()


def fold(text):
    low = (
        char.lower() if len(char.lower()) == 1 else char
        for char in text.replace("\ufe0f", "").replace("’", "'")
    )
    return "".join(" " if char.isspace() else char for char in low)


def squeeze(text):
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def kinds_of(text):
    """J of a word in a script with spaces, M a mark behind such, m another mark, anything else a dot."""
    kinds = ""
    for char in text:
        general = unicodedata.category(char)[0]
        alone = any(first <= ord(char) <= last for first, last in NO_SPACES)
        if general == "M":
            kinds += "M" if kinds[-1:] in ("J", "M") else "m"
        else:
            kinds += "J" if general in "LN" and not alone else "."
    return kinds


def is_cut(kinds, at):
    if at in (0, len(kinds)):
        return True
    return kinds[at] not in "Mm" and not (kinds[at - 1] in "JM" and kinds[at] == "J")


def reference(entries, text):
    text, covered = squeeze(fold(text)), set()
    kinds = kinds_of(text)
    for entry in {squeeze(fold(entry.strip())) for entry in entries}:
        for start in range(len(text)):
            end = start + len(entry)
            if text.startswith(entry, start) and is_cut(kinds, start) and is_cut(kinds, end):
                covered.update(range(start, end))
    solid = [at for at, char in enumerate(text) if char != " "]
    return np.float32(sum(at in covered for at in solid) / len(solid)) if solid else 0


CHARS = st.sampled_from(
    [*"abAB1_-&' \n", "é", "\u0301", "我", "操", "は", "ก", "\u0e34", "🖕", "\ufe0f", "’", "ß"]
)
TEXTS = st.text(CHARS, max_size=30)
LISTS = st.lists(
    st.text(CHARS, min_size=1, max_size=4).filter(lambda entry: fold(entry).strip()),
    min_size=1,
    max_size=6,
)


@settings(max_examples=400, deadline=None)
@given(entries=LISTS, texts=st.lists(TEXTS, max_size=3))
def test_any_list_covers_of_any_text_what_an_obvious_search_covers(entries, texts):
    assert shares(entries, *texts) == [reference(entries, text) for text in texts]


@settings(max_examples=100, deadline=None)
@given(
    entries=st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=12),
    text=st.text("ab ", max_size=60),
)
def test_entries_that_lie_within_or_overlap_each_other_count_every_character_once(entries, text):
    assert shares(entries, text) == [reference(entries, text)]


@pytest.mark.parametrize(
    ("entry", "text", "share"),
    [
        ("arse", "An ARSE.", 4 / 7),
        ("arse", "the arsenal, sparse", 0),
        ("arse", "(arse)", 4 / 6),
        ("arse", "my_arse_1", 4 / 9),
        ("bad dog", "a bad\n\n dog", 6 / 7),
        ("bad dog", "a bad, dog", 0),
        ("don't", "I don’t", 5 / 6),
        ("s&m", "the S&M club", 3 / 10),
        ("操你", "我操你们", 2 / 4),
        ("くそ", "このくそったれ", 2 / 7),
        ("🖕", "🖕🏽 no", 1 / 4),
        ("caf\u00e9", "cafe", 0),
        ("кот", "Кот и котёл", 3 / 9),
    ],
)
def test_words_stand_alone_where_there_are_spaces_and_anywhere_where_there_are_none(
    entry, text, share
):
    assert shares([entry], text) == [np.float32(share)]


def test_slices_nulls_and_texts_without_a_character_are_read_as_they_are():
    column = pa.array(["arse", "an arse", None, "", " \n "])
    found = measure_listed_shares(
        *get_text_buffers(column.slice(1)), build_word_automaton(["arse"])
    )
    assert found.tolist() == [np.float32(4 / 6), 0, 0, 0]
    assert measure_listed_shares(
        *get_text_buffers(pa.array([], pa.string())), build_word_automaton(["arse"])
    ).shape == (0,)


def test_time_is_linear_where_every_place_begins_most_of_an_entry():
    """Walking on from each place would take 10^10 steps here."""
    entries = ["a" * 100_000 + "b", *("a" * length for length in range(1, 400))]
    assert shares(["我" * 100_000 + "们"], "我" * 300_000) == [0]
    assert shares(entries, "a" * 300_000) == [0]
    assert shares(entries, "a " * 100_000) == [1]
