"""Rights: what is read from headers, pages and statuses, and how it is judged under each policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsel import Selector

from crawlers.rights import (
    RightsSignal,
    judge,
    page_signals,
    parse_licence,
    rightsinfo_signals,
    status_signals,
)
from gristmill.rights.policy import OPT_OUTS, POLICIES

STRICT, RESEARCH, OPEN = (POLICIES[name] for name in ("strict-eu", "research", "open-licence-only"))
BY = "https://creativecommons.org/licenses/by/4.0/"
ND = "https://creativecommons.org/licenses/by-nd/4.0/"


@pytest.mark.parametrize(
    ("signals", "policy", "licence", "opt_out", "refused"),
    [
        ([], STRICT, "unknown", (), None),
        ([], RESEARCH, "unknown", (), None),
        ([], OPEN, "unknown", (), "licence"),
        ([("X-Robots-Tag", "noai")], STRICT, "unknown", ("noai",), "opt_out"),
        ([("X-Robots-Tag", "noai")], RESEARCH, "unknown", ("noai",), None),
        ([("X-Robots-Tag", "noimageai")], STRICT, "unknown", (), None),
        ([("X-Robots-Tag", "noindex, NoAI")], STRICT, "unknown", ("noai", "noindex"), "opt_out"),
        ([("X-Robots-Tag", "none")], STRICT, "unknown", ("noindex",), "opt_out"),
        ([("X-Robots-Tag", "googlebot: noindex")], STRICT, "unknown", (), None),
        ([("X-Robots-Tag", "gristmill: noindex")], STRICT, "unknown", ("noindex",), "opt_out"),
        ([("X-Robots-Tag", "googlebot: nofollow, otherbot: noai")], STRICT, "unknown", (), None),
        (
            [("X-Robots-Tag", "unavailable_after: 25 Jun 2030, noai")],
            STRICT,
            "unknown",
            ("noai",),
            "opt_out",
        ),
        ([("meta robots", "index, follow")], STRICT, "unknown", (), None),
        ([("meta robots", "noai, noimageai")], STRICT, "unknown", ("noai",), "opt_out"),
        ([("meta robots", "notrain")], STRICT, "unknown", ("notrain",), "opt_out"),
        ([("tdm-reservation header", "1")], STRICT, "unknown", ("tdm-reservation",), "opt_out"),
        ([("tdm-reservation header", "0")], STRICT, "unknown", (), None),
        ([("meta tdm-reservation", "1")], STRICT, "unknown", ("tdm-reservation",), "opt_out"),
        (
            [("tdm-reservation header", "0"), ("meta tdm-reservation", "1")],
            STRICT,
            "unknown",
            (),
            None,
        ),
        ([("json-ld isAccessibleForFree", "False")], STRICT, "unknown", ("paywall",), "opt_out"),
        ([("json-ld isAccessibleForFree", "true")], STRICT, "unknown", (), None),
        ([("Content-Usage", "train-ai=n, search=y")], STRICT, "unknown", ("notrain",), "opt_out"),
        ([("Content-Usage", "train-ai=y")], STRICT, "unknown", (), None),
        (
            [("robots.txt use", "search=yes, ai-train=no")],
            STRICT,
            "unknown",
            ("notrain",),
            "opt_out",
        ),
        ([("robots.txt use", "ai-train=now")], STRICT, "unknown", (), None),
        ([("robots.txt for AI", "gptbot, ccbot")], STRICT, "unknown", ("noai",), "opt_out"),
        ([("ai.txt", "Disallow")], RESEARCH, "unknown", ("noai",), None),
        (
            [("tdmrep.json tdm-reservation", "1")],
            STRICT,
            "unknown",
            ("tdm-reservation",),
            "opt_out",
        ),
        (
            [("tdmrep.json tdm-reservation", "1"), ("tdm-reservation header", "0")],
            STRICT,
            "unknown",
            (),
            None,
        ),
        ([("mastodon", "nobot")], STRICT, "unknown", ("nobot",), "opt_out"),
        ([("rel=license", BY)], STRICT, "CC-BY-4.0", (), None),
        ([("rel=license", BY)], OPEN, "CC-BY-4.0", (), None),
        ([("rel=license", BY), ("X-Robots-Tag", "noai")], OPEN, "CC-BY-4.0", ("noai",), "opt_out"),
        ([("rel=license", ND)], OPEN, "CC-BY-ND-4.0", (), "licence"),
        ([("rel=license", ND)], STRICT, "CC-BY-ND-4.0", (), None),
        ([("rel=license", BY), ("rel=license", ND)], STRICT, "unknown", (), None),
        ([("rel=license", BY), ("json-ld license", ND)], STRICT, "CC-BY-4.0", (), None),
        ([("rel=license", "/terms"), ("json-ld license", ND)], STRICT, "CC-BY-ND-4.0", (), None),
        ([("footer link", BY)], STRICT, "CC-BY-4.0", (), None),
        (
            [("rightsinfo", "https://creativecommons.org/licenses/by-sa/4.0/deed.en")],
            OPEN,
            "CC-BY-SA-4.0",
            (),
            None,
        ),
    ],
)
def test_judge_says_what_the_licence_is_what_was_refused_and_whether_the_policy_heeds_it(
    signals, policy, licence, opt_out, refused
):
    evidence = tuple(RightsSignal(*pair) for pair in signals)
    verdict = judge(evidence, policy)
    assert (verdict.licence, verdict.opt_out, verdict.refused) == (licence, opt_out, refused)
    assert verdict.evidence == evidence


@given(
    st.lists(
        st.builds(
            RightsSignal,
            st.sampled_from(
                ["X-Robots-Tag", "meta robots", "mastodon", "rel=license", "footer link"]
            ),
            st.text(),
        )
    )
)
def test_judge_never_fails_and_never_invents_a_refusal(signals):
    verdict = judge(signals, STRICT)
    assert set(verdict.opt_out) <= set(OPT_OUTS)
    assert (verdict.refused == "opt_out") == bool(verdict.opt_out)


def test_everything_a_page_says_about_its_use_is_read_in_order(saved):
    headers = {
        "x-robots-tag": ["noarchive"],
        "tdm-reservation": ["1"],
        "tdm-policy": ["https://example.org/p.json"],
        "link": ['<https://spdx.org/licenses/MIT>; rel="license"'],
    }
    assert [
        signal.as_dict()
        for signal in page_signals(headers, Selector(text=saved("article_licensed.html").decode()))
    ] == [
        {"signal": "X-Robots-Tag", "value": "noarchive"},
        {"signal": "tdm-reservation header", "value": "1"},
        {"signal": "tdm-policy header", "value": "https://example.org/p.json"},
        {"signal": "rel=license", "value": "https://spdx.org/licenses/MIT"},
        {"signal": "meta robots", "value": "max-image-preview:large, NOAI"},
        {"signal": "meta tdm-reservation", "value": "0"},
        {"signal": "rel=license", "value": "https://creativecommons.org/licenses/by/3.0/"},
        {"signal": "json-ld license", "value": "https://creativecommons.org/licenses/by/3.0/"},
        {"signal": "json-ld isAccessibleForFree", "value": "False"},
        {"signal": "footer link", "value": "https://creativecommons.org/licenses/by/4.0/"},
    ]


def test_a_directive_with_a_value_is_not_taken_for_an_agent(saved):
    verdict = judge(
        page_signals({}, Selector(text=saved("article_licensed.html").decode())), STRICT
    )
    assert (verdict.licence, verdict.opt_out) == ("CC-BY-3.0", ("noai", "paywall"))


def test_headers_speak_where_there_is_no_page():
    headers = {"x-robots-tag": ["noai"], "content-usage": ["train-ai=n"]}
    assert page_signals(headers, None) == (
        RightsSignal("X-Robots-Tag", "noai"),
        RightsSignal("Content-Usage", "train-ai=n"),
    )
    assert page_signals({}, None) == ()


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<",
        "\x00<html>",
        "<html><script type='application/ld+json'>[1, null]</script>",
        "<p>" * 300,
    ],
)
def test_broken_pages_say_nothing(html):
    assert page_signals({}, Selector(text=html)) == ()


@given(st.text())
def test_any_text_can_be_read_as_a_page(html):
    page_signals({}, Selector(text=html))


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("https://spdx.org/licenses/PSF-2.0.html", "PSF-2.0"),
        ("http://spdx.org/licenses/MIT", "MIT"),
        ("https://spdx.org/licenses/", "unknown"),
        (BY, "CC-BY-4.0"),
        ("", "unknown"),
    ],
)
def test_a_licence_is_named_by_its_address(text, licence):
    assert parse_licence(text) == licence


@pytest.mark.parametrize(
    ("status", "opt_out"),
    [
        ({"account": {"discoverable": True}, "visibility": "public"}, ()),
        ({"account": {"noindex": True, "note": "#noindex #nobot"}}, ("noindex", "nobot")),
        ({"account": {}, "visibility": "unlisted"}, ("not-indexable",)),
    ],
)
def test_refusals_of_a_status_are_judged_each_once(status, opt_out):
    signals = status_signals(status)
    assert judge(signals, STRICT).opt_out == opt_out and len(signals) == len(opt_out)


@pytest.mark.parametrize(
    ("query", "licence"),
    [
        (
            {
                "rightsinfo": {
                    "url": "https://creativecommons.org/licenses/by-sa/4.0/",
                    "text": "CC BY-SA",
                }
            },
            "CC-BY-SA-4.0",
        ),
        (
            {"rightsinfo": {"url": "", "text": "Creative Commons Attribution-ShareAlike 4.0"}},
            "CC-BY-SA-4.0",
        ),
        ({"rightsinfo": {"url": "", "text": ""}}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_a_wiki_states_its_licence_in_rightsinfo(query, licence):
    assert judge(rightsinfo_signals(query), STRICT).licence == licence
