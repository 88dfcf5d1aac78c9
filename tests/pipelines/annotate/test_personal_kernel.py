"""The kernel that says where to look: it misses nothing that obvious patterns over the whole text would look at."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels import personal as kernel
from pipelines.annotate.personal.checksums import IBAN_LENGTHS
from pipelines.annotate.personal.spans import compute_spans_column, find_personal
from pipelines.kernels.buffers import get_text_buffers

NUMBER = re.compile(rb"\d(?:(?:[ .()-]|[()][ .()-]|[ .()-][()])?\d)*")
DATE = re.compile(rb"(?:1\d|20)\d\d(?:.(?:1\d|20)\d\d|(.)\d\d\1\d\d)", re.DOTALL)
LONG_WORD = re.compile(rb"[\w+/=.-]{20,}")
GROUPS = re.compile(rb"[0-9a-fA-F:]+")


def candidates(raw, *others):
    """The candidates of the last of some documents as (kind, start, end)."""
    documents = [*others, raw]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in documents])]).astype(np.int32)
    found = kernel.find_candidates(np.frombuffer(b"".join(documents), np.uint8), offsets).tolist()
    return {
        (kind, a - offsets[-2], b - offsets[-2]) for n, a, b, kind, _ in found if n == len(others)
    }


def expected(raw):
    """The same by patterns; words of nothing but the marks and digits of a number are left out."""
    found = set()
    for match in NUMBER.finditer(raw):
        digits = len(re.sub(rb"\D", b"", match[0]))
        if digits >= 7 and not (digits == 8 and DATE.fullmatch(match[0])):
            found.add((kernel.NUMBER, *match.span()))
        if len(re.findall(rb"(?<=\d)\.(?=\d)", match[0])) >= 3:
            found.add((kernel.ADDRESS4, *match.span()))
    for match in LONG_WORD.finditer(raw):
        if re.search(rb"\d|_|A[KS]IA", match[0]) and re.search(rb"[^\d.-]", match[0]):
            found.add((kernel.TOKEN, *match.span()))
    for match in GROUPS.finditer(raw):
        colons = match[0].count(b":")
        if re.search(rb"\d", match[0]) and (colons >= 7 or (b"::" in match[0] and colons >= 2)):
            found.add((kernel.ADDRESS6, *match.span()))
    found |= {
        (kernel.IBAN, m.start(), m.end())
        for m in re.finditer(rb"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d", raw)
    }
    found |= {
        (kernel.PEM, m.start(), m.start() + 11) for m in re.finditer(rb"(?=-----BEGIN )", raw)
    }
    return found


PIECES = [
    "1",
    "20",
    "AKIA",
    "ASIA",
    "HGFEDCBAKIJIHGFEDCBA",
    "1914-1918",
    "2024-11-23",
    "12345678",
    "555 ",
    "(",
    ") ",
    "-",
    ".",
    " ",
    "::",
    ":",
    "db8",
    "2001:",
    "ab12",
    "DE89",
    "a",
    "word",
    "Zz",
    "_",
    "=",
    "/",
    "+",
    "-----BEGIN ",
    "-----",
    "@",
    "x@y",
    "中",
    "\n",
    "1.2.3.4",
    "0123456789abcdefghij",
    "，",
]


@settings(max_examples=1500, deadline=None)
@given(
    parts=st.lists(st.sampled_from(PIECES), max_size=16),
    before=st.lists(st.sampled_from(PIECES), max_size=4),
)
def test_the_kernel_names_every_place_that_patterns_over_the_whole_text_name(parts, before):
    raw = "".join(parts).encode()
    found = candidates(raw, "".join(before).encode())
    whole = {place for place in found if place[0] != kernel.MAIL}
    tokens = {
        place
        for place in whole
        if place[0] == kernel.TOKEN and not re.search(rb"[^\d.-]", raw[place[1] : place[2]])
    }
    assert whole - tokens == expected(raw)


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_read_and_candidates_lie_inside(raw):
    assert all(0 <= start < end <= len(raw) for _, start, end in candidates(raw))
    find_personal(raw)


def test_more_candidates_than_the_first_array_holds_are_all_kept():
    raw = b"DE89 5551234567; " * 1000
    assert len(candidates(raw)) == 2000
    assert {kind for kind, *_ in candidates(raw)} == {kernel.IBAN, kernel.NUMBER}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (["card 4111 1111", "1111 1111 end"], [[], []]),
        (["a@b", ".org x"], [[], []]),
        (["phone:", "5551234"], [[], []]),
        (["+1 415-", "555-2671 and mail a@b.cn"], [[], [(18, 24, "email")]]),
        ([None, "", "1.2.3.4", None], [[], [], [(0, 7, "ip")], []]),
    ],
)
def test_nothing_reaches_over_the_border_between_documents(text, rows):
    found = [
        [(s["start"], s["end"], s["type"]) for s in row]
        for row in compute_spans_column(pa.array(text)).to_pylist()
    ]
    assert found == rows


def test_a_slice_of_a_batch_counts_from_its_own_documents():
    whole = pa.array(["x 1.2.3.4", "中 a@b.cn", "phone 555 1234", "none"])
    assert (
        compute_spans_column(whole[1:3]).to_pylist() == compute_spans_column(whole).to_pylist()[1:3]
    )
    assert compute_spans_column(whole[:0]).to_pylist() == []
    assert get_text_buffers(whole[1:3])[1].tolist()[0] > 0


def iban_by_hand(raw, start, end):
    """Whether raw[start:end] is an IBAN with nothing alphanumeric at its sides: the definition, step by step."""
    alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    value = raw[start:end]
    if "  " in value or value != value.strip() or any(char not in alnum + " " for char in value):
        return False
    if (start and raw[start - 1] in alnum) or (end < len(raw) and raw[end] in alnum):
        return False
    packed = value.replace(" ", "").upper()
    if " " in value[:4] or IBAN_LENGTHS.get(packed[:2]) != len(packed) or not packed[2:4].isdigit():
        return False
    remainder = 0
    for char in packed[4:] + packed[:4]:
        for digit in str(alnum.index(char) + 10 if char.isalpha() else int(char)):
            remainder = (remainder * 10 + int(digit)) % 97
    return remainder == 1


IBAN_PIECES = [
    "NO9386011117947",
    "BE68539007547034",
    "DE89 3704 0044 0532 0130 00",
    "no93 8601 1117 947",
    "GB82 WEST",
    " ",
    "1234",
    "A",
    "5698 7654 32",
    "GB82 WEST 1234 5698 7654 32",
    "NO93 8601 1117 948",
    "，",
    ".",
    "BIC",
]


@settings(max_examples=400, deadline=None)
@given(parts=st.lists(st.sampled_from(IBAN_PIECES), max_size=4))
def test_ibans_are_those_of_the_definition(parts):
    raw = "".join(parts)
    true = {
        (a, b)
        for a in range(len(raw))
        for b in range(a + 15, min(len(raw), a + 50) + 1)
        if iban_by_hand(raw, a, b)
    }
    size = [len(raw[:i].encode()) for i in range(len(raw) + 1)]
    found = [(a, b) for a, b, kind in find_personal(raw.encode()) if kind == "iban"]
    assert all(any(a <= size[x] and size[y] <= b for a, b in found) for x, y in true)
    assert all(any(a <= size[x] and size[y] <= b for x, y in true) for a, b in found)
