"""Tags of languages as strangers write them become the primary subtag of BCP 47, or null where none is stated."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.readers.languages import load_shortest_codes, parse_language


@pytest.mark.parametrize(
    ("stated", "language"),
    [
        ("en", "en"),
        ("EN", "en"),
        (" en ", "en"),
        ("en-US", "en"),
        ("en_US", "en"),
        ("en_US.UTF-8", "en"),
        ("de_DE@euro", "de"),
        ("zh-CN", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zh_TW", "zh"),
        ("zho", "zh"),
        ("chi", "zh"),
        ("cmn_Hani", "zh"),
        ("cmn", "zh"),
        ("yue-HK", "yue"),
        ("wuu", "wuu"),
        ("eng_Latn", "en"),
        ("ger", "de"),
        ("deu", "de"),
        ("jpn_Jpan", "ja"),
        ("arb_Arab", "ar"),
        ("iw", "he"),
        ("in", "id"),
        ("nds", "nds"),
        ("gsw", "gsw"),
        ("lzh", "lzh"),
        ("pt-BR", "pt"),
        ("sr-Latn", "sr"),
        ("twi", "tw"),
    ],
)
def test_a_tag_a_locale_or_a_code_is_its_primary_subtag_in_its_shortest_form(stated, language):
    assert parse_language(stated) == language


@pytest.mark.parametrize(
    "stated",
    [
        None,
        "",
        " ",
        "und",
        "mul",
        "zxx",
        "mis",
        "x-default",
        "english",
        "English",
        "en, fr",
        "en;q=0.9",
        "C",
        "POSIX",
        "root",
        "jp",
        "cn",
        "us",
        "i-klingon",
        "1",
        "e",
        5,
        1.5,
        True,
        ["en"],
        {"lang": "en"},
        b"en",
        "中文",
        "en\x00",
        "en fr",
        "en-\ud800",
    ],
)
def test_what_states_no_one_language_is_null(stated):
    assert parse_language(stated) is None


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.text(max_size=20),
        st.integers(),
        st.none(),
        st.from_regex(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?", fullmatch=True),
    )
)
def test_any_value_gives_null_or_a_subtag_that_is_its_own(stated):
    found = parse_language(stated)
    assert found is None or (found.isascii() and found.islower() and len(found) in (2, 3))
    assert parse_language(found) == found


def test_the_list_has_every_code_of_two_letters_and_no_chains():
    codes = load_shortest_codes()
    assert len(set(codes.values())) == 184
    assert all(codes[short] == short and len(short) == 2 for short in codes.values())
    assert all(
        len(code) == 3
        for code in codes
        if code != codes[code] and code not in ("in", "iw", "ji", "jw", "mo")
    )
