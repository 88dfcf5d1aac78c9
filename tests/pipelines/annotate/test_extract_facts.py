"""What a page says of itself: each fact where pages put it, none where they say nothing, and no address for a name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.extract.main_text import parse_html
from pipelines.annotate.extract.page_facts import PageFacts, read_page_facts


def facts(html, url=None):
    return read_page_facts(parse_html(html), url, html)


def head(inner, rest="<p>Text.</p>"):
    return f"<html><head>{inner}</head><body>{rest}</body></html>"


def test_a_page_that_says_nothing_has_no_facts():
    assert (
        facts("<html><body><p>Some text without anything of the kind.</p></body></html>")
        == PageFacts()
    )


@pytest.mark.parametrize(
    ("inner", "title"),
    [
        ("<title>The mill</title>", "The mill"),
        (
            '<title>Site</title><meta property="og:title" content="The  mill\n turns">',
            "The mill turns",
        ),
        ('<meta name="DC.Title" content="磨坊">', "磨坊"),
        (
            '<script type="application/ld+json">{"@type": "NewsArticle", "headline": "Mill"}</script>',
            "Mill",
        ),
        ('<meta property="og:title" content="  "><title>Kept</title>', "Kept"),
    ],
)
def test_the_title_is_what_the_page_states_first(inner, title):
    assert facts(head(inner)).title == title


def linked(author):
    return f'<script type="application/ld+json">{{"@type": "BlogPosting", "author": {author}}}</script>'


@pytest.mark.parametrize(
    ("inner", "author"),
    [
        ('<meta name="author" content="Ada Miller">', "Ada Miller"),
        ('<meta property="article:author" content="https://social.example.org/ada">', None),
        (linked('{"@type": "Person", "name": "Ada Miller"}'), "Ada Miller"),
        (linked('[{"name": "Ada"}, {"name": "李雷"}, {"name": "Ada"}]'), "Ada; 李雷"),
        (linked('"Ada Miller"'), "Ada Miller"),
        (linked("[null, 7, {}, []]"), None),
        (linked('{"name": ["Ada"]}'), None),
    ],
)
def test_the_author_is_a_name_and_never_an_address(inner, author):
    assert facts(head(inner)).author == author


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ('<html lang="en"><p>x', "en"),
        ('<html lang="DE-at"><p>x', "de"),
        ('<html lang="zh-hant-TW"><p>x', "zh-Hant"),
        ('<html lang="pt_BR"><p>x', "pt"),
        ('<html><meta http-equiv="Content-Language" content="fr, en"><p>x', "fr"),
        ('<html><meta property="og:locale" content="ja_JP"><p>x', "ja"),
        ('<html lang=""><p>x', None),
        ('<html lang="english please"><p>x', None),
    ],
)
def test_the_language_is_the_tag_that_the_page_states(html, language):
    assert facts(html).language == language


@pytest.mark.parametrize(
    ("html", "date"),
    [
        (
            head('<meta property="article:published_time" content="2024-05-06T07:08:09Z">'),
            "2024-05-06",
        ),
        (head("", '<p>x</p><time datetime="2021-02-03">3 February</time>'), "2021-02-03"),
        (
            head('<script type="application/ld+json">{"datePublished": "2019-08-07"}</script>'),
            "2019-08-07",
        ),
        (head(""), None),
    ],
)
def test_the_date_is_stated_not_guessed(html, date):
    assert facts(html).date == date


def test_the_address_may_state_the_date():
    assert facts(head(""), "https://news.example.org/2020/03/04/mill.html").date == "2020-03-04"


CC = "https://creativecommons.org/licenses/by-sa/4.0/"


@pytest.mark.parametrize(
    ("html", "licence"),
    [
        (head(f'<link rel="license" href="{CC}">'), "CC-BY-SA-4.0"),
        (head(f'<link rel="licensed" href="{CC}">'), "unknown"),
        (head("", f'<p>x</p><link rel="license" href="{CC}">'), "unknown"),
        (head("", f'<p>x</p><a rel="nofollow license" href="{CC}">here</a>'), "CC-BY-SA-4.0"),
        (head("", '<p>x</p><a rel="license" href="/licence">CC BY 4.0</a>'), "CC-BY-4.0"),
        (head("", f'<p>quoting <a href="{CC}">a licence</a></p>'), "unknown"),
        (head("", f'<p>x</p><footer><a href="{CC}">terms</a></footer>'), "CC-BY-SA-4.0"),
        (
            head("", f'<p>x</p><div class="page-footer"><a href="{CC}">terms</a></div>'),
            "CC-BY-SA-4.0",
        ),
        (
            head(
                "",
                '<footer><a href="https://creativecommons.org/publicdomain/zero/1.0/">CC0</a></footer>',
            ),
            "CC0-1.0",
        ),
    ],
)
def test_a_licence_is_marked_as_such_or_stands_at_the_foot(html, licence):
    assert facts(html).licence == licence


@settings(max_examples=100, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["@type", "@graph", "author", "name", "headline"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
)
def test_any_linked_data_is_read_without_an_exception(value):
    import json

    data = json.dumps(value).replace("<", "\\u003c")
    assert isinstance(facts(head(f'<script type="application/ld+json">{data}</script>')), PageFacts)


@pytest.mark.parametrize("data", ["[" * 200_000, '{"a":' * 200_000, "{", "", "nul"])
def test_broken_linked_data_is_passed_over(data):
    assert (
        facts(head(f'<title>Kept</title><script type="application/ld+json">{data}</script>')).title
        == "Kept"
    )


def test_reading_facts_leaves_the_tree_as_it_was():
    from lxml import etree

    html = head(
        f'<title>T</title><link rel="license" href="{CC}">',
        "<nav>n</nav><time datetime='2020-01-01'>x</time>",
    )
    tree = parse_html(html)
    before = etree.tostring(tree)
    read_page_facts(tree, "https://x.org/", html)
    assert etree.tostring(tree) == before
