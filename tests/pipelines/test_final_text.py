"""The text that leaves the corpus: cut spans are gone, personal spans masked, everything else stays."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.personal.spans import SPANS, TYPES, find_personal
from pipelines.decide.dedup.repeated import CUTS
from pipelines.final_text import PLACEHOLDER, count_cut_bytes, final_text, final_texts


def span(start, end, kind="email"):
    return {"start": start, "end": end, "type": kind}


def cut(start, end):
    return {"start": start, "end": end, "reason": "repeated"}


@pytest.mark.parametrize(
    ("text", "cuts", "personal", "mask", "expected"),
    [
        ("abcdef", [], [], True, "abcdef"),
        ("abcdef", [cut(1, 3)], [], True, "adef"),
        ("abcdef", [], [span(1, 3)], True, "a<EMAIL>def"),
        ("abcdef", [], [span(1, 3)], False, "abcdef"),
        ("abcdef", [cut(0, 6)], [span(1, 3)], True, ""),
        ("abcdef", [cut(4, 5)], [span(0, 2, "phone")], True, "<PHONE>cdf"),
        ("abcdef", [cut(4, 5)], [span(0, 2, "phone")], False, "abcdf"),
        ("abcdef", [cut(1, 2)], [span(0, 4)], True, "<EMAIL>ef"),
        ("abcdef", [cut(0, 3)], [span(2, 5)], True, "<EMAIL>f"),
        ("abcdef", [cut(2, 6)], [span(0, 4)], True, "<EMAIL>"),
        ("abcdef", [cut(3, 5), cut(0, 2)], [], True, "cf"),
        ("中文字", [cut(3, 6)], [span(0, 3, "iban")], True, "<IBAN>字"),
    ],
)
def test_cuts_and_masks_by_example(text, cuts, personal, mask, expected):
    assert final_text(text, cuts, personal, mask=mask) == expected


def test_every_type_has_a_placeholder_of_its_own():
    assert set(PLACEHOLDER) == set(TYPES) and len(set(PLACEHOLDER.values())) == len(TYPES)


def apart(draw, size, most):
    """Disjoint spans of a text of `size` characters, sorted."""
    points = sorted(draw(st.lists(st.integers(0, size), max_size=2 * most, unique=True)))
    return list(zip(points[::2], points[1::2], strict=False))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_every_character_outside_all_spans_stays_in_order_and_none_inside_is_left(data):
    text = data.draw(st.text(st.sampled_from("a中é👍 "), max_size=30))
    at = [len(text[:i].encode()) for i in range(len(text) + 1)]
    cuts, personal = apart(data.draw, len(text), 3), apart(data.draw, len(text), 3)
    made = final_text(
        text,
        [cut(at[a], at[b]) for a, b in cuts],
        [span(at[a], at[b]) for a, b in personal],
        mask=True,
    )
    inside = {i for a, b in cuts + personal for i in range(a, b)}
    assert made.replace("<EMAIL>", "") == "".join(
        char for i, char in enumerate(text) if i not in inside
    )
    fully_cut = sum(any(x <= a and b <= y for x, y in cuts) for a, b in personal)
    assert made.count("<EMAIL>") <= len(personal)
    assert made.count("<EMAIL>") >= len(personal) - fully_cut - len(cuts)


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(["mail a@b.cn ", "13812345678", "，", "中文", "1.2.3.4 ", "x "]),
        max_size=10,
    )
)
def test_a_masked_text_has_no_personal_data_left(parts):
    text = "".join(parts)
    found = [span(a, b, kind) for a, b, kind in find_personal(text.encode())]
    assert find_personal(final_text(text, [], found, mask=True).encode()) == []


def table_of(rows):
    """Documents given as (text, cuts, personal)."""
    texts, cuts, personal = zip(*rows, strict=True) if rows else ([], [], [])
    columns = [pa.array(texts, pa.string()), pa.array(cuts, CUTS), pa.array(personal, SPANS)]
    return pa.table(columns, ["text", "cuts", "personal"])


@settings(max_examples=300, deadline=None)
@given(data=st.data(), mask=st.booleans())
def test_a_column_is_edited_as_each_of_its_texts_would_be_and_trimmed(data, mask):
    rows = []
    for text in data.draw(
        st.lists(st.text(st.sampled_from("a中é👍 \n\x1f\u3000"), max_size=20), max_size=6)
    ):
        at = [len(text[:i].encode()) for i in range(len(text) + 1)]
        spans = st.lists(
            st.tuples(st.sampled_from(at), st.sampled_from(at)).map(sorted), max_size=3
        )
        cuts = [cut(a, b) for a, b in data.draw(spans)]
        rows.append(
            (
                text,
                cuts,
                [span(a, b, data.draw(st.sampled_from(TYPES))) for a, b in data.draw(spans)],
            )
        )
    expected = [final_text(*row, mask=mask).strip() for row in rows]
    table = table_of(rows)
    assert final_texts(table, mask=mask).to_pylist() == expected
    assert final_texts(table.slice(1), mask=mask).to_pylist() == expected[1:]
    assert final_texts(pa.concat_tables([table, table]), mask=mask).to_pylist() == expected * 2


def test_documents_whose_personal_data_were_not_looked_for_are_only_cut():
    table = table_of([(" abc ", [cut(1, 2)], [span(2, 3)])]).drop_columns("personal")
    assert final_texts(table, mask=True).to_pylist() == ["bc"]


def test_white_space_is_what_python_says_it_is():
    every = [
        chr(code) for code in [*range(0xD800), *range(0xE000, 0x12000), 0xE0001, 0xE0020, 0x10FFFF]
    ]
    texts = final_texts(
        table_of([(f"{char}x{char}", [], []) for char in every]), mask=True
    ).to_pylist()
    assert texts == [f"{char}x{char}".strip() for char in every]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted), max_size=5),
        max_size=6,
    )
)
def test_bytes_that_are_cut_count_once_however_often_spans_name_them(rows):
    spans = [[{"start": start, "end": end, "reason": "line"} for start, end in row] for row in rows]
    kind = pa.list_(
        pa.struct([("start", pa.uint32()), ("end", pa.uint32()), ("reason", pa.string())])
    )
    expected = [len({place for start, end in row for place in range(start, end)}) for row in rows]
    assert count_cut_bytes(pa.array(spans, kind)).tolist() == expected
