"""The demo pages: any text becomes well-formed pages, any limit pages through everything once, both with their rights."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree
from parsel import Selector

from crawlers.demo.pages import news, social, wiki
from crawlers.demo.pages.article import CC0, Article, render_article
from crawlers.demo.pages.planted import NEWS, SOCIAL
from crawlers.demo.pages.text_file import TEXT_COLUMNS, read_articles
from crawlers.demo.site import DOWN, HOSTS, DemoSite
from crawlers.rights import judge, page_signals
from crawlers.sources.readers import find_next_link, read_feed, read_sitemap
from gristmill.captures.mediawiki import read_mediawiki
from gristmill.errors import InputError
from gristmill.rights.policy import POLICIES

ANY = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<p>",
    "&amp;",
    "]]>",
    '"',
    "'",
    "{{x}}",
    "新闻 & 社交",
    "<!--",
    "\u2028",
]
TEXTS = st.one_of(st.sampled_from(HOSTILE), ANY)
WIKIS = wiki.build_wikis()
TIMELINE = social.build_timeline()


@settings(max_examples=60, deadline=None)
@example(title="<!--", paragraphs=[], author="</script><script>alert(1)</script>", lang="en")
@given(
    title=TEXTS,
    paragraphs=st.lists(TEXTS, max_size=4),
    author=TEXTS,
    lang=st.sampled_from(["en", "zh"]),
)
def test_any_text_is_rendered_as_text_and_leaves_the_rights_of_the_page_as_they_are(
    title, paragraphs, author, lang
):
    article = Article(
        "/a.html", title, lang, "2026-01-01T00:00:00+00:00", tuple(paragraphs), author
    )
    html = render_article(article, [])
    signals = page_signals({}, Selector(text=html))
    assert judge(signals, POLICIES["strict-eu"]).refused is None
    assert judge(signals, POLICIES["open-licence-only"]).licence == "CC0-1.0"
    tree = etree.fromstring(html, etree.HTMLParser())
    heading = "".join(tree.find(".//article//h1").itertext())
    assert heading.split() == title.split()
    data = json.loads(tree.find(".//script[@type='application/ld+json']").text)
    assert (data["headline"], data["author"]["name"], data["license"]) == (title, author, CC0)
    assert len(tree.findall(".//script")) == 2  # the page's own two: no text became a third


@settings(max_examples=4, deadline=None)  # each lays out the whole site: many titles at once
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=10, max_size=20))
def test_sitemaps_and_feeds_stay_well_formed_whatever_the_titles_are(rows):
    own = [
        Article(f"/text/{n}.html", title, "en", "2026-06-01T00:00:00+00:00", (text,))
        for n, (title, text) in enumerate(rows)
    ]
    pages = news.make_replies(own)
    listed = {
        url
        for path, reply in pages.items()
        if re.match(r"/sitemap-\d", path)
        for url, _ in read_sitemap(reply.body).entries
    }
    assert {article.url for article in own} <= listed
    for path in ("/feed.xml", "/atom.xml"):
        etree.fromstring(pages[path].body)
        assert len(read_feed(pages[path].body, NEWS)) == 20


def wiki_titles(path: str, limit: str, **query: str) -> tuple[list[str], int]:
    """All titles of a generator, page by page, and how many calls that took."""
    asked = {
        "action": "query",
        "format": "json",
        "prop": "info",
        "gaplimit": limit,
        "gcmlimit": limit,
        **query,
    }
    titles, calls = [], 0
    while True:
        batch = wiki.answer_query(WIKIS[path], asked)
        titles += [page["title"] for page in batch["query"]["pages"]]
        calls += 1
        if "continue" not in batch:
            return titles, calls
        asked |= batch["continue"]


@pytest.mark.parametrize("path", sorted(WIKIS))
@given(limit=st.integers(1, 80))
@settings(max_examples=15, deadline=None)
def test_any_limit_pages_through_every_article_once(path, limit):
    titles, calls = wiki_titles(
        path, str(limit), generator="allpages", gapfilterredir="nonredirects"
    )
    wanted = [page.title for page in WIKIS[path].pages if not page.redirect]
    assert titles == wanted
    assert calls == -(-len(wanted) // min(limit, 50))


def test_redirects_are_listed_apart_and_all_together():
    kinds = {
        kind: set(wiki_titles("/wiki/api.php", "max", generator="allpages", gapfilterredir=kind)[0])
        for kind in ("redirects", "nonredirects", "all")
    }
    assert kinds["redirects"] == {"Old Millbrook"}
    assert kinds["redirects"] | kinds["nonredirects"] == kinds["all"]


@pytest.mark.parametrize("limit", ["ten", "", "1e3", "99999999999", "5; drop"])
def test_a_limit_that_is_no_number_is_an_error_of_the_api_and_no_crash(limit):
    found = wiki.answer_query(
        WIKIS["/wiki/api.php"],
        {"action": "query", "format": "json", "generator": "allpages", "gaplimit": limit},
    )
    assert found["error"]["code"] == "badinteger"


@pytest.mark.parametrize(
    ("limit", "count"), [("0", 1), ("-7", 1), ("3", 3), ("51", 50), ("max", 50)]
)
def test_a_limit_out_of_range_is_the_nearest_in_range(limit, count):
    found = wiki.answer_query(
        WIKIS["/wiki/api.php"],
        {"action": "query", "format": "json", "generator": "allpages", "gaplimit": limit},
    )
    assert len(found["query"]["pages"]) == count


@pytest.mark.parametrize("path", sorted(WIKIS))
def test_revisions_have_distinct_ids_and_the_hash_of_their_text(path):
    import hashlib

    titles, revisions = [], []
    query = {
        "action": "query",
        "format": "json",
        "generator": "allpages",
        "prop": "revisions|info",
        "gaplimit": "max",
    }
    while True:
        batch = wiki.answer_query(WIKIS[path], query)
        for page in read_mediawiki(json.dumps(batch).encode()).pages_with_content:
            titles.append(page["title"])
            revisions.append(page["revisions"][0])
        if "continue" not in batch:
            break
        query |= batch["continue"]
    assert len({revision["revid"] for revision in revisions}) == len(revisions) == len(titles)
    for revision in revisions:
        main = revision["slots"]["main"]
        if "texthidden" not in main:
            assert revision["sha1"] == hashlib.sha1(main["content"].encode()).hexdigest()


@given(limit=st.integers(1, 60))
@settings(max_examples=15, deadline=None)
def test_any_limit_pages_through_the_timeline_once_newest_first(limit):
    address, ids, query = SOCIAL + social.PATH, [], {"limit": str(limit)}
    while True:
        found, link = social.get_page(TIMELINE, query, address)
        assert len(found) <= min(limit, social.LARGEST_PAGE)
        ids += [status["id"] for status in found]
        following = find_next_link(link, address)
        if following is None:
            break
        query = dict(pair.split("=") for pair in following.partition("?")[2].split("&"))
    assert ids == [status["id"] for status in TIMELINE]


@pytest.mark.parametrize("column", TEXT_COLUMNS)
def test_each_customary_text_column_is_found(tmp_path, column):
    row = {column: "One line\n\n\n  Two lines  ", "language": "zh-CN", "license": CC0}
    (tmp_path / "a.jsonl").write_text(json.dumps(row, ensure_ascii=False))
    (article,) = read_articles(tmp_path / "a.jsonl")
    assert (article.paragraphs, article.title) == (("One line", "Two lines"), "One line")
    assert (article.lang, article.licence, article.path) == ("zh", CC0, "/text/0000001.html")


@pytest.mark.parametrize("row", [{"text": 5}, {"text": None}, {}, {"TEXT": "a"}])
def test_a_row_without_text_names_the_columns_there_are(tmp_path, row):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "good"}) + "\n" + json.dumps(row))
    with pytest.raises(InputError, match="no text column") as refused:
        read_articles(tmp_path / "a.jsonl")
    assert refused.value.where["columns"] == (", ".join(sorted(row)) or "none")


def test_an_empty_text_is_a_page_with_a_title_of_its_number(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": " \\n "}\n')
    assert [article.title for article in read_articles(tmp_path / "a.jsonl")] == ["a", "Page 2"]


def test_the_summary_counts_what_is_served_and_shows_addresses_that_answer():
    with DemoSite() as site:
        lines = site.summary()
        counts = [int(found) for line in lines for found in re.findall(r"^  \w+ +(\d+)", line)]
        addresses = re.findall(r"http://127\.0\.0\.1:\d+(/\S+)", " ".join(lines))
        statuses = {
            path: site.reply("127.0.0.1", f"{path}?action=query&format=json").status
            for path in addresses
        }
    assert counts[0] == sum(len(found.pages) for found in WIKIS.values())
    assert counts[2] == len(TIMELINE)
    assert len(statuses) == 5
    assert set(statuses.values()) == {200}


def test_hosts_end_in_test_so_that_no_real_site_is_ever_meant():
    assert len(set(HOSTS)) == len(HOSTS) == 4
    assert all(host.endswith(".demo.test") for host in HOSTS)
    assert DOWN.removeprefix("http://") in HOSTS
