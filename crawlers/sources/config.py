"""What the configurations of all sources share: name, genre, language and budget."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gristmill.config import Config

Genre = Literal["wiki", "news", "social", "web", "book", "docs", "legal", "speech", "other"]
"""Which rules judge the documents (`gristmill.corpus.source.GENRES`, as a type)."""


class SourceConfig(Config):
    """One source of a crawl. A subclass adds its `type`, the keys of that type, and `entry_urls`."""

    type: str
    genre: Genre
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    lang: str | None = None
    max_documents: int | None = Field(default=None, ge=1)

    has_web_pages: ClassVar[bool] = False
    """Whether pages of web sites are fetched: those heed tdmrep.json and ai.txt beside robots.txt."""

    @property
    def entry_urls(self) -> tuple[str, ...]:
        """The addresses a crawl of this source enters by.

        Other hosts are never followed, whatever links and redirects say.
        """
        raise NotImplementedError
