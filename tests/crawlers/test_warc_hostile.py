"""WARC files of hostile answers: two independent readers get back what was sent, whatever it spells."""

import gzip
import io
import json
from datetime import UTC, datetime

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from crawlers.downloader.warc import EarlierCapture, HttpExchange, capture_records, warcinfo_record

KINDS = ("warcinfo", "request", "revisit", "response", "metadata")
RECORD = b"WARC/1.1\r\nWARC-Type: response\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n"
HOSTILE = [
    b"",
    b"\r\n\r\n",
    RECORD,
    RECORD * 3,
    gzip.compress(RECORD, mtime=0),
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"\x00" * 40,
    b"\x1f\x8b" * 10,
    "WARC/1.1 新闻".encode(),
    bytes(range(256)),
]
BODIES = st.one_of(st.sampled_from(HOSTILE), st.binary(max_size=200))
NAMES = st.sampled_from(
    ["X-A", "Set-Cookie", "WARC-Type", "Content-Type", "content-length", "Transfer-Encoding"]
)
VALUES = st.one_of(
    st.sampled_from(
        ["a\r\nWARC-Type: evil", "a\nX: b", "\r\n\r\n", "é", "chunked", "0", " ", "\x00"]
    ),
    st.text(st.characters(codec="latin-1"), max_size=30),
)
URLS = st.builds(
    "https://e.example/{}".format,
    st.text(st.sampled_from("abc/?=&%25新 \r\n:#"), max_size=20),
)


@st.composite
def exchanges(draw: st.DrawFn) -> HttpExchange:
    body = draw(BODIES)
    named = draw(
        st.lists(
            st.tuples(NAMES.filter(lambda name: name.startswith(("X", "S"))), VALUES), max_size=4
        )
    )
    return HttpExchange(
        url=draw(URLS),
        method="GET",
        request_headers=[("Host", "e.example"), *named],
        protocol="HTTP/1.1",
        status=draw(st.sampled_from([200, 301, 404, 429, 503])),
        reason="Status",
        response_headers=[*named, ("Content-Length", str(len(body)))],
        body=body,
    )


def written(found: list[HttpExchange], earlier: EarlierCapture | None = None) -> bytes:
    """The bytes of a file of these exchanges."""
    when = datetime(2026, 11, 23, tzinfo=UTC)
    notes = ({"number": number, "note": "新\r\nWARC-Type: evil"} for number in range(len(found)))
    return warcinfo_record("00000.warc.gz") + b"".join(
        capture_records(one, note, when, earlier) for one, note in zip(found, notes, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(exchanges(), min_size=1, max_size=4))
def test_fastwarc_reads_back_every_body_status_and_note_in_order(found):
    bodies, statuses, notes = [], [], []
    for record in FastIterator(io.BytesIO(written(found)), parse_http=False):
        assert record.verify_block_digest()
        if record.record_type == WarcRecordType.response:
            record.parse_http()
            statuses.append(record.http_headers.status_code)
            bodies.append(record.reader.read())
        elif record.record_type == WarcRecordType.metadata:
            notes.append(json.loads(record.reader.read())["number"])
    assert bodies == [exchange.body for exchange in found]
    assert statuses == [exchange.status for exchange in found]
    assert notes == list(range(len(found)))


@settings(max_examples=60, deadline=None)
@given(st.lists(exchanges(), min_size=1, max_size=3))
def test_warcio_counts_the_same_records_and_no_smuggled_one(found):
    records = []
    for record in ArchiveIterator(
        io.BytesIO(written(found)), check_digests="raise", no_record_parse=False
    ):
        records.append(record.rec_type)
        record.content_stream().read()
    assert records == ["warcinfo"] + ["request", "response", "metadata"] * len(found)


@settings(max_examples=60, deadline=None)
@given(exchanges())
def test_header_values_come_back_byte_for_byte_but_for_line_breaks(exchange):
    data = written([exchange])
    for record in FastIterator(io.BytesIO(data), parse_http=False):
        if record.record_type == WarcRecordType.response:
            head = record.reader.read().split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]
    sent = [f"{name}: {value}" for name, value in exchange.response_headers]
    assert [line.decode("latin-1") for line in head] == [
        text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ") for text in sent
    ]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_what_looks_like_a_record_inside_a_body_is_a_body(body):
    exchange = HttpExchange(
        "https://e.example/",
        "GET",
        [],
        "HTTP/1.1",
        200,
        "OK",
        [("Content-Length", str(len(body)))],
        body,
    )
    data = written([exchange])
    assert sum(1 for _ in FastIterator(io.BytesIO(data), parse_http=False)) == 4
    assert data.count(b"\x1f\x8b\x08") >= 4


@settings(max_examples=60, deadline=None)
@given(st.lists(exchanges(), min_size=1, max_size=3), st.sampled_from(["warcio", "fastwarc"]))
def test_revisits_of_hostile_answers_are_read_as_revisits_without_a_body(found, reader):
    data = written(
        found, EarlierCapture("sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ", "2026-10-01T00:00:00Z")
    )
    kinds, bodies = [], []
    if reader == "warcio":
        for record in ArchiveIterator(io.BytesIO(data), check_digests="raise"):
            kinds.append(record.rec_type)
            bodies.append(record.content_stream().read() if record.rec_type == "revisit" else b"")
    else:
        for record in FastIterator(io.BytesIO(data), parse_http=False):
            assert record.verify_block_digest()
            kinds += [name for name in KINDS if record.record_type == getattr(WarcRecordType, name)]
            bodies.append(
                record.reader.read().partition(b"\r\n\r\n")[2] if kinds[-1] == "revisit" else b""
            )
    assert kinds == ["warcinfo"] + ["request", "revisit", "metadata"] * len(found)
    assert not any(bodies)
