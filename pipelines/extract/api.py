"""Split API answers into items: pages of a MediaWiki query, statuses of a Mastodon timeline.

Each item is a mapping (text, media, url, title, published, author, opt_out, evidence, raw), or a string that says what
is wrong with it: a broken item costs itself, not its neighbours.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

ApiItem = Mapping[str, Any] | str


def mediawiki_items(body: bytes) -> Iterator[ApiItem]:
    """Pages of `action=query` with `prop=revisions` (formatversion=2) as wikitext."""
    answer = _json(body)
    if isinstance(answer, str):
        yield answer
        return
    pages = _get(answer, "query", "pages")
    if not isinstance(pages, list):
        yield "no list query.pages in this answer"
        return
    for page in pages:
        yield _page(page)


def _page(page: Any) -> ApiItem:
    revisions = _get(page, "revisions")
    first = revisions[0] if isinstance(revisions, list) and revisions else None
    text = _get(first, "slots", "main", "content") or _get(first, "content")
    title = _get(page, "title")
    if not isinstance(text, str) or not isinstance(title, str):
        return f"page {title!r} has no content"
    url = _get(page, "fullurl") or _get(page, "canonicalurl") or f"page:{_get(page, 'pageid')}"
    revision = _get(first, "revid")
    evidence = [{"signal": "revision", "value": str(revision)}] if revision else []
    return {
        "text": text, "media": "wikitext", "title": title, "url": url, "published": _get(first, "timestamp"),
        "author": None, "opt_out": [], "evidence": evidence, "raw": page,
    }  # fmt: skip


def mastodon_items(body: bytes) -> Iterator[ApiItem]:
    """Statuses of a timeline as HTML; the account's refusals become opt-outs."""
    answer = _json(body)
    if isinstance(answer, str):
        yield answer
        return
    if not isinstance(answer, list):
        yield "this answer is no list of statuses"
        return
    for status in answer:
        yield _status(status)


def _status(status: Any) -> ApiItem:
    content, url = _get(status, "content"), _get(status, "url") or _get(status, "uri")
    if not isinstance(content, str) or not isinstance(url, str):
        return "a status without content or url"
    account = _get(status, "account") or {}
    opt_out = status_opt_outs(status)
    return {
        "text": content, "media": "status", "title": None, "url": url, "published": _get(status, "created_at"),
        "author": str(_get(account, "url") or _get(account, "acct") or "") or None, "opt_out": opt_out,
        "evidence": [{"signal": "account", "value": word} for word in opt_out], "raw": status,
    }  # fmt: skip


def status_opt_outs(status: Mapping[str, Any]) -> list[str]:
    """The refusals a status and its account state: Mastodon's account flags, visibility, and #nobot in the bio."""
    account = _get(status, "account") or {}
    note = str(_get(account, "note") or "").lower()
    stated = {
        "not-discoverable": _get(account, "discoverable") is False,
        "not-indexable": _get(account, "indexable") is False,
        "noindex": _get(account, "noindex") is True or "noindex" in note,
        "nobot": "nobot" in note,
        "noai": _get(status, "visibility") not in (None, "public"),
    }
    return sorted(word for word, holds in stated.items() if holds)


def server_of(url: str) -> str:
    """The host of a status, which is its instance."""
    return urlsplit(url).hostname or ""


def _json(body: bytes) -> Any:
    """The value of a JSON body, or a string that says what is wrong."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return f"not JSON: {str(error)[:200]}"
    return value if isinstance(value, (dict, list)) else "this answer is neither an object nor a list"


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
