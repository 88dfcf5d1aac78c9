"""All types of source: the one place that names a new one.

To add a type, write `crawlers/sources/NAME.py` with its configuration (a `SourceConfig`) and its spider (a
`SourceSpider`), and name both here: in `Source` and in `SPIDERS`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from crawlers.sources.base import SourceSpider
from crawlers.sources.mastodon import MastodonSource, MastodonSpider
from crawlers.sources.mediawiki import MediaWikiSource, MediaWikiSpider
from crawlers.sources.news import NewsSource, NewsSpider
from gristmill.progress import say

if TYPE_CHECKING:
    from crawlers.context import CrawlContext

Source = Annotated[
    MediaWikiSource | NewsSource | MastodonSource,
    Field(discriminator="type"),
]
"""The configuration of a source of any type."""

SPIDERS: Mapping[str, type[SourceSpider]] = {
    "mediawiki": MediaWikiSpider,
    "news": NewsSpider,
    "mastodon": MastodonSpider,
}
"""The spider of each type."""

RENAMED_TYPES = {"wiki": "mediawiki", "social": "mastodon"}
"""Values of the former key `kind`, which was type and genre in one."""


def make_spider(source: Source, context: CrawlContext) -> SourceSpider:
    """Make the spider of a source."""
    return SPIDERS[source.type](source, context)


def accept_former_keys(sources: object) -> object:
    """Rename `kind` to `type` in sources as they stand in a file, with one warning for all of them.

    The discriminator of the union is read before `Config.renamed_keys`, so it cannot be done there.
    """
    if not isinstance(sources, Sequence):
        return sources
    if any(isinstance(source, Mapping) and "kind" in source for source in sources):
        say("warning: the key `kind` of a source is now called `type`; please rename it")
    return [_accept_former_key(source) for source in sources]


def _accept_former_key(source: object) -> object:
    if not isinstance(source, Mapping) or "kind" not in source:
        return source
    if "type" in source:
        raise ValueError("`kind` is today called `type`: give only `type`")
    keys = dict(source)
    former = keys.pop("kind")
    return {"type": RENAMED_TYPES.get(former, former), **keys}


def check_type(source: object) -> object:
    """Refuse a type that no spider has, naming the nearest one; all other errors are pydantic's."""
    if not isinstance(source, Mapping) or not isinstance(source.get("type"), str):
        return source
    if source["type"] not in SPIDERS:
        similar = difflib.get_close_matches(source["type"], SPIDERS, n=1)
        hint = f"did you mean `{similar[0]}`?" if similar else f"choose from {', '.join(SPIDERS)}"
        raise ValueError(f"`{source['type']}` is not a type of source: {hint}")
    return source
