"""The demo site: three kinds of source on one port, the same bytes every time, every planted case in its place."""

import http.client
import json
import re
import subprocess
import urllib.request
from collections import Counter
from urllib.parse import urlencode, urlsplit

import processes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parsel import Selector

from crawlers.demo.pages import planted
from crawlers.demo.site import HOSTS, NEWS, PLANTED, SOCIAL, DemoSite
from crawlers.rights import judge, page_signals, status_signals
from crawlers.sources.mediawiki import make_page_query, make_site_query
from crawlers.sources.readers import find_next_link, find_sitemap_urls, read_feed, read_sitemap
from gristmill.captures.mediawiki import read_mediawiki
from gristmill.errors import InputError
from gristmill.rights.policy import POLICIES


def get(site, target: str, host: str | None = None):
    """GET over the wire; with `host` as a client that takes the site for its proxy."""
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=10)
    try:
        connection.request("GET", f"http://{host}{target}" if host else target)
        answer = connection.getresponse()
        return (
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read(),
        )
    finally:
        connection.close()


def ask_wiki(site, path: str = "/wiki/api.php", **query: str):
    return json.loads(get(site, f"{path}?{urlencode(query)}")[2])


def test_the_wiki_pages_come_in_batches_until_there_is_no_cursor(site):
    query, titles, calls = make_page_query(None, 20), [], 0
    while True:
        batch = read_mediawiki(get(site, f"/wiki/api.php?{urlencode(query)}")[2])
        titles += [page["title"] for page in batch.pages_with_content]
        calls += 1
        if not batch.continuation:
            break
        query = {**query, **batch.continuation}
    assert calls == 3 and len(titles) == len(set(titles)) == 54
    assert titles == sorted(titles) and "Millbrook" in titles and "Old Millbrook" not in titles


def test_category_members_are_those_of_the_category(site):
    found = ask_wiki(
        site,
        action="query",
        format="json",
        generator="categorymembers",
        gcmtitle="Category:Places",
        gcmlimit="max",
        prop="info",
    )
    titles = {page["title"] for page in found["query"]["pages"]}
    assert {
        "Millbrook",
        "Carrow",
        "Old Millbrook",
        "Weir Lane",
        "Millbrook (town)",
    } <= titles and len(titles) == 16


def test_a_batch_never_holds_more_than_fifty_pages(site):
    found = ask_wiki(
        site,
        "/zh/wiki/api.php",
        action="query",
        format="json",
        generator="allpages",
        gaplimit="500",
    )
    assert len(found["query"]["pages"]) == 50 and found["continue"]["gapcontinue"]


def test_a_page_has_a_revision_id_its_text_and_its_address(site):
    found = ask_wiki(site, **make_page_query("Category:Places", 50))
    page = next(page for page in found["query"]["pages"] if page["title"] == "Saint Orme")
    assert page["fullurl"] == f"{site.url}/wiki/Saint_Orme" and page["pagelanguage"] == "en"
    revision = page["revisions"][0]
    assert revision["revid"] == page["lastrevid"] > revision["parentid"]
    text = revision["slots"]["main"]["content"]
    assert all(
        mark in text
        for mark in (
            "{{Infobox town",
            "'''Saint Orme'''",
            "<ref",
            "== History ==",
            "{| class",
            "[[Category:Places]]",
            "{{reflist}}",
            "<!--",
        )
    )


def test_the_wiki_states_its_licence(site):
    assert ask_wiki(site, **make_site_query())["query"]["rightsinfo"]["url"].startswith(
        "https://creativecommons.org/publicdomain/zero/"
    )


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"action": "parse", "format": "json"}, "badvalue"),
        ({"action": "query", "format": "xml"}, "badvalue"),
        ({"action": "query", "format": "json", "generator": "random"}, "badvalue"),
    ],
)
def test_what_the_wiki_cannot_do_it_says_as_mediawiki_does(site, query, code):
    assert ask_wiki(site, **query)["error"]["code"] == code


def test_the_timeline_is_paged_by_its_link_header_newest_first(site):
    target, found, pages = "/api/v1/timelines/public?limit=40", [], 0
    while target:
        _, headers, body = get(site, target)
        found += json.loads(body)
        pages += 1
        following = find_next_link(headers.get("link", ""), site.url)
        target = following.removeprefix(site.url) if following else None
    ids = [int(status["id"]) for status in found]
    assert pages == 4 and ids == sorted(ids, reverse=True) and len(set(ids)) == len(ids) == 160


def test_no_page_of_the_timeline_is_longer_than_forty_and_beyond_the_end_it_is_empty(site):
    assert len(json.loads(get(site, "/api/v1/timelines/public?limit=900")[2])) == 40
    status, headers, body = get(site, "/api/v1/timelines/public?max_id=1")
    assert (status, body, "link" in headers) == (200, b"[]", False)


def test_a_cursor_that_is_no_number_is_a_bad_request(site):
    assert get(site, "/api/v1/timelines/public?max_id=x")[0] == 400


def test_robots_sitemaps_and_feeds_lead_to_articles(site):
    robots = get(site, "/robots.txt", "news.demo.test")[2].decode()
    (index,) = find_sitemap_urls(robots, NEWS)
    children = [
        url for url, _ in read_sitemap(get(site, urlsplit(index).path, "news.demo.test")[2]).entries
    ]
    urls = [
        url
        for child in children
        for url, _ in read_sitemap(get(site, urlsplit(child).path, "news.demo.test")[2]).entries
    ]
    feeds = [
        url
        for path in ("/feed.xml", "/atom.xml")
        for url in read_feed(get(site, path, "news.demo.test")[2], NEWS)
    ]
    assert len(feeds) == 40 and set(feeds) <= set(urls)
    assert len(set(urls)) > 250 and all(url.startswith(NEWS) for url in urls)


def test_an_article_looks_like_one_of_the_web(site):
    url = read_feed(get(site, "/feed.xml", "news.demo.test")[2], NEWS)[0]
    html = get(site, urlsplit(url).path, "news.demo.test")[2].decode()
    parts = (
        '<link rel="canonical"',
        '<link rel="license"',
        "application/ld+json",
        '"datePublished"',
        "<nav>",
        'class="cookie"',
        'class="sidebar"',
        "<footer>",
        "<article>",
        "<time datetime",
    )
    assert [part for part in parts if part not in html] == []
    assert url in html


def test_asked_directly_the_links_lead_to_the_port_and_through_a_proxy_to_the_logical_hosts(site):
    assert f"Sitemap: {site.url}/sitemap.xml" in get(site, "/robots.txt")[2].decode()
    assert f"Sitemap: {NEWS}/sitemap.xml" in get(site, "/robots.txt", "news.demo.test")[2].decode()


def test_the_bytes_are_the_same_from_every_instance_and_port(site):
    with DemoSite() as other:
        for host in HOSTS:
            for target in (
                "/sitemap-planted.xml",
                "/api/v1/timelines/public",
                "/planted/contact-zh.html",
                f"/wiki/api.php?{urlencode(make_page_query(None))}",
            ):
                assert get(site, target, host)[2] == get(other, target, host)[2]


def test_enough_text_is_served_to_train_on(site):
    sizes = Counter()
    for path, reply in site._pages.items():
        if path.startswith(("/news/", "/letters/", "/handbook/")):
            sizes["text"] += sum(len(text) for text in re.findall(rb"<p>(.*?)</p>", reply.body))
    assert 600_000 < sizes["text"] < 1_500_000


def test_every_planted_name_is_unique_and_every_reason_is_there():
    assert (
        len({case.name for case in PLANTED})
        == len({case.locator for case in PLANTED})
        == len(PLANTED)
    )
    wanted = {
        "exact_duplicate",
        "near_duplicate",
        "opt_out",
        "too_short",
        "gopher",
        "language",
        "pii",
        "extraction_failed",
        "bad_charset",
        "http_404",
        "http_500",
        "robots",
        "dataloss",
        "redirect",
    }
    assert wanted <= {case.outcome for case in PLANTED}


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in PLANTED
        if case.source == "demo-news"
        and case.name not in ("missing", "broken", "cut_off", "busy", "redirected")
    ],
    ids=lambda case: case.name,
)
def test_every_planted_news_page_is_served_where_the_table_says(site, case):
    status, _, _ = get(site, urlsplit(case.locator).path, "news.demo.test")
    assert status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/planted/missing.html", 404),
        ("/planted/server-error.html", 500),
        ("/planted/moved.html", 301),
        ("/nowhere", 404),
    ],
)
def test_broken_pages_answer_as_planted(site, path, status):
    assert get(site, path, "news.demo.test")[0] == status


def test_a_page_that_is_cut_off_promises_more_than_it_sends(site):
    with pytest.raises(http.client.IncompleteRead):
        get(site, "/planted/cut-off.html", "news.demo.test")


def test_a_busy_page_says_when_to_come_back_and_then_answers():
    with DemoSite() as fresh:
        first, second = get(fresh, "/planted/busy.html"), get(fresh, "/planted/busy.html")
    assert (first[0], first[1]["retry-after"], second[0]) == (429, "1", 200)


def test_the_robots_txt_of_the_host_that_is_down_fails(site):
    assert get(site, "/robots.txt", "down.demo.test")[0] == 503


@pytest.mark.parametrize(
    "case",
    [case for case in PLANTED if case.source == "demo-news" and case.outcome == "opt_out"],
    ids=lambda case: case.name,
)
def test_every_planted_opt_out_page_is_judged_as_one(site, case):
    _, headers, body = get(site, urlsplit(case.locator).path, "news.demo.test")
    signals = page_signals(
        {name: [value] for name, value in headers.items()}, Selector(text=body.decode())
    )
    assert judge(signals, POLICIES["strict-eu"]).refused == "opt_out"


def test_exactly_the_planted_statuses_opt_out(site):
    opted = {
        s["url"] for s in site._timeline if judge(status_signals(s), POLICIES["strict-eu"]).refused
    }
    assert opted == {
        case.locator
        for case in PLANTED
        if case.source == "demo-social" and case.outcome == "opt_out"
    }


def test_every_planted_status_and_wiki_page_is_there(site):
    urls = {status["url"] for status in site._timeline}
    assert {case.locator for case in PLANTED if case.source == "demo-social"} <= urls
    found = ask_wiki(site, **make_page_query("Category:Places", 50))["query"]["pages"]
    wiki = {page["fullurl"].replace(site.url, "http://wiki.demo.test") for page in found}
    assert {case.locator for case in PLANTED if case.source == "demo-wiki-en"} <= wiki


def article(site, url: str) -> str:
    """The prose of a page of the news site, byline left out."""
    html = (
        get(site, urlsplit(url).path, "news.demo.test")[2]
        .decode()
        .split("<article>")[1]
        .split("</article>")[0]
    )
    return " ".join(re.findall(r"<p>(.*?)</p>", html))


def shingles(words: list[str]) -> set[str]:
    return {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}


COPIES = [case for case in PLANTED if case.original and case.source == "demo-news"]


@pytest.mark.parametrize("case", COPIES, ids=lambda case: case.name)
def test_copies_equal_their_originals_and_near_copies_nearly(site, case):
    copy, original = article(site, case.locator), article(site, case.original)
    parts = list if "zh" in case.name else str.split
    a, b = shingles(parts(copy)), shingles(parts(original))
    similarity = len(a & b) / len(a | b)
    assert (
        (copy == original and similarity == 1)
        if case.outcome == "exact_duplicate"
        else 0.85 < similarity < 1
    )


def test_no_two_statuses_are_equal_but_the_planted_repost_and_its_original(site):
    contents = Counter(status["content"] for status in site._timeline)
    twice = [content for content, count in contents.items() if count > 1]
    repost = next(case for case in PLANTED if case.name == "repost")
    assert {status["url"] for status in site._timeline if status["content"] in twice} == {
        repost.locator,
        repost.original,
    }


def test_the_planted_resident_id_has_a_valid_check_digit_and_a_birthday_in_the_future():
    assert (
        planted.add_check_digit("11010519491231002") == "11010519491231002X"
    )  # the example of the standard GB 11643
    assert (
        planted.RESIDENT_ID[6:10] == "2089"
        and planted.add_check_digit(planted.RESIDENT_ID[:17]) == planted.RESIDENT_ID
    )


def test_any_parquet_or_jsonl_is_served_as_pages(tmp_path):
    rows = [
        {
            "text": f"First line {n}\n\nSecond <b>line</b> {n}",
            "title": f"QueuedRequest {n}",
            "lang": "en",
        }
        for n in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps({"content": row["text"]}) for row in rows)
    )
    for name, title in (("a.parquet", "QueuedRequest 2"), ("a.jsonl", "First line 2")):
        with DemoSite(text=tmp_path / name) as site:
            html = get(site, "/text/0000003.html", "news.demo.test")[2].decode()
            assert f"<h1>{title}</h1>" in html and "<p>Second &lt;b&gt;line&lt;/b&gt; 2</p>" in html
            assert any(
                b"/text/0000001.html" in reply.body
                for path, reply in site._pages.items()
                if path.startswith("/sitemap-")
            )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"words": 1}\n', "no text column"),
        ('{"text": "a"}\nnot json\n', "not JSON"),
        ("[1]\n", "not a JSON object"),
    ],
)
def test_a_file_that_cannot_be_served_is_refused(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(InputError, match=message):
        DemoSite(text=tmp_path / "a.jsonl")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="file not found"):
        DemoSite(text=tmp_path / "none.parquet")


def test_the_command_prints_its_address_and_what_it_serves(repository, environment, command):
    process = processes.Popen(
        [*command, "demo-site"],
        cwd=repository,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = process.stdout.readline().strip()
        assert urllib.request.urlopen(f"{url}/robots.txt", timeout=10).status == 200
    finally:
        process.terminate()
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert [line.split()[0] for line in told.splitlines()] == [
        "demo",
        "wiki",
        "news",
        "social",
        "planted",
        "to",
        "to",
    ]
    assert f"{url}/wiki/api.php" in told
    assert "gristmill crawl --config configs/crawl/demo.toml   (" in told
    assert "Ctrl-C" in told
    assert "crawlers." not in told


def test_statuses_of_the_social_host_name_it(site):
    assert json.loads(get(site, "/api/v1/timelines/public?limit=1", "social.demo.test")[2])[0][
        "url"
    ].startswith(SOCIAL)
