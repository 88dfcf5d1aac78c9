"""Normalization: idempotent on every text, and each kind of mess has one tidy form."""

import re
import sys
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.extract.normalize import normalize

MESS = "\x00\x08\t\n\x0b\x0c\r\x1c\x1f \x7f\x85\xa0\u200b\u2028\u2029\u2060\u3000\ufeff\ufff9e\u0301\u212b가\u1100\u1161a中"


@settings(max_examples=1000, deadline=None)
@given(text=st.one_of(st.text(), st.text(st.sampled_from(MESS))))
@example(text="a\r\u200b\nb")
@example(text=" \u200b \n\u200b\n\u200b\n ")
@example(text="e\u200b\u0301")
def test_normalizing_twice_changes_nothing_more(text):
    once = normalize(text)
    assert normalize(once) == once


@settings(max_examples=500, deadline=None)
@given(text=st.one_of(st.text(), st.text(st.sampled_from(MESS))))
def test_the_normal_form_is_tidy(text):
    tidy = normalize(text)
    assert unicodedata.is_normalized("NFC", tidy)
    assert "\n\n\n" not in tidy and "  " not in tidy and " \n" not in tidy and "\n " not in tidy
    assert tidy == tidy.strip() and "\r" not in tidy
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in tidy if char != "\n")
    tidy.encode()


@settings(max_examples=300, deadline=None)
@given(text=st.text())
def test_no_letter_is_lost(text):
    def letters(value):
        return "".join(c for c in unicodedata.normalize("NFC", value) if c.isalnum())

    clean = "".join(
        c
        for c in text
        if unicodedata.category(c) not in ("Cc", "Cs")
        and c not in "\u200b\u2060\ufeff\ufff9\ufffa\ufffb"
    )
    assert letters(normalize(text)) == letters(clean)


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("", ""),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\u2028b\x85c\x0cd", "a\nb\nc\nd"),
        ("a  \t b", "a b"),
        ("a \n b", "a\nb"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("a\n \n\t\n \nb", "a\n\nb"),
        ("a\x00b\x1fc\x7fd\u200be\ufefff", "abcdef"),
        ("e\u0301", "é"),
        ("\u3000中\u3000文\u3000", "中 文"),
        ("a\xa0b", "a b"),
        ("x\ud800y", "xy"),
        ("  \n\n ", ""),
        ("family 👩\u200d👩\u200d👦", "family 👩\u200d👩\u200d👦"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_each_mess_has_one_tidy_form(text, tidy):
    assert normalize(text) == tidy


def plainly(text):
    """The same by every pattern on every text: what the fast searches must not change."""
    text = re.sub(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", "\n", text)
    text = re.sub(
        "[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\ufff9-\ufffb\ud800-\udfff]", "", text
    )
    text = re.sub(r"[^\S\n]+", " ", unicodedata.normalize("NFC", text))
    return re.sub(r"\n{3,}", "\n\n", re.sub(" ?\n ?", "\n", text)).strip()


@settings(max_examples=1000, deadline=None)
@given(
    text=st.one_of(
        st.text(), st.text(st.sampled_from(MESS)), st.text(st.sampled_from("a \n\u0301e中"))
    )
)
def test_the_fast_searches_change_nothing(text):
    assert normalize(text) == plainly(text)


EVERY = range(sys.maxunicode + 1)
ALPHABETS = range(0x20000)
"""The first two planes: above lie Chinese characters, marks of variants, and what nobody uses."""


@pytest.mark.parametrize(
    "codes", [ALPHABETS, pytest.param(EVERY, marks=pytest.mark.slow)], ids=["alphabets", "every"]
)
def test_each_character_alone_and_between_others_has_its_plain_form(codes):
    for code in codes:
        text = f"a{chr(code)}b"
        assert normalize(text) == plainly(text), hex(code)
