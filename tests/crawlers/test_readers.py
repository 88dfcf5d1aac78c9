"""Readers of sitemaps, feeds and API answers, on saved pages: the exact record."""

import contextlib
import gzip
from html import escape
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsel import Selector

from crawlers.sources.mediawiki import make_page_query, make_site_query
from crawlers.sources.news import sort_newest_first
from crawlers.sources.readers import (
    Sitemap,
    Unreadable,
    find_next_link,
    find_sitemap_urls,
    read_feed,
    read_links,
    read_sitemap,
)
from gristmill.captures.json_answer import UnreadableAnswer
from gristmill.captures.mastodon import read_mastodon
from gristmill.captures.mediawiki import MediaWikiAnswer, read_mediawiki


def test_a_sitemap_index_names_its_sitemaps(saved):
    assert read_sitemap(saved("sitemap_index.xml")) == Sitemap(
        True,
        (
            ("https://www.example.org/post-sitemap1.xml", "2025-11-02T08:00:00+00:00"),
            ("https://www.example.org/post-sitemap2.xml.gz", "2026-11-02T08:00:00+00:00"),
            ("https://www.example.org/news-sitemap.xml", None),
        ),
    )


def test_news_sitemaps_come_first_then_the_newest(saved):
    assert [
        url.rsplit("/", 1)[1] for url in sort_newest_first(read_sitemap(saved("sitemap_index.xml")))
    ] == [
        "news-sitemap.xml",
        "post-sitemap2.xml.gz",
        "post-sitemap1.xml",
    ]


def test_a_news_sitemap_names_pages_with_their_dates_and_no_images(saved):
    expected = Sitemap(
        False,
        (
            ("https://www.example.org/2026/11/bridge-reopens?a=1&b=2", "2026-11-20T06:00:00Z"),
            ("https://www.example.org/2026/11/no-date", None),
        ),
    )
    assert read_sitemap(saved("sitemap_news.xml")) == expected
    assert read_sitemap(gzip.compress(saved("sitemap_news.xml"), mtime=0)) == expected


def test_a_gzipped_sitemap_that_is_cut_off_is_unreadable(saved):
    with pytest.raises(Unreadable, match="not gzip"):
        read_sitemap(gzip.compress(saved("sitemap_news.xml"), mtime=0)[:-20])


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>not found</body></html>", b"plain words", b"\x1f\x8bgarbage"]
)
def test_what_is_no_sitemap_is_unreadable(body):
    with pytest.raises(Unreadable):
        read_sitemap(body)


def test_entities_are_not_expanded():
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY f SYSTEM "file:///etc/passwd">]><urlset><url><loc>http://e.org/&f;</loc></url></urlset>'
    assert read_sitemap(bomb).entries == (("http://e.org/", None),)


@pytest.mark.parametrize(
    ("page", "links"),
    [
        (
            "feed_rss.xml",
            [
                "https://example.org/one?utm_source=rss",
                "https://example.org/two",
                "https://example.org/three",
            ],
        ),
        ("feed_atom.xml", ["https://example.org/一", "https://example.org/two"]),
        ("feed_rdf.xml", ["https://example.org/a"]),
    ],
)
def test_a_feed_names_each_article_once(saved, page, links):
    assert read_feed(saved(page), "https://example.org/feed") == links


def test_a_sitemap_is_no_feed(saved):
    with pytest.raises(Unreadable, match="urlset"):
        read_feed(saved("sitemap_news.xml"), "https://example.org/")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_sitemap_and_a_feed_or_unreadable(body):
    for read in (
        read_sitemap,
        lambda data: read_feed(data, "http://e.org/"),
        read_mediawiki,
        read_mastodon,
    ):
        with contextlib.suppress(Unreadable, UnreadableAnswer):
            read(body)


def test_robots_txt_names_sitemaps_in_any_case_and_relative_or_not():
    robots = "User-agent: *\nSITEMAP: /a.xml\nsitemap:https://example.org/b.xml\n Sitemap: /a.xml # again\n"
    assert find_sitemap_urls(robots, "https://example.org/robots.txt") == [
        "https://example.org/a.xml",
        "https://example.org/b.xml",
    ]


def test_without_a_sitemap_line_the_customary_place_is_tried():
    assert find_sitemap_urls("User-agent: *\n", "https://example.org/robots.txt") == [
        "https://example.org/sitemap.xml"
    ]


def test_a_wiki_answer_has_pages_with_content_and_a_cursor(saved):
    batch = read_mediawiki(saved("wiki_batch.json"))
    assert [page["title"] for page in batch.pages_with_content] == ["Nurse"]
    assert (
        batch.continuation == {"gcmcontinue": "page|4249|123", "continue": "gcmcontinue||"}
        and batch.error is None
    )


def test_a_lagging_wiki_says_so(saved):
    assert read_mediawiki(saved("wiki_maxlag.json")) == MediaWikiAnswer(error="maxlag")


def test_queries_name_the_generator_and_accept_lag():
    assert make_site_query()["maxlag"] == make_page_query(None)["maxlag"] == "5"
    assert (
        make_page_query(None)["generator"] == "allpages"
        and make_page_query(None)["gapfilterredir"] == "nonredirects"
    )
    assert (
        make_page_query("Category:Nurses", 20)["gcmtitle"] == "Category:Nurses"
        and make_page_query("Category:Nurses", 20)["gcmlimit"] == "20"
    )


def test_a_timeline_keeps_its_broken_items(saved):
    statuses = read_mastodon(saved("timeline.json")).statuses
    assert len(statuses) == 3 and statuses[2] == "no status"


@pytest.mark.parametrize("body", [b'{"x": "y"}', b"<html>", b"[1"])
def test_what_is_no_timeline_is_unreadable(body):
    with pytest.raises(UnreadableAnswer):
        read_mastodon(body)


@pytest.mark.parametrize(
    ("header", "following"),
    [
        (
            '<https://s.example/p?max_id=2>; rel="next", <https://s.example/p?min_id=9>; rel="prev"',
            "https://s.example/p?max_id=2",
        ),
        (
            "<https://s.example/p?a=1,2>; rel=prev, </p?max_id=3>; rel=next",
            "https://s.example/p?max_id=3",
        ),
        ('<x>; title="a"; rel="last next"', "https://s.example/x"),
        ('<https://s.example/p>; rel="prev"', None),
        ("", None),
    ],
)
def test_the_next_page_is_in_the_link_header(header, following):
    assert find_next_link(header, "https://s.example/") == following


HERE = "https://n.example/dir/page.html"


@pytest.mark.parametrize(
    ("html", "links"),
    [
        (
            '<a href="/a">x</a><a href=" b ">x</a><a href="//m.example/c">x</a>',
            ["/a", "/dir/b", "https://m.example/c"],
        ),
        ('<a href="/a#one">x</a><a href="/a#two">x</a><a href="/a">x</a>', ["/a"]),
        ('<base href="/other/"><a href="b">x</a>', ["/other/b"]),
        ('<base href="https://m.example/x/y"><a href="b">x</a>', ["https://m.example/x/b"]),
        ('<base href="http://[broken"><a href="b">x</a>', ["/dir/b"]),
        ('<a href="http://[broken">x</a><a href="/a">x</a>', ["/a"]),
        (
            '<a href="/a" rel="nofollow">x</a><a href="/b" rel="NOFOLLOW ugc">x</a><a href="/c" rel="me">x</a>',
            ["/c"],
        ),
        ('<a name="here">x</a><link href="/style.css"><img src="/a.png"><area href="/map">', []),
        ('<script>"<a href=/a>"</script><!-- <a href="/b">x</a> -->', []),
        ('<meta name="robots" content="nofollow"><a href="/a">x</a>', []),
        ('<META NAME="Robots" CONTENT="NOINDEX, NoFollow"><a href="/a">x</a>', []),
        ('<meta name="robots" content="none"><a href="/a">x</a>', []),
        ('<meta name="robots" content="noindex nofollow"><a href="/a">x</a>', []),
        ('<meta name="robots" content="index, max-image-preview:none"><a href="/a">x</a>', ["/a"]),
        (
            '<meta name="robots" content="max-image-preview: none, follow"><a href="/a">x</a>',
            ["/a"],
        ),
        ('<meta name="robots" content="noindex, follow"><a href="/a">x</a>', ["/a"]),
        ('<meta name="googlebot" content="nofollow"><a href="/a">x</a>', ["/a"]),
        ("", []),
    ],
)
def test_the_links_of_a_page_are_absolute_each_once_and_only_those_it_lets_be_followed(html, links):
    assert read_links(Selector(text=html), HERE) == [
        urljoin("https://n.example", link) for link in links
    ]


@given(st.text(), st.text(st.sampled_from("htps:/[]?#.a新 %\\\n"), max_size=12).map(escape))
def test_any_page_has_absolute_links_without_fragments_or_none(text, href):
    for url in read_links(Selector(text=f'{text}<a href="{href}">x</a>'), HERE):
        assert "#" not in url


def test_every_real_feed_and_sitemap_is_read_or_named_unreadable(shared_data):
    names = (
        sorted((shared_data / "crawl" / "sitemaps").rglob("*.xml"))
        + sorted((shared_data / "crawl" / "feeds").rglob("*.xml"))[:200]
    )
    for path in names:
        for read in (read_sitemap, lambda data: read_feed(data, "http://e.org/")):
            with contextlib.suppress(Unreadable, UnreadableAnswer):
                read(path.read_bytes())
