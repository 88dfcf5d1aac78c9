"""The script of a document: exact codes and shares, a table that agrees with other implementations of Unicode, any text."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels.scripts import (
    KANA_SHARE,
    choose_main_scripts,
    count_scripts,
    load_scripts,
)
from pipelines.annotate.signals.script import compute_script_columns
from pipelines.kernels.buffers import get_text_buffers

MILLION = 10**6
BY_NAME = {
    "LATIN": "Latn",
    "CYRILLIC": "Cyrl",
    "GREEK": "Grek",
    "ARABIC": "Arab",
    "HEBREW": "Hebr",
    "THAI": "Thai",
    "DEVANAGARI": "Deva",
    "CJK": "Hani",
    "HIRAGANA": "Hira",
    "KATAKANA": "Kana",
    "HANGUL": "Kore",
    "ARMENIAN": "Armn",
    "GEORGIAN": "Geor",
    "TAMIL": "Taml",
    "BENGALI": "Beng",
    "ETHIOPIC": "Ethi",
    "KHMER": "Khmr",
    "LAO": "Laoo",
    "MYANMAR": "Mymr",
    "TIBETAN": "Tibt",
    "CHEROKEE": "Cher",
    "SINHALA": "Sinh",
    "TELUGU": "Telu",
    "GUJARATI": "Gujr",
    "MONGOLIAN": "Mong",
    "DESERET": "Dsrt",
    "BOPOMOFO": "Bopo",
}
"""How names of letters begin in some scripts."""
LETTERS = {
    "Latn": "abzAZéßøĳ",
    "Cyrl": "яЖі",
    "Grek": "αΩ",
    "Arab": "سلا",
    "Hebr": "שם",
    "Thai": "กข",
    "Deva": "कख",
    "Hani": "中文字国",
    "Hira": "かのは",
    "Kana": "カタ",
    "Kore": "한글각",
    "Geor": "აბ",
    "Dsrt": "𐐀𐐨",
    "": " 1.,\u0301\u202e\x00😀ー𝒜\n",
}


def script_of(char):
    """The script of a letter by its name, `` for what is none: only for characters of LETTERS."""
    if not unicodedata.category(char).startswith("L"):
        return ""
    return BY_NAME.get(unicodedata.name(char).split(" ")[0], "") if char not in "ー𝒜" else ""


def reference(text):
    """(script, share) by a plain loop over the names of characters."""
    counts = {}
    for char in text:
        if code := script_of(char):
            counts[code] = counts.get(code, 0) + 1
    kana = counts.get("Hira", 0) + counts.get("Kana", 0)
    together = kana + counts.get("Hani", 0)
    if kana and kana * KANA_SHARE >= together:
        counts = {code: n for code, n in counts.items() if code not in ("Hira", "Kana", "Hani")} | {
            "Jpan": together
        }
    if not counts:
        return "Zyyy", 0.0
    best = min(counts, key=lambda code: (-counts[code], code))
    return best, counts[best] / sum(counts.values())


def told(*texts):
    names, shares = compute_script_columns(pa.array(texts, pa.string()))
    return list(zip(names.to_pylist(), shares.to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("text", "script", "share"),
    [
        ("", "Zyyy", 0.0),
        ("123 ... \x00 😀", "Zyyy", 0.0),
        ("\u0301\u0301", "Zyyy", 0.0),
        ("The old mill.", "Latn", 1.0),
        ("这座老磨坊在河边。", "Hani", 1.0),
        ("古い水車が川のそばにある。", "Jpan", 1.0),
        ("カタカナ", "Jpan", 1.0),
        ("한국어 문장", "Kore", 1.0),
        ("Старая мельница", "Cyrl", 1.0),
        ("طاحونة قديمة", "Arab", 1.0),
        ("โรงสีเก่า", "Thai", 1.0),
        ("पुरानी चक्की", "Deva", 1.0),
        ("παλιός μύλος", "Grek", 1.0),
        ("טחנה ישנה", "Hebr", 1.0),
        ("ძველი წისქვილი", "Geor", 1.0),
        ("abc磨坊", "Latn", 0.6),
        ("ab磨坊", "Hani", 0.5),
        ("abca 한 中", "Latn", 4 / 6),
        ("한한 中", "Kore", 2 / 3),
        ("𝒜𝒷 a", "Latn", 1.0),
    ],
)
def test_the_script_most_letters_are_in_is_named_with_its_share(text, script, share):
    assert told(text) == [(script, pytest.approx(share))]


def test_chinese_with_a_kana_or_two_stays_chinese_and_with_one_in_ten_is_japanese():
    assert told("中" * 10 + "の") == [("Hani", pytest.approx(10 / 11))]
    assert told("中" * 9 + "の") == [("Jpan", 1.0)]
    assert told("中" * 9 + "の" + "a" * 11) == [("Latn", pytest.approx(11 / 21))]


def test_of_equals_the_first_code_is_taken():
    assert told("яa", "aя", "αя") == [("Cyrl", 0.5), ("Cyrl", 0.5), ("Cyrl", 0.5)]


CHARS = st.sampled_from("".join(LETTERS.values()))


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(st.text(CHARS, max_size=40), max_size=5))
@example(texts=["", "", "中"])
def test_any_batch_is_told_as_by_the_names_of_its_letters(texts):
    assert told(*texts) == [
        (script, pytest.approx(share)) for script, share in map(reference, texts)
    ]


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=4))
def test_any_text_has_a_code_and_a_share_of_its_letters(texts):
    for script, share in told(*texts):
        assert script in load_scripts().codes and 0.0 <= share <= 1.0
        assert (script == "Zyyy") == (share == 0.0)


def test_the_letters_of_every_script_are_those_of_another_implementation():
    """`regex` has its own tables; only code points that both it and this Python know are compared."""
    codes, table = load_scripts()
    known = [
        chr(code)
        for code in range(len(table))
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]
    text = "".join(known)
    ours = {
        code: {ord(char) for char in known if table[ord(char)] == place}
        for place, code in enumerate(codes)
    }
    for code in codes[1:]:
        if code != "Jpan" and ours[code]:
            name = "Hang" if code == "Kore" else code
            theirs = regex.findall(rf"(?V1)[\p{{L}}&&\p{{Script={name}}}]", text)
            assert ours[code] == set(map(ord, theirs)), code


def test_names_of_letters_begin_with_their_script():
    codes, table = load_scripts()
    for code in range(0x20000):
        first = unicodedata.name(chr(code), "").split(" ")[0]
        if unicodedata.category(chr(code)).startswith("L") and first in BY_NAME and table[code]:
            assert codes[table[code]] == BY_NAME[first], hex(code)


def test_shared_letters_and_what_is_no_letter_are_in_no_script():
    table = load_scripts().table
    for char in "ー𝒜ʼ1\u0301\u0e31 .":
        assert table[ord(char)] == 0, char


def test_counts_are_letters_by_script():
    codes = load_scripts().codes
    counts = count_scripts(*get_text_buffers(pa.array(["abé 中", None, "я"], pa.string())))
    assert counts.shape == (3, len(codes))
    assert {codes[i]: int(n) for i, n in enumerate(counts[0]) if n and i} == {"Latn": 3, "Hani": 1}
    assert counts[1].sum() == 0 and counts[2][codes.index("Cyrl")] == 1
    before = counts.copy()
    choose_main_scripts(counts)
    assert (counts == before).all()


def test_codes_are_of_iso_15924_in_order_and_fit_a_byte():
    codes = load_scripts().codes
    assert codes[0] == "Zyyy" and list(codes[1:]) == sorted(set(codes[1:])) and len(codes) < 256
    assert all(len(code) == 4 and code.isalpha() and code.istitle() for code in codes)
    assert {"Latn", "Hani", "Jpan", "Kore", "Cyrl", "Arab", "Thai", "Deva", "Grek", "Hebr"} < set(
        codes
    )


def test_a_slice_and_no_documents_are_told_alone():
    names, shares = compute_script_columns(pa.array(["a", "中", "я"]).slice(1, 1))
    assert (names.to_pylist(), shares.to_pylist()) == (["Hani"], [1.0])
    names, shares = compute_script_columns(pa.array([], pa.string()))
    assert (names.type, shares.type, len(names)) == (pa.string(), pa.float32(), 0)


@pytest.mark.parametrize(
    ("char", "script"),
    [("x", "Latn"), ("中", "Hani"), ("ש", "Hebr"), ("\x00", "Zyyy"), ("𐐀", "Dsrt")],
)
def test_a_million_characters_are_counted_exactly(char, script):
    assert told(char * MILLION + "7") == [(script, 0.0 if script == "Zyyy" else 1.0)]
    assert (
        np.asarray(count_scripts(*get_text_buffers(pa.array([char * MILLION]))))[0].sum()
        == (char != "\x00") * MILLION
    )
