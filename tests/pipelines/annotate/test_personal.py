"""Personal data: valid numbers are found in sentences of both languages, near misses are not, and time stays linear."""

import gzip
import itertools
import json
import random
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.personal.checksums import (
    has_luhn_digit,
    is_card,
    is_iban,
    is_resident_id,
)
from pipelines.annotate.personal.spans import SPANS, TYPES, compute_spans_column, find_personal

SENTENCES = (
    "Please note {} before Friday.",
    "请在星期五之前记下{}，谢谢。",
    "({})",
    "{}",
    "是：{}。Yes.",
    "…“{}”👍",
    "x\n{}\ny",
)


def resident_id(rng):
    """A resident id with its right last character (GB 11643-1999)."""
    place = rng.choice(["110105", "310104", "440305", "510107"])
    raw = f"{place}{rng.randint(1950, 2009)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}{rng.randint(0, 999):03d}"
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return raw + "10X98765432"[sum(int(d) * w for d, w in zip(raw, weights, strict=True)) % 11]


def card(rng, *, prefix="4", length=16):
    """A card number with Luhn's check digit."""
    body = prefix + "".join(str(rng.randint(0, 9)) for _ in range(length - len(prefix) - 1))
    total = sum(
        int(d) if i % 2 else sum(divmod(2 * int(d), 10)) for i, d in enumerate(reversed(body))
    )
    return body + str(-total % 10)


def iban(rng, *, country="DE", digits=18):
    """An IBAN with right check digits (ISO 13616)."""
    body = "".join(str(rng.randint(0, 9)) for _ in range(digits))
    number = int(body + "".join(str(ord(c) - 55) for c in country) + "00")
    return f"{country}{98 - number % 97:02d}{body}"


def in_fours(text, by=" "):
    return by.join(text[i : i + 4] for i in range(0, len(text), 4))


def assert_found(value, kind, sentences=SENTENCES):
    for sentence in sentences:
        text = sentence.format(value)
        start = len(text[: text.index(value)].encode())
        assert find_personal(text.encode()) == [(start, start + len(value.encode()), kind)], text


def generated():
    rng = random.Random(5)
    for _ in range(12):
        yield resident_id(rng), "resident_id"
        for prefix, length in (
            ("4", 16),
            ("51", 16),
            ("2221", 16),
            ("34", 15),
            ("36", 14),
            ("6221", 19),
            ("4", 13),
        ):
            yield card(rng, prefix=prefix, length=length), "card"
        yield in_fours(card(rng)), "card"
        yield in_fours(card(rng, prefix="62"), "-"), "card"
        amex = card(rng, prefix="37", length=15)
        yield f"{amex[:4]} {amex[4:10]} {amex[10:]}", "card"
        for country, digits in (("DE", 18), ("BE", 12), ("NO", 11), ("PL", 24)):
            yield iban(rng, country=country, digits=digits), "iban"
            yield in_fours(iban(rng, country=country, digits=digits)), "iban"
    yield from (
        (value, "iban")
        for value in (
            "GB82WEST12345698765432",
            "GB82 WEST 1234 5698 7654 32",
            "FR1420041010050500013M02606",
        )
    )


@pytest.mark.parametrize("kind", ["resident_id", "card", "iban"])
def test_generated_numbers_with_right_checksums_are_found_in_both_languages(kind):
    values = [value for value, its in generated() if its == kind]
    assert len(values) >= 12
    for value in values:
        assert_found(value, kind)


def test_a_resident_id_may_end_in_either_x():
    for value in ("11010519491231002X", "11010519491231002x"):
        assert_found(value, "resident_id")


@pytest.mark.parametrize(
    "value",
    [
        "mara@example.org",
        "m.a-r+a_1@sub.mail.example.co.uk",
        "UPPER@EXAMPLE.COM",
        "x@a-b.cn",
        "_a@b.org",
        "1@2.io",
        "a" * 60 + "@" + "b" * 60 + ".com",
    ],
)
def test_e_mail_addresses_are_found(value):
    assert_found(value, "email")


@pytest.mark.parametrize("value", ["8.8.8.8", "192.168.0.1", "255.255.255.255", "1.2.3.4"])
def test_ip_addresses_are_found_even_where_no_number_is_long(value):
    assert_found(value, "ip")


@pytest.mark.parametrize(
    "value",
    [
        "13812345678",
        "138 1234 5678",
        "199-1234-5678",
        "+8613812345678",
        "+86 138 1234 5678",
        "010-62345678",
        "0755-2345678",
        "+1 415-555-2671",
        "+1 (415) 555-2671",
        "(415) 555-2671",
        "415-555-2671",
        "415.555.2671",
        "+44 20 7946 0958",
        "+33 1 23 45 67 89",
        "+49 30 123456",
        "+61 2 9876 5432",
        "+7 495 123-45-67",
    ],
)
def test_phone_numbers_are_found(value):
    assert_found(value, "phone")


@pytest.mark.parametrize(
    "text",
    [
        "a@b",
        "@user",
        "user@",
        "a@b.c",
        "price@12.50",
        "me at example dot org",
        "a@@b.com",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.456",
        "01.2.3.4",
        "version 10.4",
        "12345678901",
        "1381234567",
        "138123456789",
        "0.13812345678",
        "12812345678",
        "3.14159265358979",
        "2024-11-23",
        "1984",
        "1999-2004",
        "10:30:00",
        "100,000,000",
        "ISBN 978-3-16-148410-0",
        "+5",
        "+12 34",
        "192-168",
        "$1,234.56",
        "0.0.0.0",
        "127.0.0.1",
        "v10.4.3.2",
        "Version 10.4.3.2",
        "版本：1.3.0.2",
        "1914-1918",
        "2024.11.23",
        "0x13812345",
        "No. 4155552671000",
    ],
)
def test_near_misses_are_not_reported(text):
    for sentence in SENTENCES[:2]:
        assert find_personal(sentence.format(text).encode()) == []


@pytest.mark.parametrize("kind", ["resident_id", "card", "iban"])
def test_one_wrong_digit_and_the_number_is_not_of_its_kind(kind):
    for value, its in generated():
        if its == kind and value[-1].isdigit():
            wrong = value[:-1] + str((int(value[-1]) + 1) % 10)
            assert kind not in [
                name for *_, name in find_personal(f"code {wrong} here".encode())
            ], wrong


def test_checksums_by_known_examples():
    assert (
        has_luhn_digit(b"4111 1111 1111 1111")
        and has_luhn_digit(b"378282246310005")
        and not has_luhn_digit(b"4111111111111112")
    )
    assert (
        not is_card(b"0000000000000000")
        and not has_luhn_digit(b"18")
        and not has_luhn_digit(b"4" * 20)
    )
    assert is_resident_id(b"11010519491231002X") and not is_resident_id(b"110105194912310021")
    assert is_iban(b"GB82 WEST 1234 5698 7654 32") and not is_iban(b"GB82 WEST 1234 5698 7654 33")
    assert not is_iban(b"GB82")


def test_capitals_after_an_iban_and_a_second_one_do_not_hide_it():
    first, second = (
        in_fours(iban(random.Random(1), country="BE", digits=12)),
        in_fours(iban(random.Random(2))),
    )
    for after in (" BIC GKCCBEBB", " AND MORE", f" {second}"):
        text = (first + after).encode()
        assert find_personal(text)[0] == (0, len(first), "iban"), after
    assert find_personal(f"{first} {second}".encode())[1] == (
        len(first) + 1,
        len(first) + 1 + len(second),
        "iban",
    )


def test_several_kinds_in_one_text_come_sorted_with_offsets_in_bytes():
    text = "电话13812345678，邮箱a@b.cn；IP 10.0.0.1。证件11010519491231002X。"
    raw = text.encode()
    found = find_personal(raw)
    assert [(raw[a:b].decode(), kind) for a, b, kind in found] == [
        ("13812345678", "phone"),
        ("a@b.cn", "email"),
        ("10.0.0.1", "ip"),
        ("11010519491231002X", "resident_id"),
    ]


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.text(max_size=6),
            st.sampled_from(
                [
                    "13812345678",
                    "a@b.cn",
                    "1.2.3.4",
                    "+",
                    "86 ",
                    " ",
                    "4111111111111111",
                    "-",
                    "DE89370400440532013000",
                ]
            ),
        ),
        max_size=10,
    )
)
def test_spans_are_sorted_apart_and_cut_no_character(parts):
    raw = "".join(parts).encode("utf-8", "replace")
    found = find_personal(raw)
    assert found == sorted(found)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))
    for start, end, kind in found:
        assert 0 <= start < end <= len(raw) and kind in TYPES
        raw[start:end].decode(), raw[:start].decode()


def test_the_column_has_one_list_a_row():
    column = compute_spans_column(pa.array(["mail a@b.cn", None, "", "nothing 12"]))
    assert column.type == SPANS
    assert column.to_pylist() == [[{"start": 5, "end": 11, "type": "email"}], [], [], []]


ADVERSARIAL = {
    "dots": "1.",
    "at": "a@",
    "mails": "a@b.cc ",
    "digits": "1",
    "groups": "1234 ",
    "dashes": "12-",
    "ibans": "AA11 ",
    "packed": "AA11",
    "plus": "+1 ",
    "brackets": "+1(2)",
    "domains": "a@" + "b." * 7 + " ",
    "words": "word ",
    "han": "中",
    "phones": "13812345678 ",
    "cards": "4111 1111 1111 1112 ",
    "local": "a.b-c+",
    "ids": "110105194912310021 ",
    "ips": "1.2.3.4 ",
    "x": "a@b-",
    "hex": "1:",
    "double": "1::",
    "pem": "-----BEGIN PRIVATE KEY-----",
    "begin": "-----BEGIN ",
    "open pem": "-----BEGIN PRIVATE KEY----- a-",
    "token": "a1_",
    "jwt": "eyJ1.",
    "slack": "xoxb-1-",
    "assigned": "token=",
    "sk": "sk-1",
    "tel": "tel 1 ",
    "calls": "call me at 5551234 ",
    "chinese": "电话5551234",
    "areas": "（0571）",
    "extended": "5551234x1",
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_time_grows_with_the_text_and_no_faster(check_linear, name):
    unit = ADVERSARIAL[name]
    check_linear(
        find_personal,
        *((unit * (size // len(unit) + 1)).encode()[:size] for size in (125_000, 1_000_000)),
    )


OF_PRESIDIO = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "PHONE_NUMBER": "phone",
}
RECALL = {"email": 1.0, "ip": 1.0, "card": 1.0, "iban": 1.0, "phone": 0.98}


def test_recall_and_precision_on_presidios_sentences(shared_data):
    """Its phone numbers are mostly local ones (`467 3395`), told by the words around them; two have six digits only."""
    hit, missed, wrong = Counter(), Counter(), Counter()
    for name in ("presidio_synth_v2", "presidio_generated_large"):
        lines = (
            gzip.decompress((shared_data / "pii" / f"{name}.jsonl.gz").read_bytes())
            .decode()
            .splitlines()
        )
        for line in lines:
            record = json.loads(line)
            text = record["text"]
            truth = {
                (s["start"], s["end"], OF_PRESIDIO[s["type"]])
                for s in record["spans"]
                if s["type"] in OF_PRESIDIO
            }
            raw = text.encode()
            ours = {
                (len(raw[:a].decode()), len(raw[:b].decode()), kind)
                for a, b, kind in find_personal(raw)
            }
            for start, end, kind in truth:
                (hit if any(a < end and start < b and k == kind for a, b, k in ours) else missed)[
                    kind
                ] += 1
            for start, end, kind in ours:
                wrong[kind] += not any(a < end and start < b and k == kind for a, b, k in truth)
    for kind in RECALL:
        recall = hit[kind] / (hit[kind] + missed[kind])
        precision = hit[kind] / max(1, hit[kind] + wrong[kind])
        assert recall >= RECALL[kind] and precision == 1, (kind, recall, precision)
