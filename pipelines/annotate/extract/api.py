"""Split API answers into items: pages of a MediaWiki query, statuses of a Mastodon timeline.

Each item is a mapping (text, media, url, title, stated_lang, published, author, opt_out, evidence, and the `identity` that its id is
made of: nothing that changes while the text stays), NoContent, or a string that says what is wrong with it: a broken
item costs itself, not its neighbours.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gristmill.rights.policy import status_refusals
from pipelines.annotate.readers.languages import parse_language


@dataclass(frozen=True, slots=True)
class NoContent:
    """An answer, or a page in one, that is whole and holds no text: an error, an empty list, a page told of without its revision."""

    why: str


ApiItem = Mapping[str, Any] | NoContent | str


def mediawiki_items(body: bytes) -> Iterator[ApiItem]:
    """Pages of `action=query` with `prop=revisions` (formatversion=2) as wikitext."""
    answer = _answer(body)
    if isinstance(answer, (str, NoContent)):
        yield answer
        return
    query = _get(answer, "query")
    pages = _get(query, "pages") or []
    if (
        not isinstance(answer, dict)
        or not isinstance(query or {}, dict)
        or not isinstance(pages, list)
    ):
        yield "no object with a list query.pages"
        return
    yield from map(_page, pages) if pages else [NoContent("no pages")]


def _page(page: Any) -> ApiItem:
    revisions = _get(page, "revisions")
    if isinstance(page, Mapping) and not revisions:
        return NoContent("a page without revisions: none exist, or a later answer brings them")
    first = revisions[0] if isinstance(revisions, list) and revisions else None
    text = _get(first, "slots", "main", "content") or _get(first, "content")
    title = _get(page, "title")
    if not isinstance(text, str) or not isinstance(title, str):
        return f"page {title!r} has no content"
    url = str(_get(page, "fullurl") or _get(page, "canonicalurl") or f"page:{_get(page, 'pageid')}")
    revision = _get(first, "revid")
    evidence = [{"signal": "revision", "value": str(revision)}] if revision else []
    return {
        "text": text,
        "media": "wikitext",
        "title": title,
        "url": url,
        "published": _get(first, "timestamp"),
        "stated_lang": parse_language(_get(page, "pagelanguage")),
        "author": None,
        "opt_out": [],
        "evidence": evidence,
        "identity": [title, text],
    }


def mastodon_items(body: bytes) -> Iterator[ApiItem]:
    """Statuses of a timeline as HTML; the account's refusals become opt-outs."""
    answer = _answer(body)
    if isinstance(answer, (str, NoContent)):
        yield answer
        return
    if not isinstance(answer, list):
        yield "this answer is no list of statuses"
        return
    yield from map(_status, answer) if answer else [NoContent("no statuses")]


def _status(status: Any) -> ApiItem:
    content, url = _get(status, "content"), _get(status, "url") or _get(status, "uri")
    if not isinstance(content, str) or not isinstance(url, str):
        return "a status without content or url"
    account = _get(status, "account") or {}
    refusals, published = status_refusals(status), _get(status, "created_at")
    return {
        "text": content,
        "media": "status",
        "title": None,
        "url": url,
        "published": published,
        "stated_lang": parse_language(_get(status, "language")),
        "author": str(_get(account, "url") or _get(account, "acct") or "") or None,
        "opt_out": sorted({refusal.word for refusal in refusals}),
        "evidence": [{"signal": refusal.field, "value": refusal.value} for refusal in refusals],
        "identity": [content, published],
    }


def _answer(body: bytes) -> Any:
    """The value of an answer, or what stands in its place: NoContent for a server's error, a string for what is broken."""
    value = _json(body)
    return value if isinstance(value, str) else _error(value) or value


def _error(answer: Any) -> NoContent | None:
    """NoContent where a server answered with an error (a wiki that lags does so with status 200)."""
    error = _get(answer, "error") or _get(answer, "errors")
    return (
        NoContent(f"the server answered with an error: {_get(error, 'code') or 'unnamed'}")
        if error
        else None
    )


def _json(body: bytes) -> Any:
    """The value of a JSON body, or a string that says what is wrong."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return f"not JSON: {str(error)[:200]}"
    return (
        value if isinstance(value, (dict, list)) else "this answer is neither an object nor a list"
    )


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
