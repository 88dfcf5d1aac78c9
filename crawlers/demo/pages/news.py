"""The news host of the demo site: robots.txt, sitemaps, feeds, articles, and the planted pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape

from crawlers.demo.pages import planted
from crawlers.demo.pages.article import CC0, PSF, Article, render
from crawlers.demo.pages.planted import NEWS
from crawlers.demo.pages.reply import HTML, TEXT, XML, Reply
from crawlers.demo.pages.spare import spare_profiles
from crawlers.demo.text import chinese, english, library
from crawlers.demo.text.piece import Piece

START = datetime(2026, 1, 5, 7, 30, tzinfo=UTC)
SITEMAP_SIZE = 120

ROBOTS = f"""# The demo site: crawlers are welcome, except in /private/.
User-agent: *
Disallow: /private/
Disallow: /search?

User-agent: greedybot
Disallow: /

Sitemap: {NEWS}/sitemap.xml
"""


def _when(number: int) -> str:
    return (START + timedelta(hours=7 * number)).isoformat()


def _article(piece: Piece, number: int) -> Article:
    folder = {"news": "news", "letter": "letters", "library": "handbook"}.get(piece.kind, "people")
    licence = PSF if piece.kind == "library" else CC0
    author = (
        "The Python documentation"
        if piece.kind == "library"
        else ("本报编辑部" if piece.lang == "zh" else "the editors")
    )
    return Article(
        f"/{folder}/{piece.slug}.html",
        piece.title,
        piece.lang,
        _when(number),
        piece.paragraphs,
        author,
        piece.topic,
        licence,
    )


def articles() -> list[Article]:
    """The good pages: news and letters of our own in both languages, and the handbook from Python's documentation."""
    own = [
        piece for piece in english.pieces() + chinese.pieces() if piece.kind in ("news", "letter")
    ]
    return [
        _article(piece, number)
        for number, piece in enumerate(own + library.topics() + library.docstrings())
    ]


def _near(paragraphs: Sequence[str], lang: str) -> tuple[str, ...]:
    """The same article with two words changed and one added: a near duplicate."""
    words = {"en": (" and ", " as well as "), "zh": ("的", "之")}[lang]
    extra = {"en": " This report was updated.", "zh": "本文有更新。"}[lang]
    return (paragraphs[0].replace(*words, 1) + extra, *paragraphs[1:])


def planted_articles(good: Sequence[Article]) -> list[Article]:
    """The planted pages that are whole HTML pages; the originals of the copies are the first good pages."""
    first, first_zh = good[0], next(article for article in good if article.lang == "zh")
    spare = [
        replace(_article(piece, 300 + number), author="a guest")
        for number, piece in enumerate(spare_profiles())
    ]

    def page(name: str, source: Article, **changes: object) -> Article:
        return replace(source, path=f"/planted/{name}.html", **changes)  # type: ignore[arg-type]

    symbols = tuple(
        " ".join("#### $$$ {} || ~~ 0x%02x <<>> ;; == %%" % (7 * i + j) for j in range(9))
        for i in range(12)
    )
    farm = tuple(
        f"cheap shoes {n} • best price {n} • buy now {n} • free shipping {n} • click here {n}"
        for n in range(80)
    )
    contact_zh = tuple(text.format(resident=planted.RESIDENT_ID) for text in planted.CONTACT_ZH)
    return [
        page("exact-copy", first),
        page("near-copy", first, paragraphs=_near(first.paragraphs, "en")),
        page("near-copy-zh", first_zh, paragraphs=_near(first_zh.paragraphs, "zh")),
        page("noai-header", spare[0], headers=(("X-Robots-Tag", "noai, noimageai"),)),
        page("noai-meta", spare[1], head='<meta name="robots" content="index, noai">'),
        page(
            "tdm-header",
            spare[2],
            headers=(("tdm-reservation", "1"), ("tdm-policy", f"{NEWS}/tdm-policy.json")),
        ),
        page("tdm-meta", spare[3], head='<meta name="tdm-reservation" content="1">'),
        page("noindex", spare[4], headers=(("X-Robots-Tag", "noindex"),)),
        page("paywall", spare[5], free=False),
        page(
            "too-short",
            spare[6],
            title="Gate closed",
            paragraphs=("The small gate is closed today.",),
        ),
        page("symbols", spare[6], title="Log of the weather station", paragraphs=symbols),
        page("link-farm", spare[6], title="Shoes shoes shoes", paragraphs=farm),
        page(
            "repetition",
            spare[6],
            title="Notice of the harbour office",
            paragraphs=(planted.REPEATED,) * 40,
        ),
        page("sprache", spare[6], title="Die Brücke bleibt gesperrt", paragraphs=planted.GERMAN),
        page(
            "langue",
            spare[6],
            title="Une boulangerie cherche son boulanger",
            paragraphs=planted.FRENCH,
        ),
        page("contact", spare[6], title="The repair café opens again", paragraphs=planted.CONTACT),
        page("contact-zh", spare[-1], title="修理铺重新开门", paragraphs=contact_zh),
        page("busy", spare[7]),
        page("arrived", spare[8]),
    ]


GARBAGE = (
    b"<html><head><title>"
    + bytes(range(128, 160))
    + b"</title></head><body><article><p>"
    + bytes(range(128, 256)) * 20
    + b"</p></article></body></html>"
)


def _broken(sample: str, chinese_sample: str) -> dict[str, Reply]:
    """The pages that are no good HTML or no good answer at all."""
    middle = sample.index("<main>")
    return {
        "/planted/bad-charset.html": Reply(chinese_sample.encode("gb18030"), HTML),
        "/planted/unknown-charset.html": Reply(GARBAGE, "text/html; charset=x-none"),
        "/planted/truncated.html": Reply(sample[:middle].encode()[: sample.index("<style>")]),
        "/planted/empty.html": Reply(b""),
        "/planted/server-error.html": Reply(b"<h1>Internal Server Error</h1>", status=500),
        "/planted/cut-off.html": Reply(sample.encode(), cut=True),
        "/planted/moved.html": Reply(
            b"", status=301, headers=(("Location", f"{NEWS}/planted/arrived.html"),)
        ),
        "/private/minutes.html": Reply(sample.encode()),
    }


def _sitemap(urls: Iterable[tuple[str, str]]) -> bytes:
    rows = "".join(
        f"<url><loc>{escape(url)}</loc><lastmod>{when}</lastmod></url>\n" for url, when in urls
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}</urlset>\n'.encode()


def _news_sitemap(found: Iterable[Article]) -> bytes:
    rows = "".join(
        f"<url><loc>{a.url}</loc><news:news><news:publication><news:name>The Aller Valley Post</news:name><news:language>{a.lang}</news:language></news:publication>"
        f"<news:publication_date>{a.published}</news:publication_date><news:title>{escape(a.title)}</news:title></news:news></url>\n"
        for a in found
    )
    spaces = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {spaces}>\n{rows}</urlset>\n'.encode()


def _sitemap_index(names: Iterable[str]) -> bytes:
    rows = "".join(f"<sitemap><loc>{NEWS}/{name}</loc></sitemap>\n" for name in names)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}</sitemapindex>\n'.encode()


def _rss(found: Iterable[Article]) -> bytes:
    items = "".join(
        f"<item><title>{escape(a.title)}</title><link>{a.url}</link><guid>{a.url}</guid><pubDate>{format_datetime(datetime.fromisoformat(a.published))}</pubDate></item>\n"
        for a in found
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel><title>The Aller Valley Post</title><link>{NEWS}/</link>\n{items}</channel></rss>\n'.encode()


def _atom(found: Iterable[Article]) -> bytes:
    entries = "".join(
        f'<entry><title>{escape(a.title)}</title><link rel="alternate" href="{a.url}"/><id>{a.url}</id><updated>{a.published}</updated></entry>\n'
        for a in found
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom"><title>清水河邮报</title>\n{entries}</feed>\n'.encode()


def _front_page(found: Sequence[Article]) -> bytes:
    links = "".join(f'<li><a href="{a.path}">{escape(a.title)}</a></li>' for a in found)
    return f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The Aller Valley Post</title></head><body><h1>The Aller Valley Post</h1><ul>{links}</ul></body></html>'.encode()


def replies(more: Sequence[Article] = ()) -> dict[str, Reply]:
    """Every path of the news host with its answer; `more` are the pages of `--text`."""
    good = [*articles(), *more]
    special = planted_articles(good)
    every = [*good, *special]
    pages: dict[str, Reply] = {}
    for number, article in enumerate(every):
        neighbours = [good[(number * 7 + step) % len(good)] for step in (1, 3, 8, 21)]
        source = good[0] if article.path.endswith("exact-copy.html") else article
        html = render(replace(article, path=source.path), neighbours)
        pages[article.path] = Reply(
            html.encode(), headers=article.headers, busy=article.path.endswith("busy.html")
        )
    first_zh = next(article for article in good if article.lang == "zh")
    broken = _broken(pages[good[1].path].body.decode(), pages[first_zh.path].body.decode())
    return pages | broken | _directories(good, [*special[:-1]], sorted(broken))


def _directories(
    good: Sequence[Article], special: Sequence[Article], broken: Sequence[str]
) -> dict[str, Reply]:
    """robots.txt, the sitemap tree, both feeds and the front page."""
    parts = [good[start : start + SITEMAP_SIZE] for start in range(0, len(good), SITEMAP_SIZE)]
    names = [f"sitemap-{number}.xml" for number in range(1, len(parts) + 1)]
    out = {
        f"/{name}": Reply(_sitemap((a.url, a.published) for a in part), XML)
        for name, part in zip(names, parts, strict=True)
    }
    others = [(a.url, a.published) for a in special] + [
        (NEWS + path, START.isoformat()) for path in [*broken, "/planted/missing.html"]
    ]
    own = [article for article in good if article.section not in ("Language", "Library")]
    return out | {
        "/robots.txt": Reply(ROBOTS.encode(), TEXT),
        "/sitemap.xml": Reply(
            _sitemap_index([*names, "sitemap-news.xml", "sitemap-planted.xml"]), XML
        ),
        "/sitemap-news.xml": Reply(_news_sitemap(own[-30:]), XML),
        "/sitemap-planted.xml": Reply(_sitemap(others), XML),
        "/feed.xml": Reply(_rss(own[:20]), XML),
        "/atom.xml": Reply(_atom([a for a in own if a.lang == "zh"][:20]), XML),
        "/": Reply(_front_page(own[:40])),
    }
