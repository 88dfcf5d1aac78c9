"""WARC files: three records a capture, readable by two independent readers; a revisit refers to its earlier capture."""

import json
import zlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from crawlers.downloader.warc import (
    NOT_MODIFIED,
    SAME_PAYLOAD,
    EarlierCapture,
    HttpExchange,
    capture_records,
    format_warc_date,
    payload_digest,
    warcinfo_record,
)

WHEN = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
METADATA = {
    "source": "s",
    "type": "news",
    "licence": "CC-BY-4.0",
    "opt_out": [],
    "evidence": [{"signal": "rel=license", "value": "水"}],
}


def exchange(
    body: bytes = "<p>水</p>".encode(), url: str = "https://example.org/a?b=1", **changes
) -> HttpExchange:
    facts = {
        "url": url,
        "method": "GET",
        "request_headers": [("Host", "example.org"), ("User-Agent", "gristmill/0")],
        "protocol": "HTTP/1.1",
        "status": 200,
        "reason": "OK",
        "response_headers": [("Content-Type", "text/html"), ("Content-Length", str(len(body)))],
        "body": body,
        "address": "93.184.216.34",
    }
    return HttpExchange(**{**facts, **changes})


def members(data: bytes) -> list[bytes]:
    """The gzip members of a file, each unpacked by itself."""
    out = []
    while data:
        unpacker = zlib.decompressobj(31)
        out.append(unpacker.decompress(data) + unpacker.flush())
        data = unpacker.unused_data
    return out


def write(folder, *exchanges: HttpExchange | tuple[HttpExchange, EarlierCapture]) -> None:
    """A file of these exchanges; one that comes with an earlier capture is a revisit."""
    told = [one if isinstance(one, tuple) else (one, None) for one in exchanges]
    data = b"".join(capture_records(one, METADATA, WHEN, earlier) for one, earlier in told)
    (folder / "00000.warc.gz").write_bytes(warcinfo_record("00000.warc.gz") + data)


def records_of(*exchanges: HttpExchange) -> list[bytes]:
    """The unpacked records of these captures."""
    return [part for one in exchanges for part in members(capture_records(one, METADATA, WHEN))]


def test_a_capture_is_request_response_and_metadata_in_this_order(tmp_path):
    write(tmp_path, exchange())
    with open(tmp_path / "00000.warc.gz", "rb") as file:
        records = [
            (r.rec_type, r.rec_headers.get_header("WARC-Target-URI"), r.content_stream().read())
            for r in ArchiveIterator(file, check_digests="raise")
        ]
    assert [kind for kind, _, _ in records] == ["warcinfo", "request", "response", "metadata"]
    assert [url for _, url, _ in records[1:]] == ["https://example.org/a?b=1"] * 3
    assert records[2][2] == "<p>水</p>".encode()
    assert json.loads(records[3][2]) == METADATA


def test_request_and_metadata_name_their_response(tmp_path):
    write(tmp_path, exchange())
    with open(tmp_path / "00000.warc.gz", "rb") as file:
        _, request, response, metadata = [
            dict(r.rec_headers.headers) for r in ArchiveIterator(file)
        ]
    assert (
        request["WARC-Concurrent-To"]
        == metadata["WARC-Concurrent-To"]
        == response["WARC-Record-ID"]
    )
    assert metadata["Content-Type"] == "application/json"
    assert (
        response["WARC-Date"] == "2026-11-23T17:00:00Z"
        and response["WARC-IP-Address"] == "93.184.216.34"
    )


def test_fastwarc_reads_the_same(tmp_path):
    write(tmp_path, exchange(), exchange(b"", status=404, reason="Not Found"))
    with open(tmp_path / "00000.warc.gz", "rb") as file:
        found = [
            (
                r.record_type,
                r.http_headers.status_code
                if r.is_http and r.record_type == WarcRecordType.response
                else None,
                r.verify_block_digest(),
            )
            for r in FastIterator(file, parse_http=True)
        ]
    kinds = [WarcRecordType.request, WarcRecordType.response, WarcRecordType.metadata]
    assert [kind for kind, _, _ in found] == [WarcRecordType.warcinfo, *kinds, *kinds]
    assert [status for _, status, _ in found if status] == [200, 404]


def test_every_record_is_a_gzip_member_of_its_own(tmp_path):
    write(tmp_path, exchange(), exchange())
    parts = members((tmp_path / "00000.warc.gz").read_bytes())
    assert len(parts) == 1 + 2 * 3
    assert all(
        part.startswith(b"WARC/1.1\r\nWARC-Type: ") and part.endswith(b"\r\n\r\n") for part in parts
    )


@given(
    body=st.binary(max_size=300),
    value=st.text(max_size=30),
    name=st.sampled_from(["X-A", "Set-Thing"]),
)
def test_any_body_comes_back_and_no_header_value_breaks_the_block(body, value, name):
    records = records_of(
        exchange(body, response_headers=[(name, value), ("Content-Length", str(len(body)))])
    )
    block = records[1].split(b"\r\n\r\n", 1)[1]
    head, _, rest = block.partition(b"\r\n\r\n")
    assert rest == body + b"\r\n\r\n"
    assert len(head.split(b"\r\n")) == 3


def test_a_target_uri_cannot_smuggle_a_header(tmp_path):
    data = records_of(exchange(url="https://e.org/a\r\nWARC-Type: evil"))[1]
    assert b"\r\nWARC-Type: evil" not in data


@pytest.mark.parametrize("address", [None, "2001:db8::1"])
def test_the_address_is_written_where_it_is_known(address):
    head = records_of(exchange(address=address))[1]
    assert (b"WARC-IP-Address: 2001:db8::1\r\n" in head) == (address is not None)


BODY = "<p>水</p>".encode()
EARLIER = EarlierCapture(payload_digest(BODY), "2026-10-01T08:00:00Z")
SAME = (exchange(BODY), EARLIER)
NOT_CHANGED = (
    exchange(b"", status=304, reason="Not Modified", response_headers=[("ETag", '"1"')]),
    EARLIER,
)


@pytest.mark.parametrize(
    ("again", "profile", "status"),
    [(SAME, SAME_PAYLOAD, "200"), (NOT_CHANGED, NOT_MODIFIED, "304")],
)
def test_a_revisit_refers_to_the_earlier_capture_and_has_headers_but_no_body_for_warcio(
    tmp_path, again, profile, status
):
    write(tmp_path, again)
    with open(tmp_path / "00000.warc.gz", "rb") as file:
        found = [
            (r.rec_type, r.rec_headers, r.http_headers, r.content_stream().read())
            for r in ArchiveIterator(file, check_digests="raise")
        ]
    assert [kind for kind, *_ in found] == ["warcinfo", "request", "revisit", "metadata"]
    _, headers, http, body = found[2]
    assert headers["WARC-Profile"] == profile
    assert (
        headers["WARC-Refers-To-Target-URI"]
        == headers["WARC-Target-URI"]
        == "https://example.org/a?b=1"
    )
    assert (headers["WARC-Refers-To-Date"], headers["WARC-Date"]) == (
        "2026-10-01T08:00:00Z",
        "2026-11-23T17:00:00Z",
    )
    assert headers["WARC-Payload-Digest"] == payload_digest(BODY)
    assert (http.get_statuscode(), body) == (status, b"")
    assert (
        found[3][1]["WARC-Concurrent-To"]
        == found[1][1]["WARC-Concurrent-To"]
        == headers["WARC-Record-ID"]
    )


def test_fastwarc_reads_revisits_between_other_captures(tmp_path):
    write(tmp_path, exchange(BODY), SAME, NOT_CHANGED, exchange(b"last"))
    with open(tmp_path / "00000.warc.gz", "rb") as file:
        found = []
        for one in FastIterator(file, parse_http=False):
            assert one.verify_block_digest()
            if one.record_type in (WarcRecordType.response, WarcRecordType.revisit):
                one.parse_http()
                found.append((one.record_type, one.http_headers.status_code, one.reader.read()))
    assert found == [
        (WarcRecordType.response, 200, BODY),
        (WarcRecordType.revisit, 200, b""),
        (WarcRecordType.revisit, 304, b""),
        (WarcRecordType.response, 200, b"last"),
    ]


def test_the_digest_of_a_revisit_is_that_which_its_first_capture_was_stored_with(tmp_path):
    write(tmp_path, exchange(BODY), SAME)
    with open(tmp_path / "00000.warc.gz", "rb") as file:
        digests = [
            r.rec_headers["WARC-Payload-Digest"]
            for r in ArchiveIterator(file)
            if r.rec_type in ("response", "revisit")
        ]
    assert digests == [payload_digest(BODY)] * 2


def test_the_date_of_a_capture_is_in_utc():
    assert (
        format_warc_date(datetime(2026, 11, 24, 1, 30, tzinfo=timezone(timedelta(hours=8))))
        == "2026-11-23T17:30:00Z"
    )
