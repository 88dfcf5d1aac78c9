"""The lists of pages that the demo news site publishes: sitemaps, feeds, the front page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from email.utils import format_datetime
from html import escape

from crawlers.demo.pages.article import Article
from crawlers.demo.pages.planted import NEWS

XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
SITEMAP_NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
NEWS_NAMESPACE = 'xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'
SITE_NAME = "The Aller Valley Post"


def render_sitemap(urls: Iterable[tuple[str, str]]) -> bytes:
    """Render a sitemap of addresses with their dates."""
    rows = [f"<url><loc>{escape(url)}</loc><lastmod>{date}</lastmod></url>\n" for url, date in urls]
    return f"{XML_HEAD}<urlset {SITEMAP_NAMESPACE}>\n{''.join(rows)}</urlset>\n".encode()


def render_news_sitemap(articles: Iterable[Article]) -> bytes:
    """Render a news sitemap: articles with title, language and date of publication."""
    rows = "".join(_render_news_entry(article) for article in articles)
    root = f"<urlset {SITEMAP_NAMESPACE} {NEWS_NAMESPACE}>"
    return f"{XML_HEAD}{root}\n{rows}</urlset>\n".encode()


def _render_news_entry(article: Article) -> str:
    publication = f"<news:name>{SITE_NAME}</news:name><news:language>{article.lang}</news:language>"
    return (
        f"<url><loc>{article.url}</loc>"
        f"<news:news><news:publication>{publication}</news:publication>"
        f"<news:publication_date>{article.published}</news:publication_date>"
        f"<news:title>{escape(article.title)}</news:title></news:news></url>\n"
    )


def render_sitemap_index(names: Iterable[str]) -> bytes:
    """Render a sitemap index of files on this site."""
    rows = [f"<sitemap><loc>{NEWS}/{name}</loc></sitemap>\n" for name in names]
    root = f"<sitemapindex {SITEMAP_NAMESPACE}>"
    return f"{XML_HEAD}{root}\n{''.join(rows)}</sitemapindex>\n".encode()


def render_rss(articles: Iterable[Article]) -> bytes:
    """Render an RSS 2.0 feed."""
    items = "".join(_render_rss_item(article) for article in articles)
    channel = f"<channel><title>{SITE_NAME}</title><link>{NEWS}/</link>\n{items}</channel>"
    return f'{XML_HEAD}<rss version="2.0">{channel}</rss>\n'.encode()


def _render_rss_item(article: Article) -> str:
    date = format_datetime(datetime.fromisoformat(article.published))
    return (
        f"<item><title>{escape(article.title)}</title><link>{article.url}</link>"
        f"<guid>{article.url}</guid><pubDate>{date}</pubDate></item>\n"
    )


def render_atom(articles: Iterable[Article]) -> bytes:
    """Render an Atom feed."""
    entries = "".join(_render_atom_entry(article) for article in articles)
    root = '<feed xmlns="http://www.w3.org/2005/Atom">'
    return f"{XML_HEAD}{root}<title>清水河邮报</title>\n{entries}</feed>\n".encode()


def _render_atom_entry(article: Article) -> str:
    return (
        f"<entry><title>{escape(article.title)}</title>"
        f'<link rel="alternate" href="{article.url}"/><id>{article.url}</id>'
        f"<updated>{article.published}</updated></entry>\n"
    )


def render_front_page(articles: Sequence[Article]) -> bytes:
    """Render the front page: a list of links."""
    links = [
        f'<li><a href="{article.path}">{escape(article.title)}</a></li>' for article in articles
    ]
    head = f'<head><meta charset="utf-8"><title>{SITE_NAME}</title></head>'
    body = f"<body><h1>{SITE_NAME}</h1><ul>{''.join(links)}</ul></body>"
    return f'<!doctype html><html lang="en">{head}{body}</html>'.encode()
