"""The planted pages of the demo news site: copies, refusals, broken pages, personal data.

`planted.PLANTED` says what must become of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crawlers.demo.pages import planted
from crawlers.demo.pages.article import Article
from crawlers.demo.pages.planted import NEWS
from crawlers.demo.pages.reply import HTML, Reply

SYMBOLS = tuple(
    " ".join("#### $$$ {} || ~~ 0x%02x <<>> ;; == %%" % (7 * line + column) for column in range(9))
    for line in range(12)
)
LINK_FARM = tuple(
    f"cheap shoes {number} • best price {number} • buy now {number}"
    f" • free shipping {number} • click here {number}"
    for number in range(80)
)
# Bytes 128 to 255: no encoding that a browser knows reads them as text.
GARBAGE = (
    b"<html><head><title>"
    + bytes(range(128, 160))
    + b"</title></head><body><article><p>"
    + bytes(range(128, 256)) * 20
    + b"</p></article></body></html>"
)


def _plant(name: str, source: Article, **changes: Any) -> Article:
    """An article under /planted/, with some fields changed."""
    return replace(source, path=f"/planted/{name}.html", **changes)


def _edit_paragraphs(paragraphs: Sequence[str], lang: str) -> tuple[str, ...]:
    """The same article with one word changed and a sentence added: a near duplicate."""
    old, new = {"en": (" and ", " as well as "), "zh": ("的", "之")}[lang]
    addition = {"en": " This report was updated.", "zh": "本文有更新。"}[lang]
    first = paragraphs[0].replace(old, new, 1) + addition
    return (first, *paragraphs[1:])


def plant_articles(good: Sequence[Article], spare: Sequence[Article]) -> list[Article]:
    """Return the planted pages that are whole HTML pages.

    The originals of the copies are the first good pages; `spare` are articles that stand nowhere else.
    """
    return [
        *_plant_copies(good),
        *_plant_refusals(spare),
        *_plant_poor_texts(spare),
        _plant(
            "contact", spare[6], title="The repair café opens again", paragraphs=planted.CONTACT
        ),
        _plant(
            "contact-zh",
            spare[-1],
            title="修理铺重新开门",
            paragraphs=tuple(
                text.format(resident=planted.RESIDENT_ID) for text in planted.CONTACT_ZH
            ),
        ),
        _plant("busy", spare[7]),
        _plant("arrived", spare[8]),
    ]


def _plant_copies(good: Sequence[Article]) -> list[Article]:
    first = good[0]
    first_zh = next(article for article in good if article.lang == "zh")
    return [
        _plant("exact-copy", first),
        _plant("near-copy", first, paragraphs=_edit_paragraphs(first.paragraphs, "en")),
        _plant("near-copy-zh", first_zh, paragraphs=_edit_paragraphs(first_zh.paragraphs, "zh")),
    ]


def _plant_refusals(spare: Sequence[Article]) -> list[Article]:
    noai_meta = '<meta name="robots" content="index, noai">'
    tdm_meta = '<meta name="tdm-reservation" content="1">'
    tdm_headers = (("tdm-reservation", "1"), ("tdm-policy", f"{NEWS}/tdm-policy.json"))
    return [
        _plant("noai-header", spare[0], headers=(("X-Robots-Tag", "noai, noimageai"),)),
        _plant("noai-meta", spare[1], head=noai_meta),
        _plant("tdm-header", spare[2], headers=tdm_headers),
        _plant("tdm-meta", spare[3], head=tdm_meta),
        _plant("noindex", spare[4], headers=(("X-Robots-Tag", "noindex"),)),
        _plant("paywall", spare[5], free=False),
    ]


def _plant_poor_texts(spare: Sequence[Article]) -> list[Article]:
    """Texts that the rules of quality or language drop."""
    texts: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("too-short", "Gate closed", ("The small gate is closed today.",)),
        ("symbols", "Log of the weather station", SYMBOLS),
        ("link-farm", "Shoes shoes shoes", LINK_FARM),
        ("repetition", "Notice of the harbour office", (planted.REPEATED,) * 40),
        ("sprache", "Die Brücke bleibt gesperrt", planted.GERMAN),
        ("langue", "Une boulangerie cherche son boulanger", planted.FRENCH),
    )
    return [
        _plant(name, spare[6], title=title, paragraphs=paragraphs)
        for name, title, paragraphs in texts
    ]


def plant_broken_replies(sample: str, chinese_sample: str) -> dict[str, Reply]:
    """Return answers that are not good HTML, or not good answers at all; samples are whole pages."""
    middle = sample.index("<main>")
    truncated = sample[:middle].encode()[: sample.index("<style>")]
    moved_to = (("Location", f"{NEWS}/planted/arrived.html"),)
    return {
        "/planted/bad-charset.html": Reply(chinese_sample.encode("gb18030"), HTML),
        "/planted/unknown-charset.html": Reply(GARBAGE, "text/html; charset=x-none"),
        "/planted/truncated.html": Reply(truncated),
        "/planted/empty.html": Reply(b""),
        "/planted/server-error.html": Reply(b"<h1>Internal Server Error</h1>", status=500),
        "/planted/cut-off.html": Reply(sample.encode(), cut=True),
        "/planted/moved.html": Reply(b"", status=301, headers=moved_to),
        "/private/minutes.html": Reply(sample.encode()),
    }
