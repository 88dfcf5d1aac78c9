"""The social host of the demo site: the public timeline of a Mastodon server, newest first, with its consent flags."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from crawlers.demo.pages.planted import GERMAN, SOCIAL, make_status_id
from crawlers.demo.text import chinese, english
from crawlers.demo.text.piece import Piece

PATH, STATUS = "/api/v1/timelines/public", "/api/v1/statuses/"
LARGEST_PAGE = 40
SENTENCE_END = r"(?<=[.!?])\s+|(?<=[。！？])(?!”)"
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def _make_account(name: str, number: int, **flags: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "id": str(5000 + number),
        "username": name,
        "acct": name,
        "display_name": name.replace("_", " ").title(),
        "locked": False,
        "bot": False,
        "discoverable": True,
        "indexable": True,
        "noindex": False,
        "group": False,
        "created_at": "2024-01-01T00:00:00.000Z",
        "note": "<p>I write about work, weather and small towns.</p>",
        "url": f"{SOCIAL}/@{name}",
        "followers_count": 10 + number % 70,
    }
    return base | flags


def _make_status(
    number: int, text: str, lang: str, account: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    identity = make_status_id(number)
    when = (
        (START + timedelta(minutes=37 * number))
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
    content = "".join(f"<p>{escape(part, quote=False)}</p>" for part in text.split("\n\n"))
    url = f"{SOCIAL}/@{account['username']}/{identity}"
    base: dict[str, Any] = {
        "id": identity,
        "created_at": when,
        "in_reply_to_id": None,
        "sensitive": False,
        "spoiler_text": "",
        "visibility": "public",
        "language": lang,
        "uri": f"{SOCIAL}/users/{account['username']}/statuses/{identity}",
        "url": url,
        "replies_count": number % 3,
        "reblogs_count": number % 5,
        "favourites_count": number % 11,
        "edited_at": None,
        "content": content,
        "reblog": None,
        "account": account,
        "media_attachments": [],
        "mentions": [],
        "tags": [],
        "emojis": [],
        "card": None,
        "poll": None,
    }
    return base | changes


def _write_posts(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """Two or three sentences of every third piece or so: short texts as people post them."""
    posts = []
    for number, piece in enumerate(pieces):
        if piece.kind not in ("letter", "news", "method"):
            continue
        parts = re.split(SENTENCE_END, " ".join(piece.paragraphs))
        sentences = [part for part in parts if part]
        start = (number * 5) % max(1, len(sentences) - 6)
        joiner = "" if piece.lang == "zh" else " "
        for first in (start, start + 3):
            posts.append((joiner.join(sentences[first : first + 3]).strip(), piece.lang))
    # Letters share sentences, and an accidental repost would look like a planted one.
    return list(dict.fromkeys(posts))


def _plant_statuses(original: str) -> list[Any]:
    """The planted statuses, numbered as in the table of planted cases."""
    words = (
        "A long shift at the depot today, and the rain did not stop once. I fixed the second mirror,"
        " lost my gloves, and found them again under the seat."
    )

    def post(
        name: str,
        number: int,
        text: str = words,
        lang: str = "en",
        account: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        return _make_status(
            number, text, lang, _make_account(name, number, **(account or {})), **changes
        )

    return [
        post("hidden_account", 901, account={"discoverable": False}),
        post("not_indexable", 902, words + " Tomorrow line 9.", account={"indexable": False}),
        post("noindex_account", 903, words + " Tomorrow line 4.", account={"noindex": True}),
        post(
            "nobot_bio",
            904,
            words + " Tomorrow I am off.",
            account={"note": '<p>Bus driver. <a href="/tags/nobot">#<span>nobot</span></a></p>'},
        ),
        post("unlisted", 905, words + " Only for friends.", visibility="unlisted"),
        post("repost", 906, original),
        post(
            "contact_post",
            907,
            "If you found a green umbrella on line 14 this morning, please write to"
            " robin.vance@example.com or ring 020 7946 0321. It belonged to my aunt.",
        ),
        post("tiny_post", 908, "ok"),
        {
            "id": make_status_id(909),
            "created_at": "2026-03-24T00:00:00.000Z",
            "url": f"{SOCIAL}/@broken_item/{make_status_id(909)}",
            "content": None,
            "account": "gone",
        },
        post("german_post", 910, " ".join(GERMAN[:2]), lang="de"),
    ]


def build_timeline() -> list[dict[str, Any]]:
    """Build all statuses, newest first."""
    posts = _write_posts(english.write_pieces()) + _write_posts(chinese.write_pieces())
    good = [
        _make_status(n, text, lang, _make_account(f"writer_{n % 23}", n % 23))
        for n, (text, lang) in enumerate(posts)
    ]
    return sorted(
        [*good, *_plant_statuses(posts[0][0])], key=lambda status: int(status["id"]), reverse=True
    )


def find_status(timeline: Sequence[dict[str, Any]], id: str) -> dict[str, Any] | None:
    """Find one status by its id."""
    return next((status for status in timeline if status["id"] == id), None)


def get_page(
    timeline: Sequence[dict[str, Any]], query: Mapping[str, str], address: str
) -> tuple[list[dict[str, Any]], str]:
    """Return one page of the timeline and its Link header; `max_id` is the cursor, as in Mastodon."""
    limit = max(1, min(LARGEST_PAGE, int(query.get("limit", "20"))))
    before = int(query["max_id"]) if "max_id" in query else None
    older = [status for status in timeline if before is None or int(status["id"]) < before]
    statuses = older[:limit]
    if not statuses:
        return [], ""
    links = [f'<{address}?limit={limit}&min_id={statuses[0]["id"]}>; rel="prev"']
    if len(older) > limit:
        links.insert(0, f'<{address}?limit={limit}&max_id={statuses[-1]["id"]}>; rel="next"')
    return statuses, ", ".join(links)
