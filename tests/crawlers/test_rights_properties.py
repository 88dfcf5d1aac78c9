"""Rights, whatever a source writes: a refusal is never missed, never invented, and the order of words changes nothing."""

import json
from html import escape

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from parsel import Selector

from crawlers.rights import RightsSignal, judge, page_signals
from gristmill.rights.policy import POLICIES

STRICT, RESEARCH, OPEN = (POLICIES[name] for name in ("strict-eu", "research", "open-licence-only"))
REFUSALS = {
    "noai": "noai",
    "noml": "noai",
    "notrain": "notrain",
    "notraining": "notrain",
    "noindex": "noindex",
    "none": "noindex",
}
HARMLESS = [
    "index",
    "follow",
    "nofollow",
    "noarchive",
    "nosnippet",
    "noimageai",
    "max-snippet:20",
    "all",
    "noaifoo",
]
LICENCES = {
    "https://creativecommons.org/licenses/by/4.0/": "CC-BY-4.0",
    "https://creativecommons.org/licenses/by-sa/3.0/": "CC-BY-SA-3.0",
    "https://spdx.org/licenses/MIT": "MIT",
    "/terms": "unknown",
}
WORDS = st.lists(st.sampled_from([*REFUSALS, *HARMLESS]), min_size=1, max_size=6)


def spelled(draw: st.DrawFn, word: str) -> str:
    """A directive as people write it: any case, any spaces."""
    case = draw(st.sampled_from([str.lower, str.upper, str.title]))
    pad = draw(st.sampled_from(["", " ", "  "]))
    return f"{pad}{case(word)}{pad}"


@given(st.data(), WORDS, st.sampled_from(["X-Robots-Tag", "meta robots"]))
def test_a_refusal_is_found_in_any_spelling_and_place(data, words, where):
    text = ",".join(spelled(data.draw, word) for word in words)
    wanted = {REFUSALS[word] for word in words if word in REFUSALS}
    assert set(judge([RightsSignal(where, text)], STRICT).opt_out) == wanted


@given(WORDS, st.sampled_from(["googlebot", "otherbot", "gpt-bot"]))
def test_what_concerns_another_agent_does_not_concern_us(words, agent):
    assume(not any(":" in word for word in words))
    listed = ", ".join(words)
    assert judge([RightsSignal("X-Robots-Tag", f"{agent}: {listed}")], STRICT).opt_out == ()
    ours = judge(
        [RightsSignal("X-Robots-Tag", f"{agent}: {listed}, gristmill: {listed}")], STRICT
    ).opt_out
    assert ours == judge([RightsSignal("X-Robots-Tag", listed)], STRICT).opt_out


@given(WORDS, st.permutations(["X-Robots-Tag", "meta robots", "mastodon", "rel=license"]))
def test_the_order_of_signals_changes_no_judgement(words, names):
    signals = [RightsSignal(name, ",".join(words)) for name in names]
    one, other = judge(signals, STRICT), judge(signals[::-1], STRICT)
    assert (one.licence, one.opt_out, one.refused) == (other.licence, other.opt_out, other.refused)


@given(WORDS)
def test_a_policy_changes_what_is_refused_and_never_what_is_recorded(words):
    signals = [RightsSignal("X-Robots-Tag", ",".join(words))]
    strict, research, open_ = (judge(signals, policy) for policy in (STRICT, RESEARCH, OPEN))
    assert strict.opt_out == research.opt_out == open_.opt_out
    assert research.refused is None
    assert strict.refused == ("opt_out" if strict.opt_out else None)
    assert open_.refused == ("opt_out" if strict.opt_out else "licence")


@given(st.lists(st.sampled_from(sorted(LICENCES)), min_size=1, max_size=4))
def test_statements_of_one_kind_must_agree(urls):
    named = {LICENCES[url] for url in urls} - {"unknown"}
    verdict = judge([RightsSignal("rel=license", url) for url in urls], STRICT)
    assert verdict.licence == (named.pop() if len(named) == 1 else "unknown")


@given(
    st.sampled_from(sorted(LICENCES)),
    st.sampled_from(sorted(LICENCES)),
    st.sampled_from(sorted(LICENCES)),
)
def test_a_stronger_kind_of_statement_wins(of_page, of_metadata, of_footer):
    tiers = [("footer link", of_footer), ("json-ld license", of_metadata), ("rel=license", of_page)]
    found = judge([RightsSignal(*pair) for pair in tiers], STRICT).licence
    named = [
        LICENCES[url] for url in (of_page, of_metadata, of_footer) if LICENCES[url] != "unknown"
    ]
    assert found == (named[0] if named else "unknown")


@given(
    st.lists(st.sampled_from(sorted(LICENCES)), max_size=3),
    st.lists(st.sampled_from(["noai", "noindex", "index"]), max_size=3),
    st.booleans(),
    st.one_of(st.none(), st.sampled_from([True, False, "False", "true"])),
    st.text(max_size=30),
)
def test_a_page_is_read_for_exactly_what_it_says(licences, robots, reserved, free, title):
    linked = {
        "@graph": [
            {"@type": "NewsArticle", **({} if free is None else {"isAccessibleForFree": free})}
        ]
    }
    html = "".join(
        [
            f"<html><head><title>{escape(title)}</title>",
            *(f'<link rel="license" href="{url}">' for url in licences),
            *(f'<META NAME="Robots" CONTENT="{word}">' for word in robots),
            '<meta name="tdm-reservation" content="1">' if reserved else "",
            f'<script type="application/ld+json">{json.dumps(linked)}</script></head><body>',
            f"<p>{escape(title)}</p></body></html>",
        ]
    )
    wanted = {("rel=license", url) for url in licences} | {("meta robots", word) for word in robots}
    wanted |= {("meta tdm-reservation", "1")} if reserved else set()
    wanted |= set() if free is None else {("json-ld isAccessibleForFree", str(free))}
    assert {
        (signal.signal, signal.value) for signal in page_signals({}, Selector(text=html))
    } == wanted


@pytest.mark.parametrize(
    ("header", "urls"),
    [
        ('<https://a.example/l>; rel="license"', ["https://a.example/l"]),
        ("<https://a.example/l>; rel=license", ["https://a.example/l"]),
        ('<https://a.example/l>; title="x"; rel="license"', ["https://a.example/l"]),
        (
            '</style.css>; rel="stylesheet", <https://a.example/l>; rel="license"',
            ["https://a.example/l"],
        ),
        ('<https://a.example/l>; rel="next license"', ["https://a.example/l"]),
        ('<https://a.example/l>; rel="licensed"', []),
        ("<https://a.example/l>; rel=licensed", []),
        ("<https://a.example/l>; rel=license-of-images", []),
        ('<https://a.example/l>; rel="next"', []),
        ("license", []),
    ],
)
def test_a_link_header_names_a_licence(header, urls):
    found = page_signals({"link": [header]}, None)
    assert [signal.value for signal in found if signal.signal == "rel=license"] == urls


@pytest.mark.parametrize(
    "html",
    [
        '<script type="application/ld+json">{"image": {"license": "https://spdx.org/licenses/MIT"}}</script>',
        '<article><a href="https://creativecommons.org/licenses/by/4.0/">a picture</a></article>',
        '<!-- <meta name="robots" content="noai"> -->',
        '<meta name="description" content="noai">',
        '<meta property="robots">',
        "<p>&lt;meta name=robots content=noai&gt;</p>",
    ],
)
def test_what_does_not_speak_of_the_page_is_not_evidence(html):
    assert page_signals({}, Selector(text=html)) == ()
