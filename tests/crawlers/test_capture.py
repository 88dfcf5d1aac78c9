"""What a response is kept as, and how its headers are stored."""

import gzip

import pytest
from scrapy import Request
from scrapy.http import HtmlResponse, Response

from crawlers.capture import capture_format, exchange_of
from crawlers.warc import capture_records


def response(status: int = 200, kind: str | None = "text/html; charset=utf-8", **headers: str) -> Response:
    told = {"Content-Type": kind, **headers} if kind else headers
    return HtmlResponse(
        "https://example.org/a",
        status=status,
        headers=told,
        body="<p>水</p>".encode(),
        request=Request("https://example.org/a"),
    )


@pytest.mark.parametrize(
    ("wanted", "status", "kind", "format"),
    [
        ("html", 200, "text/html", "html"),
        ("html", 200, "application/xhtml+xml; charset=utf-8", "html"),
        ("html", 200, "text/plain", "html"),
        ("html", 200, None, "html"),
        ("html", 200, "application/pdf", "discovery"),
        ("html", 200, "image/png", "discovery"),
        ("html", 404, "text/html", "discovery"),
        ("html", 301, "text/html", "discovery"),
        ("html", 206, "text/html", "discovery"),
        ("mediawiki-api", 200, "application/json", "mediawiki-api"),
        ("mediawiki-api", 503, "application/json", "discovery"),
        ("mastodon-api", 200, "application/json", "mastodon-api"),
        ("discovery", 200, "text/html", "discovery"),
        ("something else", 200, "text/html", "discovery"),
    ],
)
def test_only_a_good_answer_of_a_kind_we_read_is_content(wanted, status, kind, format):
    assert capture_format(wanted, response(status, kind)) == format


@pytest.mark.parametrize(
    ("body", "format"),
    [
        (b'{"error": {"code": "maxlag", "info": "lagged"}}', "discovery"),
        (b'{"query": {"pages": []}}', "mediawiki-api"),
        (b"no json", "mediawiki-api"),
    ],
)
def test_an_error_of_a_wiki_is_no_content_though_its_status_is_200(body, format):
    assert capture_format("mediawiki-api", Response("https://example.org/api.php", body=body)) == format


def test_headers_of_the_transfer_give_way_to_the_length_of_the_stored_body():
    answer = response(
        **{"Content-Encoding": "gzip", "Content-Length": "999", "Transfer-Encoding": "chunked", "X-Kept": "yes"}
    )
    stored = exchange_of(Request("https://example.org/a"), answer)
    assert stored.response_headers == [
        ("Content-Type", "text/html; charset=utf-8"),
        ("X-Kept", "yes"),
        ("Content-Length", "10"),
    ]


def test_a_header_said_twice_is_stored_twice():
    answer = Response("https://example.org/a", headers={"X-Robots-Tag": ["noai", "otherbot: noindex"]})
    kept = [
        value
        for name, value in exchange_of(Request("https://example.org/a"), answer).response_headers
        if name == "X-Robots-Tag"
    ]
    assert kept == ["noai", "otherbot: noindex"]


def test_the_proxy_that_serves_the_demo_leaves_no_trace():
    asked = Request(
        "http://news.demo.test/a?b=1",
        headers={"Proxy-Authorization": "x", "Accept": "*/*"},
        meta={"proxy": "http://127.0.0.1:1"},
    )
    stored = exchange_of(asked, Response("http://news.demo.test/a?b=1", ip_address="127.0.0.1"))
    assert stored.request_headers == [("Host", "news.demo.test"), ("Accept", "*/*")] and stored.address is None


def test_header_bytes_come_back_as_they_were():
    answer = Response("https://example.org/a", headers={"X-Name": b"caf\xe9"})
    from datetime import UTC, datetime

    block = gzip.decompress(
        capture_records(exchange_of(Request("https://example.org/a"), answer), {}, datetime(2026, 1, 1, tzinfo=UTC))[1]
    )
    assert b"X-Name: caf\xe9\r\n" in block


@pytest.mark.parametrize(
    ("status", "reason"), [(200, "OK"), (404, "Not Found"), (451, "Unavailable For Legal Reasons"), (599, "Status")]
)
def test_the_status_line_has_a_reason(status, reason):
    assert exchange_of(Request("https://example.org/a"), response(status)).reason == reason
