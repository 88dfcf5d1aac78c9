"""What a response is kept as, how its headers are stored, and what travels with its request to be committed."""

import gzip
import io
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from scrapy import Request
from scrapy.http import HtmlResponse, Response
from warcio.archiveiterator import ArchiveIterator

from crawlers.downloader.capture import (
    CaptureMiddleware,
    choose_format,
    exchange_of,
    find_earlier,
    read_validators,
)
from crawlers.downloader.request_metadata import META_KEY, RequestMetadata
from crawlers.downloader.warc import EarlierCapture, capture_records, payload_digest
from crawlers.frontier.queue import QueuedRequest
from crawlers.rights import RightsSignal
from crawlers.spider_output import Validators

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
BODY = "<p>水</p>".encode()
BEFORE = Validators('"1"', None, payload_digest(BODY), "2026-01-01T00:00:00Z")
NEVER_ASKED = Validators()


def response(
    status: int = 200, kind: str | None = "text/html; charset=utf-8", **headers: str
) -> Response:
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
    assert choose_format(wanted, response(status, kind)) == format


@pytest.mark.parametrize(
    ("body", "format"),
    [
        (b'{"error": {"code": "maxlag", "info": "lagged"}}', "discovery"),
        (b'{"query": {"pages": []}}', "mediawiki-api"),
        (b"no json", "mediawiki-api"),
    ],
)
def test_an_error_of_a_wiki_is_no_content_though_its_status_is_200(body, format):
    assert (
        choose_format("mediawiki-api", Response("https://example.org/api.php", body=body)) == format
    )


def test_headers_of_the_transfer_give_way_to_the_length_of_the_stored_body():
    answer = response(
        **{
            "Content-Encoding": "gzip",
            "Content-Length": "999",
            "Transfer-Encoding": "chunked",
            "X-Kept": "yes",
        }
    )
    stored = exchange_of(Request("https://example.org/a"), answer)
    assert stored.response_headers == [
        ("Content-Type", "text/html; charset=utf-8"),
        ("X-Kept", "yes"),
        ("Content-Length", "10"),
    ]


def test_a_header_said_twice_is_stored_twice():
    answer = Response(
        "https://example.org/a", headers={"X-Robots-Tag": ["noai", "otherbot: noindex"]}
    )
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
    assert (
        stored.request_headers == [("Host", "news.demo.test"), ("Accept", "*/*")]
        and stored.address is None
    )


def test_header_bytes_come_back_as_they_were():
    answer = Response("https://example.org/a", headers={"X-Name": b"caf\xe9"})
    records = capture_records(exchange_of(Request("https://example.org/a"), answer), {}, WHEN)
    assert b"X-Name: caf\xe9\r\n" in gzip.decompress(records)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(200, "OK"), (404, "Not Found"), (451, "Unavailable For Legal Reasons"), (599, "Status")],
)
def test_the_status_line_has_a_reason(status, reason):
    assert exchange_of(Request("https://example.org/a"), response(status)).reason == reason


def row(before: Validators = NEVER_ASKED) -> QueuedRequest:
    return QueuedRequest(
        1,
        "n",
        "example.org",
        "https://example.org/a",
        "parse_article",
        "html",
        {},
        True,
        "documents",
        0,
        before,
    )


def test_validators_are_those_of_the_answer_with_the_digest_and_the_date_of_its_capture():
    answer = response(ETag='W/"x"', **{"Last-Modified": "Mon, 23 Nov 2026 12:00:00 GMT"})
    assert read_validators(answer, WHEN) == Validators(
        'W/"x"', "Mon, 23 Nov 2026 12:00:00 GMT", payload_digest(BODY), "2026-01-01T00:00:00Z"
    )
    assert read_validators(response(), WHEN).etag is None


@pytest.mark.parametrize(
    ("before", "status", "body", "repeats"),
    [
        (BEFORE, 200, BODY, True),
        (BEFORE, 304, b"", True),
        (BEFORE, 200, b"<p>new</p>", False),
        (BEFORE, 404, BODY, False),
        (BEFORE, 301, BODY, False),
        (NEVER_ASKED, 200, BODY, False),
        (NEVER_ASKED, 304, b"", False),
    ],
)
def test_only_the_same_payload_or_a_304_repeats_an_earlier_capture(before, status, body, repeats):
    answer = response(status).replace(body=body)
    wanted = EarlierCapture(payload_digest(BODY), "2026-01-01T00:00:00Z") if repeats else None
    assert find_earlier(row(before), answer, read_validators(answer, WHEN)) == wanted


def test_what_was_asked_beside_the_queue_is_never_a_revisit():
    assert find_earlier(None, response(), read_validators(response(), WHEN)) is None


@pytest.fixture
def captured(make_context):
    """A function sending an answer of a row through the middleware; returns the request's meta."""
    context = make_context(
        {"type": "news", "name": "n", "sites": ["https://example.org"], "lang": "en"}
    )
    spider = SimpleNamespace(context=context, source=context.config.sources[0])
    middleware = CaptureMiddleware.from_crawler(SimpleNamespace(spider=spider))

    def send(found: QueuedRequest, answer: Response, *site: RightsSignal) -> RequestMetadata:
        metadata = RequestMetadata(queued=found, format=found.format, site_signals=site)
        request = Request(answer.url, meta={META_KEY: metadata})
        assert middleware.process_response(request, answer) is answer
        return metadata

    return send


def kinds(meta: RequestMetadata) -> list[str]:
    return [
        r.rec_type
        for r in ArchiveIterator(io.BytesIO(b"".join(meta.captures)), check_digests="raise")
    ]


def test_a_first_answer_travels_as_one_piece_with_its_verdict_and_validators(captured):
    meta = captured(
        row(), response(**{"X-Robots-Tag": "noai"}), RightsSignal("robots.txt use", "ai-train=no")
    )
    assert len(meta.captures) == 1
    assert kinds(meta) == ["request", "response", "metadata"]
    assert (meta.captured_as, meta.is_revisit) == ("html", False)
    assert meta.verdict.opt_out == ("noai", "notrain")
    assert meta.validators.payload == payload_digest(BODY)


def test_every_hop_is_captured_beside_the_others(captured):
    moved = captured(row(), response(301, Location="/b"))
    assert kinds(moved) == ["request", "response", "metadata"]
    assert moved.captured_as == "discovery"


def test_a_revisit_hands_on_the_capture_that_has_the_payload_not_itself(captured):
    first = captured(row(BEFORE), response(ETag='"2"'))
    assert kinds(first) == ["request", "revisit", "metadata"]
    assert first.validators == replace(BEFORE, etag='"2"')
    again = captured(row(first.validators), response(ETag='"3"'))
    (told,) = [
        r.rec_headers
        for r in ArchiveIterator(io.BytesIO(b"".join(again.captures)))
        if r.rec_type == "revisit"
    ]
    assert told["WARC-Refers-To-Date"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("headers", "site"),
    [({"X-Robots-Tag": "noai"}, ()), ({}, (RightsSignal("robots.txt for AI", "gptbot"),))],
    ids=["header", "site"],
)
def test_a_refusal_beside_a_304_is_heard_though_the_page_did_not_change(captured, headers, site):
    meta = captured(row(BEFORE), response(304, **headers).replace(body=b""), *site)
    assert (meta.captured_as, meta.is_revisit) == ("discovery", True)
    assert meta.verdict.refused == "opt_out"
    assert meta.validators.payload == BEFORE.payload


def test_a_304_that_says_nothing_refuses_nothing(captured):
    assert captured(row(BEFORE), response(304).replace(body=b"")).verdict.refused is None
