"""What a crawl is told: who asks, how politely, under which policy, and a list of sources."""

from __future__ import annotations

import re
import time
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gristmill import __version__
from gristmill.config import Config
from gristmill.errors import ConfigError

PRODUCT = "gristmill"
_CONTACT = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|https?://[^\s/]+\.[^\s]+")


class WikiSource(Config):
    """One MediaWiki: all its articles, or the articles of some categories."""

    kind: Literal["wiki"]
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    api: str = Field(pattern=r"^https?://\S+/api\.php$")
    lang: str | None = None
    categories: tuple[str, ...] = ()
    max_documents: int | None = Field(default=None, ge=1)

    @property
    def doors(self) -> tuple[str, ...]:
        """The addresses it is entered by; other hosts are not followed, whatever links and redirects say."""
        return (self.api,)


class NewsSource(Config):
    """One news publisher: sites whose robots.txt names sitemaps, and RSS or Atom feeds.

    `follow`: begin with the front pages of the sites too, and go where the links of pages lead, on the same hosts.
    """

    kind: Literal["news"]
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    sites: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()
    follow: bool = False
    lang: str | None = None
    max_documents: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _has_a_door(self) -> NewsSource:
        if not self.sites and not self.feeds:
            raise ValueError("a news source needs `sites` or `feeds`")
        if bad := [
            url for url in (*self.sites, *self.feeds) if not re.match(r"https?://[^/\s]+", url)
        ]:
            raise ValueError(f"not an http address: {bad[0]!r}")
        return self

    @property
    def doors(self) -> tuple[str, ...]:
        """The addresses it is entered by: sites and feeds."""
        return (*self.sites, *self.feeds)


class SocialSource(Config):
    """The public timeline of one Mastodon-compatible server.

    `recheck`: ask for every stored status again when documents are (`recrawl.documents`), for deletions and refusals.
    """

    kind: Literal["social"]
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    server: str = Field(pattern=r"^https?://[^/\s]+$")
    local: bool = True
    recheck: bool = True
    lang: str | None = None
    max_documents: int | None = Field(default=None, ge=1)

    @property
    def doors(self) -> tuple[str, ...]:
        """The address it is entered by."""
        return (self.server,)


Source = Annotated[WikiSource | NewsSource | SocialSource, Field(discriminator="kind")]


class Politeness(Config):
    """How often one host is asked, how long we wait for it, and what one call may take from it.

    Seconds, bytes and numbers of requests; `backoff` is the pause before a failed request is repeated, doubled each time.
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
    """After how many hours something is asked again: lists of pages, pages, and what failed; none: never."""

    discovery: float | None = Field(default=24.0, ge=0)
    documents: float | None = Field(default=720.0, ge=0)
    failed: float | None = Field(default=24.0, ge=0)

    def due(self, hours: float | None) -> float | None:
        """The moment so many hours from now, on the wall clock; None for never."""
        return None if hours is None else time.time() + 3600 * hours


class Demo(Config):
    """Whether the crawl serves the built-in demo site itself; `text` adds the rows of a Parquet or JSONL file to it."""

    serve: bool = False
    text: str | None = None


class CrawlConfig(Config):
    """A whole crawl."""

    contact: str = ""
    policy: Literal["strict-eu", "research", "open-licence-only"] = "strict-eu"
    shard: str = Field(default="1/1", pattern=r"^[1-9]\d*/[1-9]\d*$")
    private_hosts: tuple[str, ...] = ()
    capture_file_bytes: int = Field(default=16 << 20, ge=65536)
    politeness: Politeness = Politeness()
    recrawl: Recrawl = Recrawl()
    demo: Demo = Demo()
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> CrawlConfig:
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are called {twice[0]!r}")
        return self

    @model_validator(mode="after")
    def _shard_is_one_of_them(self) -> CrawlConfig:
        number, of = map(int, self.shard.split("/"))
        if number > of:
            raise ValueError(f"shard {self.shard}: there are only {of}")
        return self

    @property
    def budget(self) -> int | None:
        """The most documents this crawl may bring, where every source has a limit."""
        limits = [source.max_documents for source in self.sources]
        return None if None in limits else sum(limit or 0 for limit in limits)


def user_agent(config: CrawlConfig) -> str:
    """How we introduce ourselves; raises ConfigError where nobody could be reached about this crawl."""
    if not _CONTACT.fullmatch(config.contact.strip()):
        raise ConfigError(
            "a crawl needs a contact address in its User-Agent",
            {"contact": repr(config.contact)},
            'give an e-mail address or a page about the crawl: --set contact=you@example.org, or contact = "..." in the file',
        )
    return f"{PRODUCT}/{__version__} (+{config.contact.strip()})"
