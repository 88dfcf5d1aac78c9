"""What a spider makes of an answer: what to ask next, and the fate of every document; plain values, committed together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from w3lib.url import canonicalize_url

from crawlers.downloader.addresses import host_of
from gristmill.runs.ledger import Fate

Interval = Literal["discovery", "documents", "never"]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to be made: which method of the spider reads its answer, and as what the answer is kept.

    `facts` are JSON values that travel with it. `document` counts against the source's budget. `again` names the interval
    (of `config.Recrawl`) after which it is asked once more; with `later` the first time is only then: it was seen already.
    Of two with the same address (canonical, as w3lib has it) a source asks one.
    """

    url: str
    reader: str
    format: str = "discovery"
    facts: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    document: bool = False
    again: Interval = "discovery"
    later: bool = False

    @property
    def host(self) -> str:
        """The host that is asked."""
        return host_of(self.url)

    def fingerprint(self, source: str) -> bytes:
        """16 bytes that stand for this address in this source."""
        told = f"{source}\n{canonicalize_url(self.url)}"
        return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Found:
    """One document that was met, and what became of it; `where` is for people, `licence` for those that were stored."""

    fate: Fate
    reason: str = ""
    size: int = 0
    licence: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Shut:
    """A place (host and port) that cannot be had at all, and why; nothing behind it is fetched."""

    place: str
    why: str


@dataclass(slots=True)
class Outcome:
    """All that one request came to: gzipped WARC records, each capture's in one piece, and what the spider said."""

    captures: list[bytes] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    shut: list[Shut] = field(default_factory=list)

    def add(self, said: Ask | Found | Shut) -> None:
        """Take one thing that a spider said."""
        kinds: tuple[tuple[type, list[Any]], ...] = (
            (Ask, self.asks),
            (Found, self.found),
            (Shut, self.shut),
        )
        next(into for kind, into in kinds if isinstance(said, kind)).append(said)


@dataclass(frozen=True, slots=True)
class Validators:
    """By what a later request can ask whether anything changed, and what it had: the digest of the payload, its capture."""

    etag: str | None = None
    modified: str | None = None
    payload: str | None = None
    captured: str | None = None
