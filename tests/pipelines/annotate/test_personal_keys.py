"""Keys, tokens, IPv6 addresses and telephone numbers: what is one, what only looks like it, and what a word makes of it."""

import random
import string

import pytest

from pipelines.annotate.personal.keys import compute_entropy, is_random
from pipelines.annotate.personal.spans import find_personal

WORD = string.ascii_letters + string.digits


def drawn(n, alphabet=WORD, seed=3):
    """`n` characters at random: no key stands in this file, so that no scanner of secrets stumbles over it."""
    return "".join(random.Random(seed).choices(alphabet, k=n))


ISSUED = {
    "AWS": "AKIA" + drawn(16, "ABCDEFGHJKMNPQRS234567"),
    "AWS, without a digit": "ASIA" + drawn(16, "BCDEFGHJKMNPQR"),
    "GitHub, without a digit": "ghp_" + drawn(36, string.ascii_letters),
    "GitHub": "ghp_" + drawn(36),
    "GitHub, fine-grained": "github_pat_" + drawn(22) + "_" + drawn(59),
    "Google": "AIza" + drawn(35),
    "Slack": f"xoxb-{drawn(12, string.digits)}-{drawn(12, string.digits)}-{drawn(24)}",
    "OpenAI": "sk-" + drawn(48),
    "OpenAI, of a project": "sk-proj-" + drawn(64, WORD + "-_"),
    "Stripe": "sk_live_" + drawn(24),
    "GitLab": "glpat-" + drawn(20),
    "npm": "npm_" + drawn(36),
    "Hugging Face": "hf_" + drawn(34),
    "web token": f"eyJ{drawn(20)}.eyJ{drawn(40)}.{drawn(43, WORD + '-_')}",
}


@pytest.mark.parametrize("maker", ISSUED)
def test_keys_in_the_form_of_their_makers_are_found_in_both_languages(maker):
    value = ISSUED[maker]
    for text in (
        "Use {} here.",
        "密钥是{}，别外传。",
        "{}",
        "https://a.org/x?k={}&y=1",
        '"{}"',
        "export K={}\n",
    ):
        raw, start = text.format(value).encode(), len(text[: text.index("{}")].encode())
        assert find_personal(raw) == [(start, start + len(value), "key")], text


@pytest.mark.parametrize(
    "text",
    [
        "api_key={}",
        'token: "{}"',
        "SECRET='{}'",
        "Authorization: Bearer {}",
        "password = {}",
        "access_token：x token={}",
    ],
)
def test_random_values_assigned_to_a_name_that_says_secret_are_found(text):
    for value in (drawn(32), drawn(40, "0123456789abcdef")):
        raw, start = text.format(value).encode(), len(text[: text.index("{}")].encode())
        assert find_personal(raw) == [(start, start + len(value), "key")], text


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "X" * 16,
        "AKIA1234",
        "ghp_" + drawn(20),
        "sk-" + "learn-" * 6,
        "task-2012-summer-olympics-in-london",
        "eyJ.eyJ.x",
        "commit " + drawn(40, "0123456789abcdef"),
        "key=" + "a" * 40,
        "token=the_name_of_the_token_to_use_1",
        "key: https://example.org/2012/Page_of_Names",
        drawn(32),
        "the keyword is " + drawn(12),
        "-----BEGIN CERTIFICATE-----",
        "123e4567-e89b-12d3-a456-426614174000",
        "x" + ISSUED["AWS"],
        "key=" + drawn(20, string.digits),
    ],
)
def test_what_only_resembles_a_key_is_none(text):
    assert [kind for *_, kind in find_personal(f"See {text} now".encode()) if kind == "key"] == []


def pem(kind="RSA ", body=None, line="\n"):
    lines = body or [drawn(64, WORD + "+/", seed) for seed in range(3)]
    return line.join(
        [f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----"]
    )


@pytest.mark.parametrize(
    "block",
    [
        pem(),
        pem(""),
        pem("OPENSSH "),
        pem("EC ", line="\r\n"),
        pem(line="\\n"),
        pem(body=["Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0A1B", "", drawn(64)]),
    ],
)
def test_a_private_key_is_one_span_from_its_first_to_its_last_line(block):
    raw = f"数据\n{block}\nEnd.".encode()
    assert find_personal(raw) == [(7, 7 + len(block), "key")]


def test_a_private_key_without_end_or_body_is_left():
    assert find_personal(pem(body=["..."]).encode()) == []
    assert [kind for *_, kind in find_personal(pem()[:150].encode())] == []


def test_randomness_by_example():
    assert compute_entropy(b"aabb") == 1 and compute_entropy(b"aaaa") == 0
    assert (
        is_random(drawn(20).encode())
        and not is_random(b"ab" * 16)
        and not is_random(b"0123456789abcdef")
    )


@pytest.mark.parametrize(
    "value",
    [
        "2001:db8:85a3::8a2e:370:7334",
        "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
        "fe80::1",
        "fd12:3456:789a:1::1",
        "2a00:1450::",
        "6e40:4041:c617:e898:c11:40d2:c669:2eb4",
        "64:ff9b::102:304",
        "2001:DB8::A1",
        "::ffff:1.2.3.4",
    ],
)
def test_ipv6_addresses_are_found(value):
    for text in ("at {} now", "地址{}。", "[{}]:443", "{}/64"):
        start = len(text[: text.index("{}")].encode())
        assert find_personal(text.format(value).encode()) == [(start, start + len(value), "ip")], (
            text
        )


@pytest.mark.parametrize(
    "text",
    [
        "::1",
        "::",
        "std::vector2",
        "a1::b2",
        "12:30:45",
        "00:1a:2b:3c:4d:5e",
        "1:2:3:4:5:6:7:8",
        "12::30",
        "2001:db8:1:2:3:4:5",
        "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
        "2001:db8:::1",
        "2001::db8::1",
        "beef::cafe1::",
        "x2001:db8::1",
    ],
)
def test_colons_and_hex_digits_alone_are_no_address(text):
    assert find_personal(f"at {text} now".encode()) == []


@pytest.mark.parametrize(
    ("before", "value", "behind"),
    [
        ("Phone: ", "467 3395", ""),
        ("phone:\n", "60-56-85-91", "\n"),
        ("Tel. ", "030 1234567", "."),
        ("call me on ", "9472 7916", "?"),
        ("They are not answering at ", "0688 872 49 99", ""),
        ("messages to ", "699 956 915", ""),
        ("FAX ", "(08) 8747 6301", ","),
        ("", "2813882583", " mobile"),
        ("x\n", "96 228011", " office"),
        ("电话：", "62345678", "。"),
        ("手机号码是", "9123 4567", "，"),
        ("致电", "（0571）87654321", "咨询"),
        ("传真", "(0571)87654321", ""),
        ("联系方式:", "0571-87654321转801", ""),
        ("", "(978)645-9740x11144", ""),
        ("Ring ", "+41 (0)69 979 80 58", ""),
        ("", "400-810-8888", ""),
        ("\\,", "+447700 208 815", "-Fax"),
        ("電話號碼", "（+852）8177 7778", "更是"),
        ("", "001-748-088-2851x818", ""),
        ("", "1-877-211-9377", " #x"),
    ],
)
def test_numbers_that_a_word_or_their_form_announces_are_phones(before, value, behind):
    start = len(before.encode())
    assert find_personal(f"{before}{value}{behind}".encode()) == [
        (start, start + len(value.encode()), "phone")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "467 3395",
        "9472 7916 people",
        "62345678",
        "called in 1914-1918",
        "phone 2024-11-23",
        "hotel 4673395",
        "cellar 4673395",
        "text\n1001111001",
        "phone sales of 12,345,678",
        "call 12345678901234567",
        "call 4673395.5",
        "phone 46733951%",
        "电话用户。1914-1918",
        "GM/T 0044-2016",
        "mobile\n\n4673395",
        "the call. It had 4673395 users",
        "phone 4673395kg",
    ],
)
def test_bare_numbers_dates_and_amounts_are_no_phones(text):
    assert find_personal(f"see {text} ok".encode()) == []


def test_spans_that_overlap_become_one_so_that_no_digit_is_left():
    assert find_personal(b"call 415-555-2671@mail.org") == [(5, 26, "email")]
    assert find_personal(b"phone 13812345678x 1.2.3.4") == [(6, 17, "phone"), (19, 26, "ip")]
