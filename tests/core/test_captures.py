"""API answers: one item a page or status, a broken item costs itself, refusals of accounts are read."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.captures.items import BadItem, CaptureItem, ItemEvidence, NoContent
from gristmill.captures.json_answer import UnreadableAnswer
from gristmill.captures.mastodon import iter_mastodon_items, read_mastodon
from gristmill.captures.mediawiki import iter_mediawiki_items, read_mediawiki
from gristmill.captures.registry import FORMATS, find_format

REVISION = {
    "revid": 9,
    "timestamp": "2026-01-01T00:00:00Z",
    "slots": {"main": {"content": "Text."}},
}
PAGE = {"pageid": 3, "title": "A", "fullurl": "https://x/wiki/A", "revisions": [REVISION]}
STATUS = {
    "content": "<p>Hi</p>",
    "url": "https://m.org/@a/1",
    "created_at": "2026-01-01T00:00:00Z",
    "visibility": "public",
    "account": {"url": "https://m.org/@a", "acct": "a", "note": "I write."},
}


def pages(*items):
    return list(iter_mediawiki_items(json.dumps({"query": {"pages": list(items)}}).encode()))


def statuses(*items):
    return list(iter_mastodon_items(json.dumps(list(items)).encode()))


def test_a_page_is_wikitext_with_its_revision_as_evidence():
    assert pages(PAGE) == [
        CaptureItem(
            text="Text.",
            media="wikitext",
            title="A",
            url="https://x/wiki/A",
            published="2026-01-01T00:00:00Z",
            evidence=(ItemEvidence("revision", "9"),),
            identity=("A", "Text."),
        )
    ]


def test_older_answers_hold_the_content_in_the_revision_itself():
    [item] = pages(PAGE | {"revisions": [{"content": "Old."}]})
    assert (item.text, item.evidence, item.published) == ("Old.", (), None)


@pytest.mark.parametrize(
    ("left_out", "url"),
    [
        ((), "https://x/wiki/A"),
        (("fullurl",), "https://c/A"),
        (("fullurl", "canonicalurl"), "page:3"),
    ],
)
def test_the_address_falls_back(left_out, url):
    made = {
        key: value
        for key, value in (PAGE | {"canonicalurl": "https://c/A"}).items()
        if key not in left_out
    }
    assert pages(made)[0].url == url


BROKEN_PAGES = [
    None,
    5,
    "page",
    [],
    PAGE | {"revisions": "x"},
    PAGE | {"title": None},
    PAGE | {"revisions": [{"slots": {"main": {"texthidden": True}}}]},
    PAGE | {"revisions": [None]},
    PAGE | {"revisions": [{"slots": {"main": {"content": None}}}]},
    PAGE | {"revisions": [{"slots": []}]},
]


@pytest.mark.parametrize("number", range(len(BROKEN_PAGES)))
def test_a_broken_page_costs_itself(number):
    found = pages(PAGE, BROKEN_PAGES[number], PAGE)
    assert [isinstance(item, BadItem) for item in found] == [False, True, False]


@pytest.mark.parametrize(
    "page",
    [{}, {"title": "B", "missing": True}, {"pageid": 1, "title": "C"}, PAGE | {"revisions": []}],
)
def test_a_page_told_of_without_its_revision_is_no_content_and_no_fault(page):
    first, found, last = pages(PAGE, page, PAGE)
    assert isinstance(found, NoContent) and first == last


NOT_ANSWERS = [
    b"",
    b"not json",
    b"\xff\xfe",
    b"5",
    b"null",
    b'"text"',
    b"[" * 100_000,
    b'{"query": {"pages": {"1": {}}}}',
]


@pytest.mark.parametrize("body", NOT_ANSWERS, ids=range(len(NOT_ANSWERS)))
def test_what_is_no_answer_is_one_broken_item(body):
    for items in (list(iter_mediawiki_items(body)), list(iter_mastodon_items(body))):
        assert len(items) == 1 and isinstance(items[0], BadItem)


@pytest.mark.parametrize(
    "body", [b"[]", b'{"query": "all"}', b'{"query": []}', b'{"query": {"pages": {"1": {}}}}']
)
def test_a_wiki_answers_an_object_with_a_list_of_pages(body):
    assert [type(item) for item in iter_mediawiki_items(body)] in ([BadItem], [NoContent])
    assert [type(item) for item in iter_mediawiki_items(body)] == [
        NoContent if body == b'{"query": []}' else BadItem
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": "maxlag", "info": "Waiting for 10.0.0.1: 7 seconds lagged."}}',
        b'{"errors": [{"code": "maxlag"}]}',
        b'{"batchcomplete": true}',
        b'{"continue": {"gapcontinue": "B"}, "query": {}}',
        b'{"query": {"pages": []}}',
        b"{}",
    ],
)
def test_an_answer_without_pages_is_no_content_and_no_fault(body):
    [item] = iter_mediawiki_items(body)
    assert isinstance(item, NoContent)


@pytest.mark.parametrize(
    "body", [b'{"error": "This method requires an authenticated user"}', b"[]"]
)
def test_an_answer_without_statuses_is_no_content_and_no_fault(body):
    [item] = iter_mastodon_items(body)
    assert isinstance(item, NoContent)


def test_a_status_has_its_author_address_and_date():
    assert statuses(STATUS) == [
        CaptureItem(
            text="<p>Hi</p>",
            media="status",
            url="https://m.org/@a/1",
            author="https://m.org/@a",
            published="2026-01-01T00:00:00Z",
            identity=("<p>Hi</p>", "2026-01-01T00:00:00Z"),
        )
    ]


@pytest.mark.parametrize(
    "status",
    [
        None,
        1,
        "x",
        [],
        {},
        {"content": "a"},
        {"url": "u"},
        {"content": None, "url": "u"},
        {"content": "a", "url": 5},
    ],
)
def test_a_broken_status_costs_itself(status):
    assert [isinstance(item, BadItem) for item in statuses(STATUS, status, STATUS)] == [
        False,
        True,
        False,
    ]


def test_refusals_of_an_account_are_opt_outs_with_their_evidence():
    account = {"discoverable": False, "note": "<p>#<span>NoBot</span> #nobots</p>"}
    [item] = statuses(STATUS | {"account": account, "visibility": "unlisted"})
    assert item.opt_out == ("nobot", "not-discoverable", "not-indexable")
    assert item.evidence == (
        ItemEvidence("account.discoverable", "false"),
        ItemEvidence("visibility", "unlisted"),
        ItemEvidence("account.note", "#NoBot"),
        ItemEvidence("account.note", "#nobots"),
    )


def test_an_answer_says_how_the_next_pages_are_asked_for():
    answer = read_mediawiki(
        b'{"continue": {"gapcontinue": "B", "continue": 1}, "query": {"pages": [{"title": "A"}]}}'
    )
    assert answer.continuation == {"gapcontinue": "B", "continue": "1"}
    assert answer.pages == ({"title": "A"},) and answer.pages_with_content == ()


def test_the_query_keeps_what_a_wiki_says_of_itself():
    answer = read_mediawiki(b'{"query": {"rightsinfo": {"text": "CC0"}}}')
    assert answer.query == {"rightsinfo": {"text": "CC0"}}
    assert answer.pages == () and answer.error is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error": {"code": "maxlag"}}', "maxlag"),
        (b'{"errors": [{"code": "maxlag"}]}', "unnamed"),
        (b'{"error": {"code": null}}', "unnamed"),
        (b'{"error": "no"}', "unnamed"),
    ],
)
def test_the_error_of_a_server_has_its_code(body, code):
    assert read_mediawiki(body).error == code
    assert read_mastodon(body).error == code


def test_a_timeline_keeps_its_broken_statuses_as_they_came():
    assert read_mastodon(b'[{"id": "1"}, null, 5]').statuses == ({"id": "1"}, None, 5)


@pytest.mark.parametrize("read", [read_mediawiki, read_mastodon])
def test_what_is_not_utf8_json_is_unreadable(read):
    with pytest.raises(UnreadableAnswer, match="not JSON"):
        read("[]".encode("utf-16"))


def test_every_format_is_in_the_registry_by_its_name():
    assert [format.name for format in FORMATS] == ["mediawiki-api", "mastodon-api"]
    assert all(find_format(format.name) is format for format in FORMATS)
    assert find_format("html") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "query",
                    "pages",
                    "revisions",
                    "slots",
                    "main",
                    "content",
                    "title",
                    "url",
                    "account",
                    "note",
                    "visibility",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(value=JSON)
def test_any_json_gives_items_or_reasons(value):
    body = json.dumps(value).encode()
    for item in [
        *iter_mediawiki_items(body),
        *iter_mastodon_items(body),
        *pages(value),
        *statuses(value),
    ]:
        assert isinstance(item, (BadItem, NoContent)) or (
            isinstance(item.text, str) and isinstance(item.url, str)
        )
