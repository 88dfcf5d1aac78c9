"""Where a document comes from: the type of its source and its genre, two closed lists.

The source type says which spider or server a document came from. The genre says which rules judge
it, and is the column `kind` of documents. Each source type has one genre.
"""

import difflib
from collections.abc import Collection, Mapping

GENRES = ("wiki", "news", "social", "web", "book", "docs", "legal", "speech", "other")
"""The genres that have rules; an input whose genre is not recognized is `other`."""

SOURCE_TYPES: Mapping[str, str] = {
    "mediawiki": "wiki",
    "news": "news",
    "website": "web",
    "commoncrawl": "web",
    "mastodon": "social",
    "bluesky": "social",
    "hackernews": "social",
    "reddit": "social",
    "stackexchange": "social",
}
"""The types of source, each with the genre of its documents."""


def check_genre(name: str) -> str:
    """Return `name` where it is a genre. Raises ValueError that names the nearest one."""
    return _check_name(name, GENRES, "genre")


def check_source_type(name: str) -> str:
    """Return `name` where it is a type of source. Raises ValueError that names the nearest one."""
    return _check_name(name, SOURCE_TYPES, "source type")


def _check_name(name: str, names: Collection[str], what: str) -> str:
    if name in names:
        return name
    similar = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean `{similar[0]}`?" if similar else f"choose from {', '.join(names)}"
    raise ValueError(f"`{name}` is not a {what}: {hint}")
