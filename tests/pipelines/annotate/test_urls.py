"""Canonical addresses: one form for one page, the same form when asked twice, and two forms where there may be two pages."""

import string

import pyarrow as pa
import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.signals import urls
from pipelines.annotate.signals.urls import (
    URL_HASH,
    are_canonical,
    canonicalize_url,
    hash_url,
    hash_urls,
    load_tracking_parameters,
)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("http://example.org", "http://example.org/"),
        ("HTTPS://WWW.Example.ORG/Wiki", "https://www.example.org/Wiki"),
        ("http://example.org:80/a", "http://example.org/a"),
        ("https://example.org:0443/a", "https://example.org/a"),
        ("https://example.org:80/a", "https://example.org:80/a"),
        ("http://example.org:/a", "http://example.org/a"),
        ("http://example.org./a", "http://example.org/a"),
        ("http://[2001:DB8::1]:80/a", "http://[2001:db8::1]/a"),
        ("http://user:Pass@Example.org/", "http://user:Pass@example.org/"),
        ("http://Bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://例え。テスト/", "http://xn--r8jz45g.xn--zckzah/"),
        ("http://ex%61mple.org/", "http://example.org/"),
        ("  http://example.org/a\t/b\n", "http://example.org/a/b"),
        ("http://example.org/%7Ejoe/%c3%a9", "http://example.org/~joe/%C3%A9"),
        ("http://example.org/é 磨", "http://example.org/%C3%A9%20%E7%A3%A8"),
        ("http://example.org/100%", "http://example.org/100%25"),
        ("http://example.org/%zz%4", "http://example.org/%25zz%254"),
        ("http://example.org/a%2Fb%3f", "http://example.org/a%2Fb%3F"),
        ("http://example.org/a/./b/../../c", "http://example.org/c"),
        ("http://example.org/../../a", "http://example.org/a"),
        ("http://example.org/%2E%2e/a", "http://example.org/a"),
        ("http://example.org/a/b/..", "http://example.org/a"),
        ("http://example.org/.well-known/x", "http://example.org/.well-known/x"),
        ("http://example.org/a/", "http://example.org/a"),
        ("http://example.org/a//b//", "http://example.org/a//b"),
        ("http://example.org/?", "http://example.org/"),
        ("http://example.org/a/?b=1", "http://example.org/a?b=1"),
        ("http://example.org/?b=2&a=1&b=2", "http://example.org/?b=2&a=1&b=2"),
        ("http://example.org/?&a=1&&", "http://example.org/?a=1"),
        ("http://example.org/?utm_source=x&a=1&UTM_Medium=y", "http://example.org/?a=1"),
        ("http://example.org/?utm%5Fsource=x", "http://example.org/"),
        ("http://example.org/?fbclid=1&gclid=2&msclkid=3&mc_eid=4", "http://example.org/"),
        ("http://example.org/?a=x%20y+z&q=%E7%A3%a8", "http://example.org/?a=x%20y+z&q=%E7%A3%A8"),
        ("http://example.org/?a=http://b.org/?c=1", "http://example.org/?a=http://b.org/?c=1"),
        ("http://example.org/a#part", "http://example.org/a"),
        ("http://example.org/#!/topic/7", "http://example.org/#!/topic/7"),
        ("ftp://example.org:21/a", "ftp://example.org/a"),
    ],
)
def test_an_address_has_the_form_that_the_rules_give_it(url, canonical):
    assert canonicalize_url(url) == canonical
    assert canonicalize_url(canonical) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "example.org/a",
        "//example.org/a",
        "/a",
        "page:12",
        "mailto:a@b.org",
        "urn:isbn:1",
        "http://",
        "http:///a",
        "http://user@/",
        "http://./",
        "http://a b/",
        "http://example.org:x/",
        "http://example.org:80:80/",
        "http://[::1/",
        "http://a%00b/",
        "1http://a/",
        "http://\ufffd/",
        "http://\x00/",
        "http://ex%ffample.org/",
        "http:/example.org",
    ],
)
def test_what_names_no_page_of_a_host_has_no_form_and_no_hash(url):
    assert canonicalize_url(url) is None and hash_url(url) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.org/", "https://example.org/"),
        ("http://example.org/", "http://www.example.org/"),
        ("http://example.org/", "http://example.org:8080/"),
        ("http://example.org/A", "http://example.org/a"),
        ("http://example.org/a%2Fb", "http://example.org/a/b"),
        ("http://example.org/a%3Fb", "http://example.org/a?b"),
        ("http://example.org/a%25", "http://example.org/a"),
        ("http://example.org/?id=1", "http://example.org/?id=2"),
        ("http://example.org/?a=1&b=2", "http://example.org/?b=2&a=1"),
        ("http://example.org/?a=1%26b", "http://example.org/?a=1&b"),
        ("http://example.org/?source=rss", "http://example.org/"),
        ("http://example.org/?ref=1", "http://example.org/?ref=2"),
        ("http://example.org/?utmost=1", "http://example.org/"),
        ("http://example.org/index.html", "http://example.org/"),
        ("http://example.org/#!a", "http://example.org/#!b"),
    ],
)
def test_what_may_be_two_pages_stays_two(one, other):
    assert canonicalize_url(one) != canonicalize_url(other)
    assert hash_url(one) != hash_url(other)


PIECES = [
    "http://",
    "HTTPS://",
    "x.org",
    "ü.de",
    "ß",
    "İ",
    "ẞ",
    "ſ",
    "\u3002",
    "K",
    "xn--",
    "[::1]",
    "%41",
    "%2e",
    "%2F",
    "%25",
    "%c3%a9",
    "%E2%84%AA",
    "%",
    "/",
    "..",
    ".",
    "//",
    "?",
    "&",
    "=",
    "utm_a",
    "gclid=1",
    "#",
    "!",
    "@",
    ":",
    "80",
    "443",
    "0",
    " ",
    "\t",
    "\x00",
    "\u200d",
    "\u202e",
    "\ud800",
    "－",
    "中",
    "a",
    "+",
    ";",
    "[",
    "]",
    "\\",
    "|",
    "^",
]
BEGINNINGS = st.sampled_from(
    [
        "",
        "http://",
        "https://",
        "http://x.org",
        "http://x.org/",
        "HTTP://X.org:80/a?",
        "http://x.org/#!",
    ]
)
ADDRESSES = st.builds(
    str.__add__,
    BEGINNINGS,
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=40),
)


@settings(max_examples=1000, deadline=None)
@given(url=ADDRESSES)
@example(url="http://x.org/\ud800")
def test_the_form_of_a_form_is_itself_for_any_text(url):
    once = canonicalize_url(url)
    if once is not None:
        assert canonicalize_url(once) == once
        assert once.isascii() and once.isprintable() and " " not in once


SAFE = st.text(string.ascii_letters + string.digits + "-._~", min_size=1, max_size=12).filter(
    lambda s: s.strip(".")
)


# What a path may hold encoded or plain without another meaning: unreserved characters, and what no URL may hold plain.
FREE = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="!$&'()*+,;=:@/?#[]%.")


@settings(max_examples=300, deadline=None)
@given(path=st.text(FREE, max_size=10))
def test_an_encoded_path_is_the_same_page_as_the_plain_one(path):
    encoded = "".join(f"%{byte:02x}" for byte in path.encode())
    assert canonicalize_url(f"http://x.org/a{path}z") == canonicalize_url(
        f"http://x.org/a{encoded}z"
    )


@settings(max_examples=300, deadline=None)
@given(names=st.lists(SAFE, max_size=4), data=st.data())
def test_tracking_parameters_make_no_difference_wherever_they_stand(names, data):
    prefixes, whole = load_tracking_parameters()
    kept = [
        f"{name}=1"
        for name in names
        if name.lower() not in whole and not name.lower().startswith(prefixes)
    ]
    tracked = st.sampled_from([*sorted(whole), *(prefix + "x" for prefix in prefixes)])
    mixed = list(kept)
    for name in data.draw(st.lists(tracked, max_size=4)):
        mixed.insert(data.draw(st.integers(0, len(mixed))), f"{name.upper()}=v")
    assert canonicalize_url("http://x.org/a?" + "&".join(mixed)) == canonicalize_url(
        "http://x.org/a?" + "&".join(kept)
    )


def test_the_list_of_tracking_parameters_is_in_lower_case_and_says_nothing_twice():
    prefixes, names = load_tracking_parameters()
    assert all(name == name.lower() for name in (*prefixes, *names)) and len(set(prefixes)) == len(
        prefixes
    )
    assert [name for name in names if name.startswith(prefixes)] == []
    assert not {"id", "ref", "source", "page", "p", "q", "lang", "from", "cid"} & names


def test_a_hash_is_that_of_the_canonical_address():
    assert hash_url("HTTP://Example.org:80/a/") == xxhash.xxh3_128_digest(b"http://example.org/a")


def test_a_column_of_addresses_has_a_hash_each_and_looks_once_at_each_that_may_change(monkeypatch):
    seen = []
    monkeypatch.setattr(
        urls, "canonicalize_url", lambda url: seen.append(url) or canonicalize_url(url)
    )
    column = pa.array(
        ["http://A/", None, "http://b/", "http://A/", "page:1", None, *["http://one.org/."] * 1000]
    )
    hashes = hash_urls(column)
    assert hashes.type == URL_HASH
    assert seen == ["http://A/", "page:1", "http://one.org/."]
    assert hashes.to_pylist() == [
        None if url is None else hash_url(url) for url in column.to_pylist()
    ]


CANONICAL = [
    "http://example.org/",
    "https://www.example.org/Wiki",
    "http://a.b-c_d.example.org/a//b.html",
    "https://zh.wikipedia.org/wiki?curid=4891097",
    "http://example.org/%C3%A9%20b/(c),d;e",
    "http://example.org/?a=1&b=x/y?z.&c",
    "ftp://x/a.b.",
    "http://x/~joe/*",
    "http://x/a?source=rss&utmost=1",
]


def test_most_canonical_addresses_are_seen_to_be_so():
    assert are_canonical(pa.array(CANONICAL)).to_pylist() == [True] * len(CANONICAL)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "http://example.org/a/",
        "http://example.org//",
        "http://example.org/./a",
        "http://x/a/..",
        "http://X/a",
        "Http://x/a",
        "http://x/%7Ea",
        "http://x/%c3",
        "http://x/%2e",
        "http://x/%",
        "http://x:80/",
        "http://x./",
        "http://x/a?",
        "http://x/a?&a",
        "http://x/a?a&",
        "http://x/a?UTM_x=1",
        "http://x/?a=1&gclid",
        "http://x/?fbclid=2&b",
        "http://x/#a",
        "http://x/é",
        " http://x/a",
        "http://x/a\n",
        "http://x/a b",
        "page:12",
        "",
    ],
)
def test_what_has_another_form_or_none_is_not_taken_for_canonical(url):
    assert canonicalize_url(url) != url
    assert are_canonical(pa.array([url])).to_pylist() == [False]


FORMS = st.lists(
    st.sampled_from(
        [
            "/",
            "a",
            "B",
            ".",
            "..",
            "?",
            "&",
            "=",
            "utm_",
            "gclid",
            "GCLID=",
            "#",
            "%41",
            "%C3",
            "%2F",
            "%2f",
            "@",
            ":",
            "[",
            "é",
            "\n",
            "é",
            "\x00",
        ]
    ),
    max_size=9,
)


@settings(max_examples=1000, deadline=None)
@given(
    url=FORMS.map(lambda pieces: "http://x.org/" + "".join(pieces))
    | ADDRESSES.filter(lambda url: url.isascii())
)
def test_what_is_seen_to_be_canonical_is_its_own_form(url):
    if are_canonical(pa.array([url])).to_pylist() == [True]:
        assert canonicalize_url(url) == url


@settings(max_examples=300, deadline=None)
@given(st.lists(st.none() | FORMS.map(lambda pieces: "http://x.org" + "".join(pieces)), max_size=9))
def test_a_column_has_the_hashes_of_its_addresses(column):
    assert hash_urls(pa.array(column, pa.string())).to_pylist() == [
        url and hash_url(url) for url in column
    ]


@pytest.mark.parametrize(
    "column",
    [pa.array([], pa.string()), pa.nulls(3, pa.string()), pa.array(["x", "http://a/"]).slice(1)],
)
def test_empty_columns_nulls_and_slices_keep_their_rows(column):
    hashes = hash_urls(column)
    assert hashes.type == URL_HASH and hashes.to_pylist() == [
        url and hash_url(url) for url in column.to_pylist()
    ]


@pytest.mark.parametrize("size", [10**5, pytest.param(10**6, marks=pytest.mark.slow)])
def test_long_addresses_take_time_that_grows_with_them(size):
    for char in ("a", "%", "%7e", "/..", "&", "?", "é", ".", "utm_a&"):
        assert canonicalize_url("http://x.org/?" + char * (size // len(char))) is not None
        assert canonicalize_url("http://x.org/" + char * (size // len(char))) is not None
    assert canonicalize_url("http://x.org/" + "a/" * size + "../" * size) == "http://x.org/"
