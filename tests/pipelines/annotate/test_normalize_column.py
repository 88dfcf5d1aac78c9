"""The normal form of whole columns: what `normalize` gives each text, and only texts that may compose go through Python."""

import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.extract.normalize import normalize, normalize_column
from pipelines.annotate.kernels.normalize import build_normal_tables, normalize_texts
from pipelines.kernels.buffers import get_text_buffers

MESS = "\x00\x08\t\n\x0b\x0c\r\x1c\x1f \x7f\x85\xa0\u200b\u2028\u2029\u2060\u3000\ufeff\ufff9e\u0301\u0323\u212b가\u1100\u1161\u11a8a中\U000e0100"
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.sampled_from(MESS)),
    st.text(st.sampled_from("a \n\r")),
)


def forms(texts):
    return normalize_column(pa.array(texts, pa.string())).to_pylist()


def left_to_python(texts):
    return normalize_texts(*get_text_buffers(pa.array(texts, pa.string())))[2].tolist()


@settings(max_examples=1000, deadline=None)
@given(texts=st.lists(TEXT, max_size=5))
@example(
    texts=[
        "a\r\u200b\nb",
        " \u200b \n\u200b\n\u200b\n ",
        "e\u200b\u0301",
        "\r\n\r\n\r\na",
        "a\u0301\u0323",
    ]
)
@example(texts=["a\u0323\u0301 b\u05b0\u05bc c\u05bc\u05b0"])
@example(texts=["\u2028" * 9, "x\u2028y"])
def test_every_text_of_a_column_has_the_form_it_has_alone(texts):
    assert forms(texts) == [normalize(text) for text in texts]


def test_every_character_of_unicode_is_treated_as_alone_and_between_and_behind_others():
    assigned = [*range(0xD800), *range(0xE000, 0x32400), *range(0xE0000, 0xE01F0), sys.maxunicode]
    texts = [form.replace("?", chr(code)) for code in assigned for form in ("a?b", "가?\u0323e")]
    assert forms(texts) == [normalize(text) for text in texts]


def test_no_character_that_composes_or_moves_is_taken_for_safe():
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if (
            0xD800 <= code <= 0xDFFF
            or char.isspace()
            or unicodedata.is_normalized("NFC", f"a{char}")
        ):
            continue
        assert left_to_python([f"a{char}"]) == [True], hex(code)


def test_characters_that_are_copied_unseen_are_kept_alone_and_never_move():
    kinds, classes = build_normal_tables()
    copied = [*range(0x21, 0x7F), *range(0x4000, 0xA000)]
    assert not kinds[copied].any() and not classes[copied].any()


@settings(max_examples=1000, deadline=None)
@given(
    st.text(st.sampled_from("ab~! \n\u3000\u4000\u9fff\u3fff\ua000中\u0301\u200bé"), max_size=40)
)
def test_runs_of_plain_text_end_where_something_else_begins(text):
    assert forms([text, text]) == [normalize(text)] * 2


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("", False),
        ("plain\r\n text", False),
        ("déjà vu, 中文，ไทย, हिन्दी", False),
        ("de\u0301ja\u0300", True),
        ("\u0628\u064b\u0651", False),  # marks in canonical order that compose with nothing
        ("\u0628\u0651\u064b", True),  # the same in disorder
        ("\u212b", True),
        ("\u1112\u1161\u11ab", True),
    ],
)
def test_only_what_may_compose_becomes_a_python_string(text, python):
    assert left_to_python([text]) == [python]
    assert forms([text]) == [normalize(text)]


def test_nulls_and_slices_and_empty_columns_keep_their_places():
    column = pa.array(["dropped", "a  b", None, "e\u0301", "", " c\n\n\n\nd "])
    assert normalize_column(column.slice(1)).to_pylist() == ["a b", "", "é", "", "c\n\nd"]
    assert normalize_column(pa.array([], pa.string())).to_pylist() == []
    normalize_column(column).validate(full=True)


def test_a_document_does_not_depend_on_its_neighbours():
    texts = ["a \n b", "e\u0301", "\r\r\r", "中  文", "x" * 100]
    assert forms(texts) == [form for text in texts for form in forms([text])]


def test_real_documents_have_the_form_of_python(shared_data):
    import pyarrow.parquet as pq

    for name in (
        "wiki_vi",
        "web_oiwiki_zh",
        "docs_manpages_ja",
        "html_debian_reference_en",
        "wiki_ko",
    ):
        texts = pq.read_table(shared_data / "corpus" / f"{name}.parquet", columns=["text"])[
            "text"
        ].to_pylist()[:300]
        assert forms(texts) == [normalize(text) for text in texts]
        assert np.mean(left_to_python(texts)) < 0.05
