"""Readers of sitemaps, feeds and Link headers: whatever addresses are written come back, and nothing else."""

import gzip
import json
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from crawlers.sources import readers
from crawlers.sources.news import sort_newest_first
from crawlers.sources.readers import (
    Sitemap,
    find_next_link,
    find_sitemap_urls,
    read_feed,
    read_sitemap,
)
from gristmill.captures.json_answer import UnreadableAnswer
from gristmill.captures.mastodon import read_mastodon
from gristmill.captures.mediawiki import read_mediawiki

BASE = "https://n.example/dir/feed.xml"
PATHS = st.text(st.sampled_from("abz09-_./?=&%新闻"), min_size=1, max_size=15).filter(
    lambda text: text.strip()
)
URLS = PATHS.map(
    lambda path: urljoin("https://n.example/", f"/./{path}")
)  # as joining leaves them: no empty query
DATES = st.one_of(st.none(), st.dates().map(str))
ATOM, SITEMAPS = "http://www.w3.org/2005/Atom", "http://www.sitemaps.org/schemas/sitemap/0.9"


def written_sitemap(
    kind: str, entries: list[tuple[str, str | None]], namespace: str | None
) -> bytes:
    """A sitemap as an XML library writes it."""
    name = {"index": "sitemapindex", "pages": "urlset"}[kind]
    root = etree.Element(
        name if namespace is None else f"{{{namespace}}}{name}",
        nsmap=namespace and {None: namespace},
    )
    for url, date in entries:
        item = etree.SubElement(
            root, root.tag.replace(name, "sitemap" if kind == "index" else "url")
        )
        etree.SubElement(
            item, item.tag.rpartition("}")[0] + ("}" if namespace else "") + "loc"
        ).text = f"\n {url} "
        if date:
            etree.SubElement(
                item, item.tag.rpartition("}")[0] + ("}" if namespace else "") + "lastmod"
            ).text = date
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


@given(
    st.sampled_from(["index", "pages"]),
    st.lists(st.tuples(URLS, DATES), max_size=6),
    st.sampled_from([None, SITEMAPS, "urn:something-else"]),
    st.booleans(),
)
def test_a_written_sitemap_is_read_back_with_any_namespace_packed_or_not(
    kind, entries, namespace, packed
):
    data = written_sitemap(kind, entries, namespace)
    assert read_sitemap(gzip.compress(data, mtime=0) if packed else data) == Sitemap(
        kind == "index", tuple(entries)
    )


@given(st.lists(st.tuples(URLS, DATES), max_size=8))
def test_ordering_a_sitemap_loses_and_repeats_nothing(entries):
    ordered = sort_newest_first(Sitemap(False, tuple(entries)))
    assert sorted(ordered) == sorted(url for url, _ in entries)


@given(st.lists(PATHS, max_size=6), st.sampled_from(["rss", "atom"]))
def test_a_written_feed_is_read_back_absolute_and_each_address_once(paths, kind):
    if kind == "rss":
        root = etree.Element("rss")
        channel = etree.SubElement(root, "channel")
        for path in paths:
            etree.SubElement(
                etree.SubElement(channel, "item"), "link"
            ).text = f"/{path.lstrip('/')}"
    else:
        root = etree.Element(f"{{{ATOM}}}feed", nsmap={None: ATOM})
        for path in paths:
            link = etree.SubElement(etree.SubElement(root, f"{{{ATOM}}}entry"), f"{{{ATOM}}}link")
            link.set("href", f"/{path.lstrip('/')}")
    wanted = [urljoin(BASE, f"/{path.lstrip('/')}") for path in paths]
    assert read_feed(etree.tostring(root, encoding="utf-8"), BASE) == list(dict.fromkeys(wanted))


@pytest.mark.parametrize(
    ("entry", "link"),
    [
        (
            '<entry><link rel="self" href="/self"/><link rel="alternate" href="/page"/></entry>',
            "/page",
        ),
        ('<entry><link rel="enclosure" href="/a.mp3"/></entry>', None),
        ("<item><guid>https://n.example/guid</guid></item>", "/guid"),
        ('<item><guid isPermaLink="false">https://n.example/guid</guid></item>', None),
        ("<item><guid>tag:n.example,2026:1</guid></item>", None),
        ("<item><link> /spaced </link></item>", "/spaced"),
        ("<item><link/><guid>https://n.example/guid</guid></item>", "/guid"),
        ("<item><title>no link</title></item>", None),
    ],
)
def test_the_link_of_an_entry_is_its_page_and_not_a_file_or_a_name(entry, link):
    assert read_feed(f"<rss><channel>{entry}</channel></rss>".encode(), BASE) == (
        [f"https://n.example{link}"] if link else []
    )


@given(st.lists(URLS, max_size=5), st.text(st.characters(codec="utf-8"), max_size=40))
def test_robots_txt_names_its_sitemaps_among_any_other_lines(urls, noise):
    lines = [line for line in noise.splitlines() if "sitemap" not in line.lower()]
    text = "\n".join([*lines, *(f"  SiteMap :  {url}" for url in urls), "Disallow: /sitemap: none"])
    assert find_sitemap_urls(text, "https://n.example/robots.txt") == (
        list(dict.fromkeys(urls)) or ["https://n.example/sitemap.xml"]
    )


@given(
    st.sampled_from(["next", "prev", "first", "last", "nextish"]), st.sampled_from(['"', ""]), URLS
)
def test_only_the_next_relation_is_the_next_page(relation, quote, url):
    header = f"<https://n.example/other>; rel=first, <{url}>; rel={quote}{relation}{quote}"
    assert find_next_link(header, BASE) == (url if relation == "next" else None)


@given(st.text(max_size=60))
def test_any_link_header_is_an_absolute_address_or_nothing(header):
    found = find_next_link(header, BASE)
    assert found is None or "next" in header


def test_a_sitemap_bomb_is_read_no_further_than_the_protocol_allows(monkeypatch):
    monkeypatch.setattr(readers, "LARGEST_INFLATED", 1000)
    urls = [(f"https://n.example/{n}", None) for n in range(400)]
    found = read_sitemap(gzip.compress(written_sitemap("pages", urls, None), mtime=0))
    assert 0 < len(found.entries) < 40


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["query", "pages", "continue", "error", "code", "revisions"]),
                inner,
                max_size=3,
            )
        ),
    )
)
def test_any_json_is_a_wiki_answer_or_unreadable_and_has_only_pages_with_content(value):
    body = json.dumps(value).encode()
    try:
        batch = read_mediawiki(body)
    except UnreadableAnswer:
        return
    assert isinstance(value, dict)
    assert all(page["revisions"] for page in batch.pages_with_content)
    continuation = batch.continuation or {}
    assert all(isinstance(text, str) for pair in continuation.items() for text in pair)
    assert (batch.error is not None) == bool(value.get("error"))


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe[]", b"", b"NaN garbage"]
)
def test_json_that_is_deep_or_broken_is_unreadable_and_never_a_crash(body):
    for read in (read_mediawiki, read_mastodon):
        with pytest.raises(UnreadableAnswer):
            read(body)
