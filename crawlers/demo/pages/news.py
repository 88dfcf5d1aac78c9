"""The news host of the demo site: every path with its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from crawlers.demo.pages import feeds
from crawlers.demo.pages.article import CC0, PSF, Article, render_article
from crawlers.demo.pages.planted import NEWS
from crawlers.demo.pages.planted_pages import plant_articles, plant_broken_replies
from crawlers.demo.pages.reply import TEXT, XML, Reply
from crawlers.demo.pages.spare import choose_spare_profiles
from crawlers.demo.text import chinese, english, library
from crawlers.demo.text.piece import Piece

START = datetime(2026, 1, 5, 7, 30, tzinfo=UTC)
HOURS_BETWEEN = 7
SITEMAP_SIZE = 120
FIRST_SPARE_NUMBER = 300
FOLDERS = {"news": "news", "letter": "letters", "library": "handbook"}
LIBRARY_SECTIONS = ("Language", "Library")
RELATED_STEPS = (1, 3, 8, 21)
"""Distances of the related pages in the list of all: none links to itself."""

ROBOTS = f"""# The demo site: crawlers are welcome, except in /private/.
User-agent: *
Disallow: /private/
Disallow: /search?

User-agent: greedybot
Disallow: /

Sitemap: {NEWS}/sitemap.xml
"""


def _make_article(piece: Piece, number: int) -> Article:
    folder = FOLDERS.get(piece.kind, "people")
    published = START + timedelta(hours=HOURS_BETWEEN * number)
    return Article(
        path=f"/{folder}/{piece.slug}.html",
        title=piece.title,
        lang=piece.lang,
        published=published.isoformat(),
        paragraphs=piece.paragraphs,
        author=_choose_author(piece),
        section=piece.topic,
        licence=PSF if piece.kind == "library" else CC0,
    )


def _choose_author(piece: Piece) -> str:
    if piece.kind == "library":
        return "The Python documentation"
    return "本报编辑部" if piece.lang == "zh" else "the editors"


def make_articles() -> list[Article]:
    """Make the good pages: news and letters in both languages, and Python's documentation."""
    invented = english.write_pieces() + chinese.write_pieces()
    reports = [piece for piece in invented if piece.kind in ("news", "letter")]
    pieces = reports + library.read_topics() + library.read_docstrings()
    return [_make_article(piece, number) for number, piece in enumerate(pieces)]


def _make_spare_articles() -> list[Article]:
    return [
        replace(_make_article(piece, FIRST_SPARE_NUMBER + number), author="a guest")
        for number, piece in enumerate(choose_spare_profiles())
    ]


def make_replies(more: Sequence[Article] = ()) -> dict[str, Reply]:
    """Make every path of the news host with its answer; `more` are the pages of `--text`."""
    good = [*make_articles(), *more]
    planted = plant_articles(good, _make_spare_articles())
    pages: dict[str, Reply] = {}
    for number, article in enumerate([*good, *planted]):
        related = [good[(number * 7 + step) % len(good)] for step in RELATED_STEPS]
        pages[article.path] = _render_reply(article, good[0], related)
    first_zh = next(article for article in good if article.lang == "zh")
    sample = pages[good[1].path].body.decode()
    chinese_sample = pages[first_zh.path].body.decode()
    broken = plant_broken_replies(sample, chinese_sample)
    # The last planted page, the target of the redirect, is on no list.
    return pages | broken | _make_lists(good, planted[:-1], sorted(broken))


def _render_reply(article: Article, first: Article, related: Sequence[Article]) -> Reply:
    # The exact copy names the address of its original as canonical: its HTML is the same.
    is_copy = article.path.endswith("exact-copy.html")
    html = render_article(replace(article, path=first.path) if is_copy else article, related)
    is_busy = article.path.endswith("busy.html")
    return Reply(html.encode(), headers=article.headers, busy=is_busy)


def _make_lists(
    good: Sequence[Article], planted: Sequence[Article], broken: Sequence[str]
) -> dict[str, Reply]:
    """robots.txt, the tree of sitemaps, both feeds and the front page."""
    sitemaps: dict[str, Reply] = {}
    for start in range(0, len(good), SITEMAP_SIZE):
        part = good[start : start + SITEMAP_SIZE]
        name = f"sitemap-{start // SITEMAP_SIZE + 1}.xml"
        entries = [(article.url, article.published) for article in part]
        sitemaps[f"/{name}"] = Reply(feeds.render_sitemap(entries), XML)
    names = [path.removeprefix("/") for path in sitemaps]
    index = feeds.render_sitemap_index([*names, "sitemap-news.xml", "sitemap-planted.xml"])
    reports = [article for article in good if article.section not in LIBRARY_SECTIONS]
    chinese_reports = [article for article in reports if article.lang == "zh"]
    return sitemaps | {
        "/robots.txt": Reply(ROBOTS.encode(), TEXT),
        "/sitemap.xml": Reply(index, XML),
        "/sitemap-news.xml": Reply(feeds.render_news_sitemap(reports[-30:]), XML),
        "/sitemap-planted.xml": Reply(_render_planted_sitemap(planted, broken), XML),
        "/feed.xml": Reply(feeds.render_rss(reports[:20]), XML),
        "/atom.xml": Reply(feeds.render_atom(chinese_reports[:20]), XML),
        "/": Reply(feeds.render_front_page(reports[:40])),
    }


def _render_planted_sitemap(planted: Sequence[Article], broken: Sequence[str]) -> bytes:
    entries = [(article.url, article.published) for article in planted]
    for path in [*broken, "/planted/missing.html"]:
        entries.append((NEWS + path, START.isoformat()))
    return feeds.render_sitemap(entries)
