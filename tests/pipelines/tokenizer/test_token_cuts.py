"""Tokens: words and marks are cut as spaCy's English tokenizer cuts them, and as the plain reference does on any text."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels.token_classes import (
    ALPHA,
    SYMBOL,
    build_arabic_flag_table,
    build_flag_table,
    list_contractions,
)
from pipelines.annotate.kernels.tokens import (
    build_token_tables,
    describe_tokens,
    hash_token,
    hash_tokens,
    read_code_points,
    split_tokens,
)


def arrays(text, table=None):
    data = np.frombuffer(text.encode(), np.uint8)
    room = len(data) + 2
    points, flags = np.empty(room, np.int32), np.empty(room, np.uint16)
    starts, ends, held = (np.empty(room, np.int32) for _ in range(3))
    chars = read_code_points(
        data, 0, len(data), build_token_tables()[0] if table is None else table, points, flags
    )
    count = split_tokens(points, flags, chars, build_token_tables(), starts, ends, held)
    return count, chars, points, flags, starts, ends


def tokens(text, table=None):
    count, chars, _, _, starts, ends = arrays(text, table)
    assert chars == len(text)
    return [text[first:last] for first, last in zip(starts[:count], ends[:count], strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The mill, he said, is old.", "The|mill|,|he|said|,|is|old|."),
        (
            "don't can't cannot I'm they'll John's dogs' o'clock",
            "do|n't|ca|n't|can|not|I|'m|they|'ll|John|'s|dogs|'|o'clock",
        ),
        ("don’t WON’T", "do|n’t|WO|N’T"),
        (
            "2,000 3.5 1/2 12:30 2010-11 2010–11 50% 10km 5kg. $5 5$ 1990s",
            "2,000|3.5|1/2|12:30|2010|-|11|2010–11|50|%|10|km|5|kg|.|$|5|5|$|1990s",
        ),
        ("well-known and/or a=b, x,y end.Next", "well|-|known|and|/|or|a|=|b|,|x|,|y|end|.|Next"),
        (
            "Mr. Ives of U.S. and St. Ives, e.g. J. B. NATO.",
            "Mr.|Ives|of|U.S.|and|St.|Ives|,|e.g.|J.|B.|NATO|.",
        ),
        ('Wait... (what?!) "So…" .. ....x', 'Wait|...|(|what|?|!|)|"|So|…|"|..|....|x'),
        (
            "see http://a.example/b-c?d=e, www.example.org/x/y. a@b.example",
            "see|http://a.example/b-c?d=e|,|www.example.org/x/y|.|a@b.example",
        ),
        ("8am 12p.m. 13am", "8|am|12|p.m.|13am"),
        ("一座mill在河边。ไทย", "一|座|mill|在|河|边|。|ไ|ท|ย"),
        ("it--or — that", "it|--|or|—|that"),
        ("", ""),
        (" \n\t ", ""),
        ("-5 +5 + .5 @x /y", "-5|+5|+|.5|@x|/y"),
        (
            "لم يعد. «نعم». كلمة.كلمة 5كم 했다. שלום.",
            "لم|يعد|.|«|نعم|»|.|كلمة.كلمة|5|كم|했다|.|שלום|.",
        ),
    ],
)
def test_a_text_is_cut_by_example(text, expected):
    assert "|".join(tokens(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "قال: «نعم». ثم ذهب، فهل عاد؟ لا؛ لم يعد.",
            "قال|:|«|نعم».|ثم|ذهب|،|فهل|عاد|؟|لا|؛|لم|يعد|.",
        ),
        ("في عام 2010. وفي 1930م، بنسبة 50% و5كم.", "في|عام|2010.|وفي|1930|م|،|بنسبة|50|%|و5|كم|."),
        ("(انظر الملحق). كلمة.كلمة و/أو", "(|انظر|الملحق).|كلمة.كلمة|و|/|أو"),
        ("الولايات المتحدة-الأمريكية — هنا— ☂ مطر☂", "الولايات|المتحدة|-|الأمريكية|—|هنا—|☂|مطر|☂"),
        ("د. أحمد لِلْعَالَمِ. ٢٠١٠.", "د.|أحمد|لِلْعَالَمِ.|٢٠١٠."),
        (
            "http://a.example/b. 3.5 $5 5$ ...نعم… لا!!",
            "http://a.example/b.|3.5|$|5|5|$|...|نعم|…|لا|!|!",
        ),
        ("mill. U.S. NATO. 5kg.", "mill.|U.S.|NATO|.|5kg."),
    ],
)
def test_a_text_in_arabic_is_cut_by_example(text, expected):
    """These are the tokens of spaCy 3.8's Arabic tokenizer."""
    assert "|".join(tokens(text, build_arabic_flag_table())) == expected


ARABIC_PIECES = [
    "كلمة",
    "م",
    "عاد؟",
    "،",
    "؛",
    "».",
    "«",
    ".",
    "..",
    "—",
    "–",
    "-",
    "/",
    " ",
    " ",
    "1930",
    "٢٠١٠",
    "%",
    "ِ",
    "☂",
    "ـ",
    "NATO",
    "mill",
    "5كم",
    "שלום",
    "했다",
]


@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(st.sampled_from(ARABIC_PIECES), max_size=12))
def test_assembled_chunks_in_arabic_are_cut_as_the_reference_cuts_them(pieces, tokens_of):
    text = "".join(pieces)
    assert tokens(text, build_arabic_flag_table()) == tokens_of(text, arabic=True)
    assert tokens(text) == tokens_of(text)


PIECES = [
    "mill",
    "U.S",
    "Mr",
    "don",
    "n't",
    "'s",
    "’",
    "'",
    '"',
    "(",
    ")",
    ".",
    "..",
    ",",
    "-",
    "--",
    "–",
    "—",
    "/",
    ":",
    "://",
    "www.",
    "http",
    "=",
    "3",
    "1990",
    "km",
    "%",
    "$",
    "+",
    "…",
    " ",
    " ",
    "\n",
    "的",
    "ไ",
    "\u0301",
    "☂",
    "a",
    "B",
    "am",
    "p.m.",
    "cannot",
    "#",
    "@",
    "I'm",
    "\xa0",
    "\x1c",
]


@settings(max_examples=600, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
@example(pieces=["www.", "a", "."])
@example(pieces=["a", "'s", "'s"])
def test_assembled_chunks_are_cut_as_the_reference_cuts_them(pieces, tokens_of):
    text = "".join(pieces)
    assert tokens(text) == tokens_of(text)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_text_is_cut_as_the_reference_cuts_it_and_nothing_but_space_is_lost(
    data, tricky, tokens_of
):
    text = data.draw(
        st.one_of(
            st.text(st.sampled_from(tricky), max_size=60),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
        )
    )
    assert tokens(text) == tokens_of(text)
    assert "".join(tokens(text)) == "".join(text.split())


@pytest.mark.parametrize("name", ["wiki_en", "wiki_zh", "web_ud_ewt_en", "books_eltec_de"])
def test_real_documents_are_cut_as_the_reference_cuts_them(shared_data, name, tokens_of):
    import pyarrow.parquet as pq

    texts = pq.read_table(shared_data / "corpus" / f"{name}.parquet", columns=["text"])[
        "text"
    ].to_pylist()[:60]
    for text in texts:
        assert tokens(text[:4000]) == tokens_of(text[:4000])


def test_tokens_are_described_by_their_characters():
    count, _, points, flags, starts, ends = arrays("Über 3rd … ab'")
    lengths, hashes = np.empty(count, np.int32), np.empty(count, np.uint64)
    letters, symbols = np.empty(count, bool), np.empty(count, bool)
    describe_tokens(points, flags, starts, ends, count, lengths, hashes, letters, symbols)
    assert lengths.tolist() == [4, 3, 1, 2, 1]
    assert letters.tolist() == [True, True, False, True, False]
    assert symbols.tolist() == [False, False, True, False, True]
    assert hashes.tolist() == [hash_token(token) for token in ("Über", "3rd", "…", "ab", "'")]


def test_hashes_of_a_list_are_sorted_and_told_apart_by_case():
    found = hash_tokens(["the", "The", "be"])
    assert found.tolist() == sorted({hash_token(word) for word in ("the", "The", "be")})


def test_a_contraction_is_cut_inside_its_length():
    assert all(0 < tail < len(word) for word, tail in list_contractions().items())
    assert len({hash_token(word) for word in list_contractions()}) == len(list_contractions())


def test_flags_are_those_of_unicode_for_every_letter_and_mark():
    table = build_flag_table()
    assert all(bool(table[code] & ALPHA) == chr(code).isalpha() for code in range(0x3000))
    assert table[ord("的")] & ALPHA and table[0x20000] & ALPHA and not table[ord("7")] & ALPHA
    assert all(table[ord(char)] & SYMBOL for char in "!?.,。、()") and not table[ord("$")] & ALPHA


def test_a_word_of_a_million_characters_is_cut_in_time_that_grows_with_it():
    text = "a-" * 500_000
    assert len(tokens(text)) == 999_999
