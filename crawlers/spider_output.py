"""The values a spider makes of an answer: requests to queue, document results, origins out of reach.

They are plain frozen values without Scrapy. Everything that one request led to is collected in one
`FetchResult` and committed to the frontier in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from crawlers.downloader.addresses import host_of
from gristmill.runs.ledger import Fate

RecrawlInterval = Literal["discovery", "documents", "never"]
"""Which interval of `config.Recrawl` holds for a request; these words are stored in the frontier."""

Facts = Mapping[str, JsonValue]
"""JSON values that travel with a request from the spider that asks to the reader of its answer."""

# Keys of facts that the downloader reads itself. They are stored in the frontiers of crawls that
# go on after an upgrade, so they keep the words of the first version.
ENTRY_POINT = "door"
ANY_STATUS = "any_status"
REDIRECTED_FROM = "found_by"
STATUS_URL = "status"
RIGHTS_SIGNALS = "signals"


@dataclass(frozen=True, slots=True)
class CrawlRequest:
    """A request to be queued.

    `reader` is the name of the spider's method that reads the answer; `format` is what the answer is
    stored as. A document counts against the source's budget. `recrawl_interval` says after which
    interval it is fetched once more. A deferred request was seen already by other means: it is
    fetched for the first time only when that interval has passed.

    A source makes one request of several with the same canonical address (`w3lib.url`).
    """

    url: str
    reader: str
    format: str = "discovery"
    facts: Facts = field(default_factory=dict)
    priority: int = 0
    is_document: bool = False
    recrawl_interval: RecrawlInterval = "discovery"
    is_deferred: bool = False

    @property
    def host(self) -> str:
        """The host that is asked."""
        return host_of(self.url)

    def fingerprint(self, source: str) -> bytes:
        """Hash the source and the canonical address to 16 bytes."""
        return fingerprint_url(source, self.url)


def fingerprint_url(source: str, url: str) -> bytes:
    """Hash a source and the canonical form of an address to 16 bytes."""
    # Comes with Scrapy. Configurations, which import this module, are read without Scrapy too.
    from w3lib.url import canonicalize_url

    identity = f"{source}\n{canonicalize_url(url)}"
    # Addresses from JSON may hold lone surrogates, which strict UTF-8 refuses.
    data = identity.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """What became of one document.

    `size` is in bytes or characters of the stored text, `licence` an SPDX id for stored documents,
    `details` an address and an error for people, which is listed among the failures.
    """

    outcome: Fate
    reason: str = ""
    size: int = 0
    licence: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """An origin (host and port) that cannot be reached at all, and why; nothing there is fetched."""

    origin: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The answer asks to repeat the request after some seconds.

    `reason` and `details` describe the failure when it has been repeated `max_attempts` times.
    """

    seconds: float
    max_attempts: int
    reason: str
    details: str


SpiderOutput = CrawlRequest | DocumentResult | Unreachable | RetryLater
"""What a spider's reader may yield."""


@dataclass(slots=True)
class FetchResult:
    """Everything one request led to; `captures` are gzipped WARC records, one item a capture."""

    captures: list[bytes] = field(default_factory=list)
    requests: list[CrawlRequest] = field(default_factory=list)
    documents: list[DocumentResult] = field(default_factory=list)
    unreachable: list[Unreachable] = field(default_factory=list)

    def add(self, output: CrawlRequest | DocumentResult | Unreachable) -> None:
        """Add one value that a reader yielded."""
        if isinstance(output, CrawlRequest):
            self.requests.append(output)
        elif isinstance(output, DocumentResult):
            self.documents.append(output)
        elif isinstance(output, Unreachable):
            self.unreachable.append(output)
        else:
            raise TypeError(f"a reader may not yield {output!r}")

    @property
    def capture_bytes(self) -> int:
        """The size of all captures, compressed."""
        return sum(len(capture) for capture in self.captures)


@dataclass(frozen=True, slots=True)
class Validators:
    """What a conditional request needs, and what the earlier answer was.

    `etag` and `modified` are header values. `payload` is the digest of the earlier payload, and
    `captured` the WARC-Date of the capture that holds it.
    """

    etag: str | None = None
    modified: str | None = None
    payload: str | None = None
    captured: str | None = None
