"""The configuration of a crawl: who asks, how politely, under which policy, and a list of sources."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from crawlers.product import PRODUCT
from crawlers.sources.registry import Source, accept_former_keys, check_type
from crawlers.spider_output import RecrawlInterval
from gristmill import __version__
from gristmill.config import Config
from gristmill.errors import ConfigError

CONTACT_PATTERN = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|https?://[^\s/]+\.[^\s]+")
"""An e-mail address, or the address of a web page."""


class Politeness(Config):
    """How often a host is asked, how long we wait for it, and what one session may take from it.

    Seconds, bytes and numbers of requests. `backoff` is the pause before a failed request is repeated,
    doubled each time.
    """

    delay: float = Field(default=1.0, ge=0)
    concurrency_per_host: int = Field(default=1, ge=1, le=16)
    autothrottle: bool = True
    concurrency: int = Field(default=64, ge=1, le=1024)
    timeout: float = Field(default=30.0, gt=0)
    max_bytes: int = Field(default=16 << 20, ge=1024)
    retries: int = Field(default=2, ge=0)
    backoff: float = Field(default=10.0, ge=0)
    pages_per_host: int | None = Field(default=None, ge=1)
    bytes_per_host: int | None = Field(default=None, ge=1)
    seconds_per_host: float | None = Field(default=None, gt=0)


class Recrawl(Config):
    """After how many hours something is fetched again: lists of pages, pages, and what failed.

    None means never.
    """

    discovery: float | None = Field(default=24.0, ge=0)
    documents: float | None = Field(default=720.0, ge=0)
    failed: float | None = Field(default=24.0, ge=0)

    def hours_of(self, interval: RecrawlInterval) -> float | None:
        """Return the hours of an interval; None for never."""
        if interval == "never":
            return None
        return self.discovery if interval == "discovery" else self.documents


class Demo(Config):
    """Whether the crawl serves the built-in demo site itself.

    `text` adds the rows of a Parquet or JSONL file to its pages.
    """

    serve: bool = False
    text: str | None = None


SourceList = Annotated[
    tuple[Annotated[Source, BeforeValidator(check_type)], ...],
    BeforeValidator(accept_former_keys),
]


class CrawlConfig(Config):
    """A whole crawl.

    `shard` is `i/n`: this process crawls the i-th part of the hosts. `private_hosts` may be fetched
    although their addresses are private.
    """

    contact: str = ""
    policy: Literal["strict-eu", "research", "open-licence-only"] = "strict-eu"
    shard: str = Field(default="1/1", pattern=r"^[1-9]\d*/[1-9]\d*$")
    private_hosts: tuple[str, ...] = ()
    capture_file_bytes: int = Field(default=16 << 20, ge=65536)
    politeness: Politeness = Politeness()
    recrawl: Recrawl = Recrawl()
    demo: Demo = Demo()
    sources: SourceList = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> CrawlConfig:
        names = [source.name for source in self.sources]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"two sources are called {duplicates[0]!r}")
        return self

    @model_validator(mode="after")
    def _check_shard(self) -> CrawlConfig:
        number, count = self.shard_position
        if number > count:
            raise ValueError(f"shard {self.shard}: there are only {count}")
        return self

    @property
    def shard_position(self) -> tuple[int, int]:
        """The number of this shard, from 1, and how many there are."""
        number, count = self.shard.split("/")
        return int(number), int(count)

    @property
    def budget(self) -> int | None:
        """The most documents this crawl may bring; None if a source has no limit."""
        total = 0
        for source in self.sources:
            if source.max_documents is None:
                return None
            total += source.max_documents
        return total


def make_user_agent(config: CrawlConfig) -> str:
    """Make the User-Agent header; raises ConfigError if it would not say whom to write to."""
    contact = config.contact.strip()
    if not CONTACT_PATTERN.fullmatch(contact):
        raise ConfigError(
            "a crawl needs a contact address in its User-Agent",
            {"contact": repr(config.contact)},
            "give an e-mail address or a page about the crawl: --set contact=you@example.org,"
            ' or contact = "..." in the file',
        )
    return f"{PRODUCT}/{__version__} (+{contact})"
