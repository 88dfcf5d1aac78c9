"""WARC: every capture is read with its rights or quarantined, whoever wrote the file and wherever it is cut."""

import contextlib
import encodings.aliases
import gzip
import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipelines.annotate.readers.warc
from gristmill.captures.items import CaptureFormat
from gristmill.runs.ledger import Unbalanced
from pipelines.annotate.readers.http_body import MAX_BODY, BadBody, dechunk, decode_body
from pipelines.annotate.readers.records import Dropped, Quarantined, Split
from pipelines.annotate.readers.warc import decode_page, read_warc

ABOUT = {
    "source": "wikinews-en",
    "kind": "news",
    "format": "html",
    "lang_hint": "en",
    "licence": "CC-BY-2.5",
    "evidence": [
        {"signal": "rel=license", "value": "https://creativecommons.org/licenses/by/2.5/"}
    ],
    "opt_out": ["noai"],
    "robots": "allowed",
}


def record(kind, body, content_type, *, url="http://x.org/1", fields=None, length=None):
    named = {
        "WARC-Record-ID": f"<urn:uuid:{random.Random(body).getrandbits(128):032x}>",
        **(fields or {}),
    }
    more = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Date: 2026-01-02T03:04:05Z\r\nContent-Type: {content_type}\r\n{more}"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def response(
    body,
    *headers,
    status="200 OK",
    url="http://x.org/1",
    media="text/html; charset=utf-8",
    fields=None,
):
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {media}", *headers])
    block = head.encode() + b"\r\n\r\n" + body
    return record("response", block, "application/http; msgtype=response", url=url, fields=fields)


def request(url="http://x.org/1"):
    return record(
        "request",
        b"GET / HTTP/1.1\r\nHost: x.org\r\n\r\n",
        "application/http; msgtype=request",
        url=url,
    )


def about(fields=None, **changes):
    return record(
        "metadata", json.dumps(ABOUT | changes).encode(), "application/json", fields=fields
    )


def capture(number, **changes):
    url = f"http://x.org/{number}"
    return [request(url), response(f"<p>page {number}</p>".encode(), url=url), about(**changes)]


def read(path):
    rows, broken, left = [], [], []
    for item in read_warc(Split(0, "warc", str(path), 0, 0)):
        if isinstance(item, Quarantined):
            broken.append(item)
        elif isinstance(item, Dropped):
            left.append(item)
        else:
            rows += item.to_pylist()
    return rows, broken, left


@pytest.fixture
def warc(tmp_path):
    """A function that writes records as a WARC (plain or one gzip member a record) and reads it."""

    def make(*records, packed=False):
        path = tmp_path / ("a.warc.gz" if packed else "a.warc")
        path.write_bytes(
            b"".join(gzip.compress(one, mtime=0) if packed else one for one in records)
        )
        return read(path)

    return make


@pytest.mark.parametrize("packed", [False, True])
def test_our_records_carry_their_rights(packed, warc):
    rows, broken, left = warc(
        *capture(1), *capture(2, source="other", opt_out=[], licence="CC0-1.0"), packed=packed
    )
    assert broken == left == []
    first, second = rows
    wanted = {
        "text": "<p>page 1</p>",
        "media": "html",
        "url": "http://x.org/1",
        "source": "wikinews-en",
        "kind": "news",
        "licence": "CC-BY-2.5",
        "evidence": ABOUT["evidence"],
        "opt_out": ["noai"],
        "title": None,
        "author": None,
    }
    assert {name: first[name] for name in wanted} == wanted
    assert first["fetched"].isoformat() == "2026-01-02T03:04:05+00:00"
    assert first["capture"]["file"] == ("a.warc.gz" if packed else "a.warc")
    assert (second["source"], second["licence"], second["opt_out"]) == ("other", "CC0-1.0", [])
    assert len({first["id"], second["id"]}) == 2


@pytest.mark.parametrize("packed", [False, True])
def test_the_offset_of_a_capture_is_where_its_record_lies(packed, warc, tmp_path):
    rows, _, _ = warc(*capture(1), *capture(2), packed=packed)
    raw = (tmp_path / ("a.warc.gz" if packed else "a.warc")).read_bytes()
    for row in rows:
        part = raw[row["capture"]["offset"] :]
        part = zlib.decompressobj(31).decompress(part) if packed else part
        assert part.startswith(b"WARC/1.1\r\nWARC-Type: response") and row["text"].encode() in part


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"format": "discovery"}, "not_content")],
)
def test_discovery_is_left_out(changes, reason, warc):
    rows, broken, left = warc(*capture(1, **changes), *capture(2))
    assert [item.reason for item in left] == [reason] and len(rows) == 1 and broken == []


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (response(b"gone", status="404 Not Found"), "http_status"),
        (response(b"", status="301 Moved"), "http_status"),
        (response(b"  \n"), "empty_body"),
    ],
)
def test_answers_without_a_page_are_left_out_with_their_reason(made, reason, warc):
    rows, broken, left = warc(made, about(), *capture(2))
    assert [(item.reason, item.source) for item in left] == [(reason, "wikinews-en")]
    assert [row["url"] for row in rows] == ["http://x.org/2"] and broken == []


STRANGE = [
    record("metadata", b"fetchTimeMs: 12\r\n", "application/warc-fields"),
    record("metadata", b"[1, 2]", "application/json"),
    record("metadata", b'"text"', "application/json"),
    record("metadata", b"\xff\xfe", "application/json"),
    record("metadata", json.dumps({"evidence": "everything"}).encode(), "application/json"),
    record("metadata", json.dumps({"opt_out": [1, {}], "source": 5}).encode(), "application/json"),
    record("metadata", b'{"source": "\\ud800"}', "application/json"),
    record("metadata", json.dumps({"evidence": [{"signal": 1}]}).encode(), "application/json"),
]


@pytest.mark.parametrize("number", range(len(STRANGE)))
def test_metadata_of_strangers_gives_no_rights_and_no_error(number, warc):
    rows, broken, left = warc(response(b"<p>page</p>"), STRANGE[number], *capture(2))
    assert broken == left == [] and len(rows) == 2
    assert (rows[0]["source"], rows[0]["licence"], rows[0]["opt_out"], rows[0]["kind"]) == (
        "web",
        "unknown",
        [],
        "web",
    )


def test_a_capture_without_metadata_is_not_given_its_neighbours(warc):
    rows, _, _ = warc(
        response(b"<p>a</p>", url="http://x/a"),
        *capture(2),
        response(b"<p>b</p>", url="http://x/b"),
    )
    assert [(row["url"], row["licence"]) for row in rows] == [
        ("http://x/a", "unknown"),
        ("http://x.org/2", "CC-BY-2.5"),
        ("http://x/b", "unknown"),
    ]


A, B = ({"WARC-Record-ID": f"<urn:uuid:{letter}>"} for letter in "ab")
OF_A, OF_B = {"WARC-Concurrent-To": "<urn:uuid:a>"}, {"WARC-Refers-To": "<urn:uuid:b>"}
FIRST, SECOND = response(b"<p>a</p>", fields=A), response(b"<p>b</p>", fields=B)
WARCINFO = record("warcinfo", b"software: x\r\n", "application/warc-fields")


@pytest.mark.parametrize(
    ("records", "licences"),
    [
        ((FIRST, request(), about()), ["CC-BY-2.5"]),
        ((FIRST, WARCINFO, request(), about()), ["CC-BY-2.5"]),
        ((FIRST, STRANGE[0], about()), ["CC-BY-2.5"]),
        ((FIRST, SECOND, about(OF_B, licence="MIT"), about(OF_A)), ["CC-BY-2.5", "MIT"]),
        ((about(OF_B, licence="MIT"), FIRST, about(OF_A), SECOND), ["CC-BY-2.5", "MIT"]),
        ((FIRST, SECOND, about(OF_A)), ["CC-BY-2.5", "unknown"]),
        ((FIRST, about({"WARC-Refers-To": "<urn:uuid:elsewhere>"})), ["unknown"]),
        ((about(), FIRST), ["unknown"]),
    ],
    ids=range(8),
)
def test_rights_reach_the_capture_they_name_or_follow_wherever_they_lie(records, licences, warc):
    rows, broken, left = warc(*records)
    assert [row["licence"] for row in rows] == licences and broken == left == []
    assert [row["opt_out"] for row in rows] == [
        [] if licence == "unknown" else ["noai"] for licence in licences
    ]


def test_a_capture_whose_rights_are_too_large_to_read_is_quarantined(warc):
    large = record("metadata", b" " * (MAX_BODY + 1), "application/json")
    rows, broken, _ = warc(*capture(1)[:2], large, *capture(2), packed=True)
    assert [row["url"] for row in rows] == ["http://x.org/2"] and [
        item.reason for item in broken
    ] == ["cut_rights"]
    assert "http://x.org/1" in broken[0].error


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("revisit", "revisit"),
        ("resource", "not_a_response"),
        ("continuation", "not_a_response"),
        ("of-the-future", "not_a_response"),
    ],
)
def test_a_record_that_is_no_response_is_left_out_and_counted(kind, reason, warc):
    rows, broken, left = warc(record(kind, b"text", "text/plain"), *capture(2))
    assert left == [Dropped(reason, "web")] and len(rows) == 1 and broken == []


def test_a_record_without_an_outcome_is_an_error_of_ours(warc, monkeypatch):
    silent = CaptureFormat("mediawiki-api", lambda body: iter(()))
    formats = {"mediawiki-api": silent}
    monkeypatch.setattr(pipelines.annotate.readers.warc, "find_format", formats.get)
    with pytest.raises(Unbalanced, match=r"a\.warc: 2 records with content, but 1 have an outcome"):
        warc(*capture(1), *capture(2, format="mediawiki-api"))


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_cut_anywhere_gives_only_whole_captures_and_names_the_rest(packed, tmp_path):
    captures = [capture(number) for number in range(3)]
    parts = [
        gzip.compress(one, mtime=0) if packed else one for records in captures for one in records
    ]
    raw, path = b"".join(parts), tmp_path / ("a.warc.gz" if packed else "a.warc")
    ends = [sum(map(len, parts[: i + 1])) for i in range(len(parts))]
    for cut in [*range(1, len(raw), 53), *(end - 1 - (0 if packed else 4) for end in ends)]:
        path.write_bytes(raw[:cut])
        rows, broken, left = read(path)
        whole = [
            f"<p>page {number}</p>"
            for number in range(3)
            if cut >= ends[3 * number + 1] - (0 if packed else 4)
        ]
        assert [row["text"] for row in rows] in (whole, whole[:-1]), cut
        with_rights = [
            number for number in range(3) if cut >= ends[3 * number + 2] - (0 if packed else 4)
        ]
        assert [row["licence"] for row in rows[: len(with_rights)]] == ["CC-BY-2.5"] * len(
            with_rights
        )
        if not any(end - (0 if packed else 4) <= cut <= end for end in ends):
            assert broken, f"cut at {cut}: nobody was told"
        assert left == []


@pytest.mark.parametrize("packed", [False, True])
def test_a_capture_whose_rights_are_cut_is_not_read_without_them(packed, tmp_path):
    parts = [gzip.compress(one, mtime=0) if packed else one for one in capture(1)]
    path = tmp_path / ("a.warc.gz" if packed else "a.warc")
    for cut in (30, 60):
        path.write_bytes(b"".join(parts)[:-cut])
        rows, broken, _ = read(path)
        assert rows == [] and broken


def test_noise_in_a_file_is_never_an_exception(tmp_path):
    rng = random.Random(3)
    raw = b"".join(one for number in range(4) for one in capture(number))
    packed = b"".join(gzip.compress(one, mtime=0) for number in range(4) for one in capture(number))
    for round_, data in enumerate([raw, packed] * 100):
        noisy = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            noisy[rng.randrange(len(noisy))] = rng.randrange(256)
        path = tmp_path / f"a{round_}.warc"
        path.write_bytes(noisy)
        rows, _, _ = read(path)
        assert len(rows) <= 8


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"no archive", b"WARC/1.1\r\n", b"\x1f\x8b\x08", b"\0" * 100], ids=repr
)
def test_a_file_that_is_no_archive_is_nothing_or_one_remainder(data, tmp_path):
    path = tmp_path / "a.warc"
    path.write_bytes(data)
    rows, broken, left = read(path)
    assert rows == left == [] and len(broken) == (1 if data.strip() else 0)


def test_a_record_longer_than_it_says_or_said_costs_itself(warc):
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>short</p>"
    rows, broken, _ = warc(
        *capture(1),
        record("response", body, "application/http; msgtype=response", length=len(body) + 900),
    )
    assert [row["text"] for row in rows] == ["<p>page 1</p>"]
    [damaged] = broken
    assert (
        damaged.reason == "unknown_remainder"
        and "of 956 bytes of this record are there: http://x.org/1" in damaged.error
    )


PAGE = b"<p>" + b"hello " * 200 + b"</p>"


def chunked(body, size=100):
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def raw_deflate(body):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], PAGE),
        (["Content-Encoding: identity"], PAGE),
        (["Content-Encoding: gzip"], gzip.compress(PAGE, mtime=0)),
        (["Content-Encoding: GZIP"], gzip.compress(PAGE, mtime=0)),
        (["Content-Encoding: gzip"], PAGE),
        (["Content-Encoding: deflate"], zlib.compress(PAGE)),
        (["Content-Encoding: deflate"], raw_deflate(PAGE)),
        (["Transfer-Encoding: chunked"], chunked(PAGE)),
        (["Transfer-Encoding: chunked"], PAGE),
        (
            ["Transfer-Encoding: chunked", "Content-Encoding: gzip"],
            chunked(gzip.compress(PAGE, mtime=0), 20),
        ),
        (["Content-Encoding: deflate, gzip"], gzip.compress(zlib.compress(PAGE), mtime=0)),
    ],
)
def test_bodies_are_decoded(headers, body, warc):
    rows, broken, _ = warc(response(body, *headers), *capture(2))
    assert broken == [] and [row["text"] for row in rows] == [PAGE.decode(), "<p>page 2</p>"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Encoding: gzip"], gzip.compress(PAGE, mtime=0)[:-9]),
        (["Content-Encoding: gzip"], b"\x1f\x8b" + PAGE),
        (["Content-Encoding: deflate"], PAGE),
        (["Content-Encoding: br"], b"\x0b\x02\x80abc\x03"),
        (["Content-Encoding: zstd"], b"\x28\xb5\x2f\xfd"),
        (["Content-Encoding: nonsense"], PAGE),
        (["Transfer-Encoding: chunked"], chunked(PAGE)[:-50]),
    ],
)
def test_a_body_that_cannot_be_decoded_costs_one_capture(headers, body, warc):
    rows, broken, _ = warc(response(body, *headers), *capture(2))
    assert [item.reason for item in broken] == ["bad_encoding"] and "http://x.org/1" in broken[
        0
    ].error
    assert [row["text"] for row in rows] == ["<p>page 2</p>"]


def test_a_body_that_unpacks_to_too_much_is_refused():
    bomb = gzip.compress(b"\0" * (65 << 20), mtime=0)
    with pytest.raises(BadBody, match="larger than allowed"):
        decode_body(bomb, {"Content-Encoding": "gzip"}.get)


@pytest.mark.parametrize("encoding", ["deflate", "gzip, gzip"])
def test_no_encoding_unpacks_to_too_much(encoding):
    bomb = (
        zlib.compress(b"\0" * (65 << 20))
        if encoding == "deflate"
        else gzip.compress(gzip.compress(b"\0" * (65 << 20)), mtime=0)
    )
    with pytest.raises(BadBody, match="larger than allowed"):
        decode_body(bomb, {"Content-Encoding": encoding}.get)


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=300), size=st.integers(1, 50))
def test_chunks_of_any_size_give_the_body(body, size):
    assert dechunk(chunked(body, size)) == body


@settings(max_examples=200, deadline=None)
@given(
    raw=st.binary(max_size=60),
    encoding=st.sampled_from(["gzip", "deflate", "gzip, deflate", "br", ""]),
    transfer=st.sampled_from(["chunked", ""]),
)
def test_any_body_is_decoded_or_refused(raw, encoding, transfer):
    with contextlib.suppress(BadBody):
        assert isinstance(
            decode_body(raw, {"Content-Encoding": encoding, "Transfer-Encoding": transfer}.get),
            bytes,
        )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>Grüße 中文</p>".encode(), "<p>Grüße 中文</p>"),
        (
            '<meta charset="gbk"><p>中文网页的内容</p>'.encode("gbk"),
            '<meta charset="gbk"><p>中文网页的内容</p>',
        ),
        (
            '<meta charset="shift_jis"><p>日本語のページ</p>'.encode("shift_jis"),
            '<meta charset="shift_jis"><p>日本語のページ</p>',
        ),
        (
            '<meta charset="windows-1252"><p>Café “x”</p>'.encode("cp1252"),
            '<meta charset="windows-1252"><p>Café “x”</p>',
        ),
    ],
)
def test_a_page_is_decoded_by_the_encoding_it_declares(body, text):
    assert decode_page(body) == text


RUSSIAN = "<p>Мельница стоит на реке.</p>"


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("koi8-r", RUSSIAN.encode("koi8-r"), RUSSIAN),
        ('"Windows-1251"', RUSSIAN.encode("cp1251"), RUSSIAN),
        (
            "koi8-r",
            b'<meta charset="utf-8">' + RUSSIAN.encode("koi8-r"),
            '<meta charset="utf-8">' + RUSSIAN,
        ),
        ("gbk", "<p>今天。</p>".encode("gbk"), "<p>今天。</p>"),
        (
            "utf-8",
            b'<meta charset="gbk">' + "<p>今天天气很好。</p>".encode("gbk"),
            '<meta charset="gbk"><p>今天天气很好。</p>',
        ),
        (
            "utf-8",
            ("<p>" + "今天天气很好。" * 9 + "</p>").encode("gbk"),
            "<p>" + "今天天气很好。" * 9 + "</p>",
        ),
        ("no-such-charset", RUSSIAN.encode(), RUSSIAN),
        ("utf-8", b"\xef\xbb\xbf<p>a</p>", "<p>a</p>"),
    ],
)
def test_the_charset_of_the_answer_goes_first_where_it_fits(charset, body, text, warc):
    rows, broken, _ = warc(response(body, media=f"text/html; charset={charset}"))
    assert [row["text"] for row in rows] == [text] and broken == []


@pytest.mark.parametrize(
    "charset", sorted({*encodings.aliases.aliases, "x-user-defined", "hex", "rot13", "replacement"})
)
def test_any_charset_is_tried_without_an_error(charset):
    assert decode_page(b"<p>plain</p>", charset) is not None


@pytest.mark.parametrize(
    "media", ["text/html", "TEXT/HTML; charset=utf-8", "application/xhtml+xml", "text/plain"]
)
def test_text_is_read_whatever_its_media_type_is_called(media, warc):
    rows, _, left = warc(response(PAGE, media=media))
    assert len(rows) == 1 and left == []


@pytest.mark.parametrize(
    "media",
    ["image/png", "application/pdf", "application/javascript", "text/css", "application/json"],
)
def test_media_that_hold_no_prose_are_left_out(media, warc):
    rows, broken, left = warc(response(b"\x89PNG\r\n\x1a\n", media=media), about(), *capture(2))
    assert left == [Dropped("not_text", "wikinews-en")] and len(rows) == 1 and broken == []


def test_a_page_of_replacement_characters_is_undecodable(warc):
    noise = ("<p>" + "\ufffd" * 100).encode()  # what a careless tool leaves of a page
    assert decode_page(noise) is None
    rows, broken, _ = warc(response(noise), about(), *capture(2))
    assert [item.reason for item in broken] == ["undecodable"] and len(rows) == 1
    assert broken[0].source == "wikinews-en"


def wiki(*pages):
    return json.dumps({"query": {"pages": list(pages)}}).encode()


def page(title, text="Some ''text''.", **more):
    return {
        "title": title,
        "pageid": 1,
        "fullurl": f"https://en.wikinews.org/wiki/{title}",
        "revisions": [
            {"revid": 7, "timestamp": "2026-01-01T00:00:00Z", "slots": {"main": {"content": text}}}
        ],
        **more,
    }


def test_a_mediawiki_answer_is_one_record_a_page_and_a_broken_page_costs_itself(warc):
    made = response(wiki(page("A"), page("B", None), page("C"), {"title": "D", "missing": True}))
    rows, broken, left = warc(made, about(format="mediawiki-api", kind="wiki"))
    assert left == [Dropped("not_content", "wikinews-en")]
    assert [(row["title"], row["capture"]["item"], row["media"]) for row in rows] == [
        ("A", 0, "wikitext"),
        ("C", 2, "wikitext"),
    ]
    assert [item.reason for item in broken] == ["bad_item"] and "item 1" in broken[0].error
    assert rows[0]["url"] == "https://en.wikinews.org/wiki/A"
    assert rows[0]["evidence"] == [*ABOUT["evidence"], {"signal": "revision", "value": "7"}]
    assert rows[0]["published"].isoformat() == "2026-01-01T00:00:00+00:00"


def test_a_status_adds_its_accounts_refusals_to_those_of_the_capture(warc):
    status = {
        "content": "<p>Hi</p>",
        "url": "https://m.org/@a/1",
        "account": {"url": "https://m.org/@a", "noindex": True},
    }
    rows, broken, _ = warc(
        response(json.dumps([status, {"id": 5}]).encode()),
        about(format="mastodon-api", kind="social"),
    )
    assert (
        rows[0]["opt_out"] == ["noai", "noindex"]
        and rows[0]["evidence"][-1] == {"signal": "account.noindex", "value": "true"}
        and rows[0]["media"] == "status"
        and rows[0]["author"] == "https://m.org/@a"
    )
    assert [item.reason for item in broken] == ["bad_item"]


ORDINARY = [
    {"error": {"code": "maxlag"}},
    {"batchcomplete": True},
    {"query": {"pages": []}},
    {
        "continue": {"rvcontinue": "1"},
        "query": {"pages": [{"pageid": 1, "title": "A", "fullurl": "u"}]},
    },
]


@pytest.mark.parametrize("answer", ORDINARY, ids=range(len(ORDINARY)))
def test_an_ordinary_answer_of_a_wiki_without_text_is_no_fault(answer, warc):
    rows, broken, left = warc(response(json.dumps(answer).encode()), about(format="mediawiki-api"))
    assert rows == broken == [] and left == [Dropped("not_content", "wikinews-en")]


def ids(warc, answer, form):
    return [row["id"] for row in warc(response(json.dumps(answer).encode()), about(format=form))[0]]


def test_a_post_keeps_its_id_while_its_text_stays(warc):
    post = {
        "content": "<p>Hi</p>",
        "url": "https://m.org/@a/1",
        "created_at": "2026-01-01T00:00:00Z",
        "favourites_count": 1,
        "account": {"acct": "a", "followers_count": 5},
    }
    liked = post | {
        "favourites_count": 9,
        "account": {"acct": "a", "followers_count": 6, "note": "New."},
    }
    first, again, edited, moved = (
        ids(warc, [status], "mastodon-api")[0]
        for status in (
            post,
            liked,
            post | {"content": "<p>Hi!</p>"},
            post | {"url": "https://m.org/@a/2"},
        )
    )
    assert first == again and len({first, edited, moved}) == 3


def test_a_wiki_page_keeps_its_id_while_its_text_stays(warc):
    first, touched, edited, renamed = (
        ids(warc, {"query": {"pages": [found]}}, "mediawiki-api")[0]
        for found in (
            page("A"),
            page("A", touched="2026-02-02T00:00:00Z", lastrevid=8),
            page("A", "Other."),
            page("B", fullurl="https://en.wikinews.org/wiki/A"),
        )
    )
    assert first == touched and len({first, edited, renamed}) == 3


def test_a_lone_surrogate_in_an_api_answer_costs_its_item(warc):
    made = response(wiki(page("A"), page("B", text="bad \ud800 text"), page("C")))
    rows, broken, _ = warc(made, about(format="mediawiki-api"))
    assert [row["title"] for row in rows] == ["A", "C"]
    assert [(item.reason, item.error) for item in broken] == [
        ("bad_item", "item 1: a lone surrogate")
    ]


@pytest.mark.parametrize(
    "name",
    [
        "warcfile.warc",
        "warcfile.warc.gz",
        "warcfile.warc.lz4",
        "clueweb-quirk.warc.gz",
        "clipped.warc.gz",
        "block-sized-records.warc",
        "block-sized-records.warc.gz",
        "block-sized-records.warc.lz4",
    ],
)
def test_files_of_strangers_are_read_or_quarantined(name, shared_data):
    rows, broken, _ = read(shared_data / "crawl/warc/resiliparse/tests/data" / name)
    expected = {
        "warcfile": (16, 0),
        "clueweb-quirk": (29, 0),
        "clipped": (0, 1),
        "block-sized-records": (0, 0),
    }
    assert (len(rows), len(broken)) == expected[name.split(".")[0]]
    assert all(row["licence"] == "unknown" and row["text"] for row in rows)


def test_packing_changes_no_record(shared_data):
    folder = shared_data / "crawl/warc/resiliparse/tests/data"
    texts = [
        [(row["url"], row["id"], row["text"]) for row in read(folder / f"warcfile.{end}")[0]]
        for end in ("warc", "warc.gz", "warc.lz4")
    ]
    assert texts[0] == texts[1] == texts[2]
