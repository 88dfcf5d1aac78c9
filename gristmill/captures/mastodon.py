"""Timelines of a Mastodon-compatible server: statuses as HTML, with the refusals of their accounts.

https://docs.joinmastodon.org/entities/Status/ describes the form.
"""

from collections.abc import Iterator
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
from gristmill.rights.policy import status_refusals


@dataclass(frozen=True, slots=True)
class MastodonAnswer:
    """One page of a timeline: its statuses as they came, broken ones too, or the server's error."""

    statuses: tuple[JsonValue, ...] = ()
    error: str | None = None


def read_mastodon(body: bytes) -> MastodonAnswer:
    """Read one page of a timeline. Raises UnreadableAnswer where it is not a list of statuses."""
    answer = parse_json(body)
    error = get_error_code(answer)
    if error is not None:
        return MastodonAnswer(error=error)
    if not isinstance(answer, list):
        raise UnreadableAnswer("this answer is no list of statuses")
    return MastodonAnswer(tuple(answer))


def iter_mastodon_items(body: bytes) -> Iterator[ParsedItem]:
    """The statuses of a timeline; what their accounts refuse becomes their opt-outs."""
    try:
        answer = read_mastodon(body)
    except UnreadableAnswer as error:
        yield BadItem(str(error))
        return
    if answer.error is not None:
        yield NoContent(f"the server answered with an error: {answer.error}")
    elif not answer.statuses:
        yield NoContent("no statuses")
    else:
        yield from map(parse_status, answer.statuses)


def parse_status(status: JsonValue) -> ParsedItem:
    """One status of a timeline as an item."""
    content = get_path(status, "content")
    url = get_path(status, "url") or get_path(status, "uri")
    if not isinstance(status, dict) or not isinstance(content, str) or not isinstance(url, str):
        return BadItem("a status without content or url")
    account = get_path(status, "account")
    author = get_path(account, "url") or get_path(account, "acct")
    published = get_path(status, "created_at")
    refusals = status_refusals(status)
    return CaptureItem(
        text=content,
        media="status",
        url=url,
        stated_language=get_path(status, "language"),
        published=published,
        author=str(author) if author else None,
        opt_out=tuple(sorted({refusal.word for refusal in refusals})),
        evidence=tuple(ItemEvidence(refusal.field, refusal.value) for refusal in refusals),
        # A status may be edited; its text and date name the version that was captured.
        identity=(content, published),
    )


FORMAT = CaptureFormat("mastodon-api", iter_mastodon_items)
