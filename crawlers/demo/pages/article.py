"""Renders a news page in typical web markup: the article amid navigation, banner, sidebar, footer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from crawlers.demo.pages.planted import NEWS

CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"
PSF = "https://spdx.org/licenses/PSF-2.0.html"

_WORDS = {
    "en": {
        "site": "The Aller Valley Post",
        "nav": "Home|News|Letters|Handbook|Weather|Jobs|Contact",
        "most": "Most read",
        "share": "Share this article|Print|Send by e-mail",
        "cookies": "We use cookies to remember your settings. Read more in our privacy notice.",
        "accept": "Accept all",
        "refuse": "Only necessary",
        "footer": "© The Aller Valley Post."
        " All texts on this site are dedicated to the public domain.",
        "imprint": "Imprint|Privacy|Terms|RSS",
        "by": "By",
        "newsletter": "Sign up for our newsletter and never miss a story.",
        "related": "Related articles",
    },
    "zh": {
        "site": "清水河邮报",
        "nav": "首页|新闻|书信|手册|天气|招聘|联系我们",
        "most": "阅读最多",
        "share": "分享本文|打印|电邮发送",
        "cookies": "本站使用 Cookie 保存您的设置，详情请看隐私说明。",
        "accept": "全部接受",
        "refuse": "仅限必要",
        "footer": "© 清水河邮报。本站所有文字均归公有领域。",
        "imprint": "版权|隐私|条款|订阅",
        "by": "记者",
        "newsletter": "订阅我们的简报，不错过每一篇报道。",
        "related": "相关文章",
    },
}


@dataclass(frozen=True, slots=True)
class Article:
    """One page of the news site."""

    path: str
    title: str
    lang: str
    published: str
    paragraphs: tuple[str, ...]
    author: str = "Desk"
    section: str = "News"
    licence: str = CC0
    head: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=())
    free: bool = True

    @property
    def url(self) -> str:
        """The canonical address."""
        return NEWS + self.path


def _format_linked_data(article: Article) -> str:
    data = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "headline": article.title,
        "datePublished": article.published,
        "inLanguage": article.lang,
        "author": {"@type": "Person", "name": article.author},
        "publisher": {"@type": "Organization", "name": _WORDS[article.lang]["site"]},
        "mainEntityOfPage": article.url,
        "license": article.licence,
        "isAccessibleForFree": article.free,
    }
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


def _render_head(article: Article, words: dict[str, str]) -> str:
    title = escape(article.title)
    author = f'<meta name="author" content="{escape(article.author)}">'
    licence = f'<link rel="license" href="{article.licence}">'
    feed = f'<link rel="alternate" type="application/rss+xml" href="{NEWS}/feed.xml">'
    kind = '<meta property="og:type" content="article">'
    address = f'<meta property="og:url" content="{article.url}">'
    return f"""<head><meta charset="utf-8"><title>{title} - {words["site"]}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{author}
<link rel="canonical" href="{article.url}">{licence}{feed}
<meta property="og:title" content="{title}">{kind}{address}
<meta property="article:published_time" content="{article.published}">{article.head}
<script type="application/ld+json">{_format_linked_data(article)}</script>
<style>body{{font:16px serif}}.cookie{{position:fixed;bottom:0}}aside{{float:right}}</style></head>"""


def _render_items(words: str, href: str = "#") -> str:
    return "".join(f'<li><a href="{href}">{escape(word)}</a></li>' for word in words.split("|"))


def render_article(article: Article, related: Sequence[Article]) -> str:
    """Render the whole page as HTML; `related` fill the sidebar and the related links."""
    words = _WORDS[article.lang]
    links = "".join(f'<li><a href="{near.path}">{escape(near.title)}</a></li>' for near in related)
    body = "\n".join(f"<p>{escape(paragraph)}</p>" for paragraph in article.paragraphs)
    title = escape(article.title)
    buttons = f"<button>{words['accept']}</button><button>{words['refuse']}</button>"
    date = f'<time datetime="{article.published}">{article.published[:10]}</time>'
    share = f'<ul class="share">{_render_items(words["share"])}</ul>'
    related_links = f"<h2>{words['related']}</h2><ul>{links}</ul>"
    footer = f"<p>{words['footer']}</p><ul>{_render_items(words['imprint'])}</ul>"
    script = "<script>window.stats=window.stats||[];stats.push(1)</script>"
    return f"""<!doctype html>
<html lang="{article.lang}">{_render_head(article, words)}
<body><div class="cookie" role="dialog"><p>{words["cookies"]}</p>{buttons}</div>
<header><a href="/">{words["site"]}</a><nav><ul>{_render_items(words["nav"], "/")}</ul></nav></header>
<aside class="sidebar"><h2>{words["most"]}</h2><ol>{links}</ol><p>{words["newsletter"]}</p></aside>
<main><article><h1>{title}</h1>
<p class="byline">{words["by"]} {escape(article.author)}, {date}</p>
{body}
</article>{share}<section class="related">{related_links}</section></main>
<footer>{footer}</footer>{script}</body></html>
"""
