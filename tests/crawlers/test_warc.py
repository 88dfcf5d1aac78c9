"""WARC files: three records a capture, readable by two independent readers, whole or not there at all."""

import gzip
import json
import zlib
from datetime import UTC, datetime

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from crawlers.warc import Exchange, WarcWriter, capture_records

WHEN = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
METADATA = {
    "source": "s",
    "kind": "news",
    "licence": "CC-BY-4.0",
    "opt_out": [],
    "evidence": [{"signal": "rel=license", "value": "水"}],
}


def exchange(body: bytes = "<p>水</p>".encode(), url: str = "https://example.org/a?b=1", **changes) -> Exchange:
    facts = {
        "url": url, "method": "GET", "request_headers": [("Host", "example.org"), ("User-Agent", "gristmill/0")], "protocol": "HTTP/1.1", "status": 200, "reason": "OK",
        "response_headers": [("Content-Type", "text/html"), ("Content-Length", str(len(body)))], "body": body, "address": "93.184.216.34",
    }  # fmt: skip
    return Exchange(**{**facts, **changes})


def members(data: bytes) -> list[bytes]:
    """The gzip members of a file, each unpacked by itself."""
    out = []
    while data:
        unpacker = zlib.decompressobj(31)
        out.append(unpacker.decompress(data) + unpacker.flush())
        data = unpacker.unused_data
    return out


def write(folder, *exchanges: Exchange, **options) -> WarcWriter:
    writer = WarcWriter(folder, **options)
    for one in exchanges:
        writer.write(one, METADATA, when=WHEN)
    writer.close()
    return writer


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
        _, request, response, metadata = [dict(r.rec_headers.headers) for r in ArchiveIterator(file)]
    assert request["WARC-Concurrent-To"] == metadata["WARC-Concurrent-To"] == response["WARC-Record-ID"]
    assert metadata["Content-Type"] == "application/json"
    assert response["WARC-Date"] == "2026-11-23T17:00:00Z" and response["WARC-IP-Address"] == "93.184.216.34"


def test_fastwarc_reads_the_same(tmp_path):
    write(tmp_path, exchange(), exchange(b"", status=404, reason="Not Found"))
    with open(tmp_path / "00000.warc.gz", "rb") as file:
        found = [
            (
                r.record_type,
                r.http_headers.status_code if r.is_http and r.record_type == WarcRecordType.response else None,
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
    assert all(part.startswith(b"WARC/1.1\r\nWARC-Type: ") and part.endswith(b"\r\n\r\n") for part in parts)


def test_files_rotate_between_captures_never_inside_one(tmp_path):
    writer = write(tmp_path, *[exchange(bytes(range(256)) * 8 + str(n).encode()) for n in range(7)], rotate=3000)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"{n:05}.warc.gz" for n in range(writer.files)] and writer.files > 1
    kinds = [[part.split(b"\r\n")[1].split(b": ")[1] for part in members(file.read_bytes())] for file in files]
    assert all(found == [b"warcinfo"] + [b"request", b"response", b"metadata"] * (len(found) // 3) for found in kinds)
    assert sum(len(found) // 3 for found in kinds) == 7 == writer.captures


def test_an_open_file_has_no_name_yet_and_an_abandoned_one_never_gets_it(tmp_path):
    writer = WarcWriter(tmp_path)
    writer.write(exchange(), METADATA)
    assert not (tmp_path / "00000.warc.gz").exists()
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_writer_without_captures_leaves_no_file(tmp_path):
    write(tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(body=st.binary(max_size=300), value=st.text(max_size=30), name=st.sampled_from(["X-A", "Set-Thing"]))
def test_any_body_comes_back_and_no_header_value_breaks_the_block(body, value, name):
    records = capture_records(
        exchange(body, response_headers=[(name, value), ("Content-Length", str(len(body)))]), METADATA, WHEN
    )
    block = gzip.decompress(records[1]).split(b"\r\n\r\n", 1)[1]
    head, _, rest = block.partition(b"\r\n\r\n")
    assert rest == body + b"\r\n\r\n"
    assert len(head.split(b"\r\n")) == 3


def test_a_target_uri_cannot_smuggle_a_header(tmp_path):
    data = gzip.decompress(capture_records(exchange(url="https://e.org/a\r\nWARC-Type: evil"), METADATA, WHEN)[1])
    assert b"\r\nWARC-Type: evil" not in data


@pytest.mark.parametrize("address", [None, "2001:db8::1"])
def test_the_address_is_written_where_it_is_known(address):
    head = gzip.decompress(capture_records(exchange(address=address), METADATA, WHEN)[1])
    assert (b"WARC-IP-Address: 2001:db8::1\r\n" in head) == (address is not None)
