"""Answers of MediaWiki's api.php (format=json, formatversion=2): pages with their wikitext.

https://www.mediawiki.org/wiki/API:Revisions describes the form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gristmill.captures.items import (
    BadItem,
    CaptureFormat,
    CaptureItem,
    ItemEvidence,
    NoContent,
    ParsedItem,
)
from gristmill.captures.json_answer import (
    JsonValue,
    UnreadableAnswer,
    get_error_code,
    get_path,
    parse_json,
)


@dataclass(frozen=True, slots=True)
class MediaWikiAnswer:
    """One answer: its pages, how to ask for the next ones, the query's other parts, any error.

    `query` is the object of that name, with `general` and `rightsinfo` where they were asked for.
    """

    pages: tuple[JsonValue, ...] = ()
    continuation: Mapping[str, str] | None = None
    query: Mapping[str, JsonValue] | None = None
    error: str | None = None

    @property
    def pages_with_content(self) -> tuple[dict[str, JsonValue], ...]:
        """The pages that came with a revision; the others are completed by a later answer."""
        return tuple(
            page for page in self.pages if isinstance(page, dict) and page.get("revisions")
        )


def read_mediawiki(body: bytes) -> MediaWikiAnswer:
    """Read an answer of api.php. Raises UnreadableAnswer where it is not an object of that form."""
    answer = parse_json(body)
    error = get_error_code(answer)
    if error is not None:
        return MediaWikiAnswer(error=error)
    if not isinstance(answer, dict):
        raise UnreadableAnswer("no object with a list query.pages")
    # PHP writes an empty object as an empty list: `"query": []` is a query without results.
    query = answer.get("query") or {}
    pages = get_path(query, "pages") or []
    if not isinstance(query, dict) or not isinstance(pages, list):
        raise UnreadableAnswer("no object with a list query.pages")
    continuation = answer.get("continue")
    parameters: dict[str, str] = {}
    if isinstance(continuation, dict):
        parameters = {name: str(value) for name, value in continuation.items()}
    return MediaWikiAnswer(tuple(pages), parameters, query)


def iter_mediawiki_items(body: bytes) -> Iterator[ParsedItem]:
    """The pages of an answer to `action=query` with `prop=revisions`, as wikitext."""
    try:
        answer = read_mediawiki(body)
    except UnreadableAnswer as error:
        yield BadItem(str(error))
        return
    if answer.error is not None:
        yield NoContent(f"the server answered with an error: {answer.error}")
    elif not answer.pages:
        yield NoContent("no pages")
    else:
        yield from map(parse_page, answer.pages)


def parse_page(page: JsonValue) -> ParsedItem:
    """One page of an answer as an item."""
    revisions = get_path(page, "revisions")
    if isinstance(page, dict) and not revisions:
        return NoContent("a page without revisions: none exist, or a later answer brings them")
    newest = revisions[0] if isinstance(revisions, list) and revisions else None
    # MediaWiki before 1.32 knows no slots: the content is in the revision itself.
    text = get_path(newest, "slots", "main", "content") or get_path(newest, "content")
    title = get_path(page, "title")
    if not isinstance(text, str) or not isinstance(title, str):
        return BadItem(f"page {title!r} has no content")
    revision_id = get_path(newest, "revid")
    evidence = (ItemEvidence("revision", str(revision_id)),) if revision_id else ()
    return CaptureItem(
        text=text,
        media="wikitext",
        url=_get_page_url(page),
        title=title,
        stated_language=get_path(page, "pagelanguage"),
        published=get_path(newest, "timestamp"),
        evidence=evidence,
        identity=(title, text),
    )


def _get_page_url(page: JsonValue) -> str:
    url = get_path(page, "fullurl") or get_path(page, "canonicalurl")
    return str(url or f"page:{get_path(page, 'pageid')}")


FORMAT = CaptureFormat("mediawiki-api", iter_mediawiki_items)
