"""The page and its charts: every document has a bar, the cut is marked, hostile text stays text, and equal facts give equal bytes."""

import html
import itertools
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contract import Rule
from reports.drawing.svg import LEFT, RIGHT
from reports.drawing.templates import FORBIDDEN
from reports.explore.bins import HistogramAxis, ValueExtent, make_axis
from reports.explore.chart import (
    BOTTOM,
    MIN_TICK_DISTANCE,
    TOP,
    choose_heights,
    choose_ticks,
    draw_threshold,
    is_steep,
)
from reports.explore.explore_report import (
    BoundSide,
    ExploreReport,
    NearExample,
    RuleReport,
    ThresholdReport,
)
from reports.explore.page import draw_page, write_headline

INF = math.inf
HOSTILE = [
    "<script>alert(1)</script>",
    "</blockquote></details><h1>mine</h1>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt;",
    "</style><style>body{display:none}",
    "<!--",
    "\u202eright to left",
    "javascript:alert(1)",
    "\x00\x07\ud800",
    "'\"`",
]
VOID = {"meta", "br", "hr", "col"}


def example(value=49.0, text="A text.", **changes):
    made = NearExample(
        value=value,
        id="0f",
        title="A title",
        source="somewhere",
        lang="en",
        text=text,
        others=("bullets",),
    )
    return replace(made, **changes)


def threshold_of(values, low=-INF, high=INF, **changes):
    extent = ValueExtent()
    extent.add(values)
    found = make_axis(low, high, extent, values.dtype)
    counts = tuple(found.count(values).tolist())
    dropped = int(((values < low) | (values > high)).sum())
    made = ThresholdReport(
        low, high, {"en": len(values)}, len(values), 0, dropped, found, counts, ()
    )
    return replace(made, **changes)


WORDS = np.array([1, 20, 49, 50, 51, 70, 200, 5000], np.int32)


def rule_facts(name="too_few_words", w=str, **changes):
    rule = Rule(name, w("gopher"), w("words"), 50.0, INF, {})
    both = (
        example(50.0, w("Just kept."), title=w("One"), source=w("here"), others=(w("ellipses"),)),
    )
    side = BoundSide("min", 50.0, both, (example(49.0, w("Just dropped."), lang=w("en")),))
    thresholds = (threshold_of(WORDS, low=50.0, languages={w("en"): 8}, sides=(side,)),)
    return replace(
        RuleReport(rule, (w("wiki"),), w("words"), w("a paper"), 8, 3, 2, 1, thresholds), **changes
    )


def facts(*rules, **changes):
    made = ExploreReport(
        run="decide-0123456789ab",
        version="0.1",
        decided=True,
        kind=None,
        lang=None,
        seed=0,
        documents=8,
        dropped=3,
        rules=rules or (rule_facts(),),
    )
    return replace(made, **changes)


class Reader(HTMLParser):
    """Every element with its attributes, and whether all that opens is closed in order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.seen, self.words, self.broken = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.broken == [] and reader.open == []
    return reader


def names(reader, tag):
    return [attrs for name, attrs in reader.seen if name == tag]


def svg(drawn):
    found = re.search(r"<svg.*</svg>", drawn, re.DOTALL)
    assert found
    return ElementTree.fromstring(found[0])


def rects(drawn, style=None):
    all_of = [one for one in svg(drawn).iter() if one.tag.endswith("rect")]
    return [one for one in all_of if one.get("class") == style]


def share(element, name):
    return float(element.get(name).removesuffix("%"))


def bar_counts(drawn):
    return [int(one[0].text.rsplit(": ", 1)[1].replace(",", "")) for one in rects(drawn)]


def test_the_bars_hold_all_documents():
    drawn = draw_threshold("A title", threshold_of(WORDS, low=50), "words")
    assert sum(bar_counts(drawn)) == len(WORDS)


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=200),
    st.integers(0, 1000),
    st.integers(0, 10**6),
)
def test_bars_are_inside_the_chart_and_coloured_by_what_happens_to_their_documents(
    values, low, more
):
    threshold = threshold_of(np.array(values, np.int32), low=float(low), high=float(low + more))
    drawn = draw_threshold("t", threshold, "words")
    by_ink = {"var(--chart-1)": 0, "var(--chart-2)": 0}
    for one, count in zip(rects(drawn), bar_counts(drawn), strict=True):
        by_ink[one.get("fill")] += count
        assert (
            LEFT - 0.01 <= share(one, "x") <= share(one, "x") + share(one, "width") <= RIGHT + 0.01
        )
        assert TOP - 0.1 <= float(one.get("y")) < BOTTOM and float(one.get("height")) > 0
    assert by_ink["var(--chart-2)"] == threshold.holds and sum(by_ink.values()) == len(values)


@pytest.mark.parametrize(
    ("low", "high", "said", "grounds"),
    [
        (50.0, INF, ["< 50"], 1),
        (-INF, 50.0, ["> 50"], 1),
        (20.0, 200.0, ["< 20", "> 200"], 2),
        (-INF, INF, [], 0),
    ],
)
def test_every_bound_is_marked_and_what_lies_beyond_it_is_shaded(low, high, said, grounds):
    drawn = draw_threshold("t", threshold_of(WORDS, low=low, high=high), "words")
    lines = [one for one in svg(drawn).iter() if one.get("class") == "null"]
    texts = [one.text for one in svg(drawn).iter() if one.tag.endswith("text")]
    assert len(lines) == len(said) == grounds == len(rects(drawn, "band"))
    assert [text for text in texts if text[:1] in "<>"] == said


def test_kept_bars_stand_beside_the_shaded_ground_and_dropped_ones_on_it():
    drawn = draw_threshold("t", threshold_of(WORDS, low=50), "words")
    [ground] = rects(drawn, "band")
    end = share(ground, "x") + share(ground, "width")
    for one in rects(drawn):
        middle = share(one, "x") + share(one, "width") / 2
        assert (middle < end) == (one.get("fill") == "var(--chart-2)")


def test_a_value_at_its_bound_is_drawn_as_kept_in_the_precision_of_its_column():
    values = np.array([0.3, 0.3, np.nextafter(np.float32(0.3), np.float32(1))], np.float32)
    drawn = draw_threshold("t", threshold_of(values, high=0.3), "dup_line_ratio")
    assert {one.get("fill"): n for one, n in zip(rects(drawn), bar_counts(drawn), strict=True)} == {
        "var(--chart-1)": 2,
        "var(--chart-2)": 1,
    }


def test_titles_and_signals_cannot_become_markup():
    for words in HOSTILE[:6]:
        drawn = draw_threshold(words, threshold_of(WORDS, low=50), words)
        assert svg(drawn)[0].text == words
        assert "<script" not in drawn and "<img" not in drawn


def test_no_number_at_all_is_said_instead_of_drawn():
    assert "nothing to draw" in draw_threshold(
        "t", replace(threshold_of(WORDS), axis=None, counts=()), "words"
    )


LINE = HistogramAxis((0.0, 1.0, 2.0, 3.0, 4.0), None, (-INF, 3.0))


@pytest.mark.parametrize(
    ("counts", "steep"),
    [
        ((9, 8, 7, 0), False),
        ((900, 8, 7, 0), True),
        ((50, 50, 50, 2), True),
        ((30, 30, 30, 2), False),
        ((5, 0, 0, 0), False),
    ],
)
def test_heights_turn_logarithmic_where_bars_would_vanish(counts, steep):
    assert is_steep(LINE, counts) is steep


@given(most=st.integers(1, 10**9), steep=st.booleans())
def test_heights_rise_with_the_count_and_one_document_is_seen_on_a_steep_axis(most, steep):
    steps, height = choose_heights(most, steep)
    assert steps[-1] >= most and height(steps[-1]) == pytest.approx(TOP)
    assert height(most) <= height(max(1, most // 2)) <= BOTTOM
    if steep:
        assert height(1) < BOTTOM - 1


@given(values=st.lists(st.integers(0, 10**9), min_size=1, max_size=50), low=st.integers(1, 10**6))
def test_numbers_below_the_axis_lie_on_it_apart_from_each_other(values, low):
    found = threshold_of(np.array(values, np.int32), low=float(low)).axis
    places = [found.place(value) for value in choose_ticks(found)]
    assert places == sorted(places) and all(0 <= place <= 1 for place in places)
    assert all(b - a >= MIN_TICK_DISTANCE - 1e-9 for a, b in itertools.pairwise(places))


def test_a_logarithmic_axis_names_zero_and_powers_of_ten():
    values = np.array([0, 60, 20_000], np.int32)
    assert choose_ticks(threshold_of(values, low=50).axis) == [0, 100, 1000, 10_000]


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_text_stays_text_everywhere(words):
    plain = read(draw_page(facts()))
    found = read(draw_page(facts(rule_facts(w=lambda _: words), kind=words, version=words)))
    assert [name for name, _ in found.seen] == [name for name, _ in plain.seen]
    assert [key for _, attrs in found.seen for key in attrs if key.startswith("on")] == []
    links = {attrs["href"] for attrs in names(found, "a")}
    assert links == {attrs["href"] for attrs in names(plain, "a")}


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_shown_whole_and_leaves_the_page_as_it_is(words):
    found = draw_page(facts(rule_facts(w=lambda given: given if given != "Just kept." else words)))
    reader = read(found)
    assert [name for name, _ in reader.seen] == [name for name, _ in read(draw_page(facts())).seen]
    shown = re.findall(r"<blockquote[^>]*>(.*?)</blockquote>", found, re.DOTALL)[0]
    assert html.unescape(shown) == FORBIDDEN.sub("\ufffd", words)


def test_the_page_loads_and_runs_nothing():
    reader = read(draw_page(facts()))
    assert not {"script", "link", "iframe", "img", "object", "form", "base"} & {
        name for name, _ in reader.seen
    }
    assert all(attrs["href"].startswith("#") for attrs in names(reader, "a"))
    [rule] = [attrs["content"] for attrs in names(reader, "meta") if attrs.get("http-equiv")]
    assert rule.startswith("default-src 'none'; style-src 'sha256-")
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", draw_page(facts()))


def test_texts_stay_folded_until_somebody_opens_them():
    text = draw_page(facts())
    assert text.count("<details>") == 2 and "<details open" not in text
    folded = "".join(re.findall(r"<details>.*?</details>", text, re.DOTALL))
    assert folded.count("<blockquote") == text.count("<blockquote") == 2
    assert "may offend" in text


def test_links_lead_to_sections_that_are_there_and_ids_occur_once():
    reader = read(draw_page(facts(rule_facts(), rule_facts("bullets", holds=0))))
    ids = [attrs["id"] for _, attrs in reader.seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"][1:] for attrs in names(reader, "a")} <= set(ids)


def cells(text):
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


def test_the_table_gives_every_rule_with_its_counts_most_often_true_first():
    rules = rule_facts("bullets", judged=0, holds=0, first=0, alone=0, thresholds=()), rule_facts()
    assert [[html.unescape(cell) for cell in row] for row in cells(draw_page(facts(*rules)))] == [
        ["Rule", "Holds for", "Drops a document if", "Judged", "Share", "Came first", "Alone"],
        ["too_few_words", "3", "words < 50", "8", "37.5 %", "2", "1"],
        ["bullets", "0", "words < 50", "0", "–", "0", "0"],
    ]


def test_a_section_tells_definition_counts_and_both_sides():
    words = " ".join(read(draw_page(facts())).words)
    for said in (
        "Preset gopher, for wiki.",
        "It judges 8 documents and holds for 3 of them (37.5 %). It came first for 2 documents; for 1 it is the only reason.",
        "English: 8 documents, 3 dropped",
        "Passed: at or above 50, the nearest 1 (50)",
        "Dropped: below 50, the nearest 1 (49)",
        "dropped as ellipses",
        "also bullets",
    ):
        assert said in words, said


def test_a_rule_without_documents_says_so():
    text = draw_page(facts(rule_facts(judged=0, holds=0, thresholds=())))
    assert "No document here is judged by it." in text and "<svg" not in text


def test_a_side_without_a_document_says_so_and_one_without_a_number_is_counted():
    empty = threshold_of(WORDS, low=50.0, unmeasured=3, sides=(BoundSide("max", 0.3, (), ()),))
    text = draw_page(facts(rule_facts(thresholds=(empty,))))
    assert "Passed: at or below 0.3, no document to show." in text
    assert "Dropped: above 0.3, no document to show." in text
    assert "3 documents without a number" in text


def test_many_languages_are_named_by_size_and_slips_of_the_identifier_counted():
    languages = {"zh": 900, "en": 90, "wuu": 3, "eo": 1}
    text = draw_page(
        facts(rule_facts(thresholds=(threshold_of(WORDS, low=50.0, languages=languages),)))
    )
    assert "Chinese, English and 2 other languages: 8 documents" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "1 rule over 8 documents: it drops 3"),
        ({"decided": False}, "1 rule over 8 documents: it would drop 3"),
        (
            {"rules": (rule_facts(), rule_facts("b")), "documents": 1},
            "2 rules over 1 document: they drop 3",
        ),
        (
            {"kind": "web", "lang": "zh"},
            "1 rule over 8 documents of kind web in Chinese (zh): it drops 3",
        ),
    ],
)
def test_the_headline_says_how_many_rules_drop_how_many_of_how_many(changes, said):
    found = facts(**changes)
    assert write_headline(found) == said
    assert f"<h1>{html.escape(said)}</h1>" in draw_page(found)


def test_what_was_not_decided_yet_is_said_to_be_so():
    assert "is an annotate run: these are the default rules" in draw_page(facts(decided=False))
    assert "the rules of the configuration given" in draw_page(
        facts(decided=False, configured=True)
    )
    assert "is an annotate run" not in draw_page(facts())


def test_equal_facts_give_equal_bytes():
    assert draw_page(facts()) == draw_page(facts())
