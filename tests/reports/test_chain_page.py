"""The page is drawn from plain facts: exact small parts, no text that becomes markup, readable by everybody, equal bytes."""

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports.chain.report_data import (
    AuditSummary,
    ClusterSample,
    CorpusSummary,
    DuplicateSummary,
    LicenceCount,
    QuarantinedRecord,
    ReasonCount,
    ReportData,
    RunSummary,
    TextSample,
    TokenCounts,
    TokenSlice,
    TrainingSummary,
)

from gristmill.runs.ledger import Entry
from reports.chain.duplicates import make_size_bars
from reports.chain.health_checks import HealthCheck, check_health, find_imbalances
from reports.chain.page import draw_page
from reports.chain.provenance import write_lookup_command
from reports.chain.summary import draw_chain, draw_verdict, list_tiles, write_headline
from reports.drawing import blocks, stacks
from reports.drawing.style import CSS
from reports.drawing.text_diff import Comparison, DifferingPlace, DiffPiece

Words = Callable[[str], str]
STEPS = {
    "crawl": (),
    "annotate": ("crawl",),
    "decide": ("annotate",),
    "tokenizer": ("decide",),
    "pack": ("decide", "tokenizer"),
    "pretrain": ("pack",),
    "audit": ("decide", "pretrain"),
}
ESTIMATE = {"value": 0.6, "low": 0.4, "high": 0.7, "n": 300}


def plain(name):
    return name


def entries(step: str, w: Words) -> tuple[Entry, ...]:
    if step not in ("crawl", "annotate", "decide", "pack"):
        return ()
    found = [
        Entry(w("news"), w("en"), "kept", "", 9 if step == "annotate" else 7, 700),
        Entry(w("news"), w("en"), "dropped", w(f"{step}-rule"), 2, 90),
    ]
    return (
        (*found, Entry(w("news"), w("en"), "quarantined", w("bad"), 1, 0))
        if step == "annotate"
        else tuple(found)
    )


def run(step: str, w: Words = plain, **changes) -> RunSummary:
    rows = entries(step, w)
    counts = {"read": sum(row.documents for row in rows)} if rows else {}
    for row in rows:
        counts[row.fate] = counts.get(row.fate, 0) + row.documents
    details = {
        "crawl": {
            "fetched": {w("news"): 12},
            "policy": w("strict"),
            "failures": [w("http_500  a page")],
        },
        "annotate": {"input_files": [{"name": w("b.jsonl"), "bytes": 9, "records": 3}]},
        "decide": {
            "reasons": [w("decide-rule")],
            "rules": [
                {"name": w("decide-rule"), "preset": w("gopher"), "signal": "words", "min": 50}
            ],
        },
        "tokenizer": {"vocab_size": 99, "sample_documents": 7, "sample_bytes": 700},
        "pretrain": {"objective": "causal"},
    }.get(step, {})
    made = RunSummary(
        id=f"{step}-0123456789ab",
        step=step,
        version=w("0.1"),
        code=w("c0de"),
        depth=list(STEPS).index(step),
        parents=tuple(f"{name}-0123456789ab" for name in STEPS[step]),
        files_read=() if STEPS[step] else (w("a.jsonl"),),
        main=True,
        counts=counts,
        details=details,
        config={w("key"): w("value")},
        entries=rows,
        files=2,
        bytes=1000,
        manifest=w("5ha"),
        exit_code=0,
        telemetry={"seconds": 1.5, "sealed": 0.0, "peak_memory_mb": 10},
    )
    return replace(made, **changes)


def audit_json(w: Words) -> dict:
    preference = {
        "lang": w("en"),
        "axis": w("gender"),
        "equal_length": {
            **ESTIMATE,
            "detectable_effect": 0.1,
            "constant_choice": ESTIMATE,
            "by_favoured_group": {w("women"): ESTIMATE},
        },
        "all_pairs": None,
        "verdict": {"measurable": True, "says": w("inconclusive")},
    }
    constant = {
        **preference,
        "axis": w("age"),
        "verdict": {"measurable": False, "says": w("always picks 'he'")},
    }
    rule = {
        "reason": w("rule"),
        "group": w("women"),
        "p_holm": 0.01,
        "stratified_risk_ratio": {**ESTIMATE, "value": 1.4, "high": 2.0},
    }
    term = {
        "lang": w("en"),
        "axis": w("gender"),
        "term": w("nurse"),
        "p_holm": 0.01,
        "log_odds": ESTIMATE,
    }
    total = {"lang": w("en"), "axis": w("gender"), "groups": [w("f"), w("m")], "sentences": [3, 4]}
    return {
        "schema": "gristmill.audit/2",
        "models": [
            {
                "name": w("m1"),
                "scorer": w("s"),
                "quality": [{"lang": w("en"), "able": False}],
                "rows": [preference, constant],
            }
        ],
        "rules": {"rows": [rule]},
        "corpus": {
            "slices": [{"lang": w("en"), "source": w("news"), "pronoun_log_ratio": ESTIMATE}],
            "associations": [term],
            "association_totals": [total],
        },
        "limits": [w("none")],
    }


def facts(w: Words = plain, **changes) -> ReportData:
    sample = TextSample(w("0f"), w("news"), w("en"), w("A text."), w("a.warc.gz, offset 1, item 0"))
    reason = ReasonCount(w("decide-rule"), 2, 3, 1, (sample, replace(sample, text=None)))
    places = (
        DifferingPlace(
            3,
            (DiffPiece(w("same "), False), DiffPiece(w("one"), True)),
            (DiffPiece(w("same "), False), DiffPiece(w("two"), True)),
        ),
    )
    compared = Comparison(4, 5, 1, places, False)
    made = ReportData(
        folder=w("runs"),
        ends=("audit-0123456789ab",),
        runs=tuple(run(step, w) for step in STEPS),
        corpus=CorpusSummary(
            9,
            True,
            (LicenceCount(w("news"), w("MIT"), 9, 7, {w("rel=license"): 9}),),
            {(w("news"), w("noai")): 1},
            {w("email"): 2},
            (reason,),
            DuplicateSummary({2: 3, 7: 1}, (ClusterSample(7, 0.8, sample, sample, compared),)),
            {"words": w("a count")},
        ),
        quarantined=(QuarantinedRecord("annotate", w("a.gz"), 12, w("bad"), w("an error")),),
        tokens=TokenCounts(
            "pack-0123456789ab",
            99,
            w("7e"),
            (TokenSlice("train", w("news"), w("en"), 7, 280, 700),),
            (0, 3, 4),
        ),
        trainings=(
            TrainingSummary(
                "pretrain-0123456789ab",
                "causal",
                {"parameters": 1000, "steps": 2, "tokens": 64},
                {},
                {"loss": [(1, 3.0), (2, 2.0)]},
                {"validation_loss": 3.5, "bits_per_byte": 4.0},
                {"validation_loss": 2.5, "bits_per_byte": 3.0},
                {},
                "continuation",
                ({"prompt": w("Once"), "text": w(" upon")},),
            ),
            TrainingSummary(
                "pretrain-ba9876543210",
                "mlm_nsp",
                {},
                {},
                {"mlm_loss": [(1, 3.0)]},
                {},
                {"masked_bits_per_byte": 2.0},
                {},
                "fill_mask",
                (
                    {
                        "before": w("a"),
                        "answer": w("b"),
                        "after": w("c"),
                        "guesses": [{"piece": w("d"), "probability": 0.5}],
                    },
                ),
            ),
        ),
        audits=(
            AuditSummary(
                "audit-0123456789ab",
                audit_json(w),
                (w("corpus: fine"),),
                (("audit.html", "runs/audit/audit.html"),),
            ),
        ),
    )
    return replace(made, **changes)


NOTHING = {"corpus": None, "quarantined": (), "tokens": None, "trainings": (), "audits": ()}


class Outline(HTMLParser):
    """The elements of a page with the names of their attributes, and the values of those that matter."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, ...]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *sorted(name for name, _ in attrs if name != "lang")))
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def values(self, name):
        return [value for _, own, value in self.attributes if own == name]


# ---- nothing from outside becomes markup

NASTY = st.text(st.characters(codec=None) | st.sampled_from("<>&\"'=/`;-! "), max_size=20)
CLEAN = Outline(draw_page(facts()))


@settings(max_examples=60)
@given(NASTY)
def test_no_text_from_outside_changes_the_outline_of_the_page(words):
    drawn = draw_page(facts(lambda name: f"{name}{words}"))
    drawn.encode()
    assert Outline(drawn).elements == CLEAN.elements


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "</title><img src=x onerror=alert(1)>",
        "--></style><b>",
        '" onload="x',
        "]]>",
    ],
)
def test_known_attacks_stay_text(attack):
    drawn = draw_page(facts(lambda name: name + attack))
    assert attack not in drawn
    assert Outline(drawn).elements == CLEAN.elements


def test_control_characters_and_lone_surrogates_are_replaced():
    drawn = draw_page(facts(lambda name: name + "\x00\x1b\ud800"))
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff]", drawn)
    assert "A text.\ufffd\ufffd\ufffd" in drawn


def test_the_page_allows_itself_its_own_style_and_nothing_else():
    drawn = draw_page(facts())
    style = re.search("<style>(.*?)</style>", drawn, re.S)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'".replace("'", "&#x27;") in drawn
    assert not [
        own
        for own in CLEAN.attributes
        if own[1] == "style" or own[1].startswith("on") or own[1] == "src"
    ]
    assert {element[0] for element in CLEAN.elements}.isdisjoint(
        {"script", "img", "link", "iframe", "object", "form", "input"}
    )


def test_no_link_or_style_leads_to_the_network():
    assert all(
        re.match(r"#[a-z-]+$|runs/audit/audit\.html$", link) for link in CLEAN.values("href")
    )
    assert not re.search(r"url\(|@import|@font-face|https?:", CSS)


# ---- equal facts, equal bytes; any part may be missing


def test_equal_facts_give_equal_bytes():
    assert draw_page(facts()) == draw_page(facts())


@pytest.mark.parametrize("name", list(NOTHING))
def test_any_part_may_be_missing(name):
    Outline(draw_page(facts(**{name: NOTHING[name]})))


@pytest.mark.parametrize("step", list(STEPS))
def test_any_single_run_makes_a_page(step):
    drawn = draw_page(facts(runs=(run(step),), ends=(f"{step}-0123456789ab",), **NOTHING))
    assert f"<code>{step}-0123456789ab</code>" in drawn
    assert drawn.count("Not part of this chain: ") >= 4


def test_what_is_missing_is_named_with_the_command_that_makes_it():
    drawn = draw_page(facts(runs=(run("decide"),), **NOTHING))
    for command in (
        "gristmill crawl",
        "gristmill prepare",
        "gristmill pretrain --in PACK",
        "gristmill audit --in RUN",
    ):
        assert f"<code>{command}</code>" in drawn
    assert "This chain has no audit: what it would tell is missing above, not zero." in drawn


def test_an_audit_in_another_format_is_linked_and_not_read():
    audit = replace(facts().audits[0], content={"schema": "gristmill.audit/1"})
    drawn = draw_page(facts(audits=(audit,)))
    assert "another format" in drawn and 'href="runs/audit/audit.html"' in drawn


# ---- readable by everybody


def test_headings_never_skip_a_level_and_there_is_one_title():
    levels = [int(name[1]) for name, *_ in CLEAN.elements if re.fullmatch("h[1-6]", name)]
    assert levels.count(1) == 1
    assert [(a, b) for a, b in itertools.pairwise(levels) if b > a + 1] == []


def test_ids_are_unique_and_every_link_inside_the_page_has_its_place():
    ids = CLEAN.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in CLEAN.values("href") if link.startswith("#")} <= set(ids)
    assert set(CLEAN.values("aria-labelledby")) <= set(ids)


def test_every_table_has_a_caption_and_scrolls_in_its_own_box():
    drawn = draw_page(facts())
    tables = drawn.count("<table>")
    assert tables > 10
    assert drawn.count("<table><caption>") == tables
    assert (
        len(
            re.findall(
                r'<div class="scroll" tabindex="0" role="region" aria-label="[^"]+"><table>', drawn
            )
        )
        == tables
    )


def test_every_chart_has_a_title_and_its_numbers_in_words():
    drawn = draw_page(facts())
    titled = re.findall(
        '<svg height="[0-9]+" role="img" [^>]*><title>[^<]+</title><desc>[^<]+</desc>', drawn
    )
    assert drawn.count('role="img"') == len(titled) > 5


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_stand_out_from_what_lies_behind_them(theme):
    blocks_ = re.findall(r":root \{([^}]*)\}", CSS.split("@media print")[0])
    named = [dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", block)) for block in blocks_]
    colours = {**named[0], **named[2]} if theme == "light" else {**named[1], **named[3]}
    text = [
        colours[f"--{name}"]
        for name in ("ink", "soft", "accent", "good", "look", "wrong", "chart-text", "chart-quiet")
    ]
    assert (
        min(contrast(one, colours[ground]) for one in text for ground in ("--page", "--box")) >= 4.5
    )
    assert contrast(colours["--ink"], colours["--mark"]) >= 4.5
    bars = [colours[f"--chart-{n}"] for n in (*range(1, 7), "quiet")]
    assert min(contrast(colours["--page"], bar) for bar in bars) >= 4.5


# ---- exact parts


def test_a_table_has_numbers_to_the_right_and_row_heads():
    assert blocks.table("C", ("a", "#n"), [("x", "1")]) == (
        '<div class="scroll" tabindex="0" role="region" aria-label="C"><table><caption>C</caption>'
        '<thead><tr><th scope="col">a</th><th scope="col" class="n">n</th></tr></thead>'
        '<tbody><tr><th scope="row">x</th><td class="n">1</td></tr></tbody></table></div>'
    )


def test_a_sample_shows_its_text_and_where_it_came_from():
    assert blocks.sample(TextSample("0f", "news", "en", "<b>\nx", "a.gz, offset 1, item 0")) == (
        '<figure class="sample"><blockquote dir="auto" lang="en" class="text">&lt;b&gt;\nx</blockquote>'
        '<figcaption><div class="origin"><code>0f</code> · news · English (en) · a.gz, offset 1, item 0</div>'
        "</figcaption></figure>"
    )


def test_a_withheld_text_leaves_its_id():
    assert blocks.sample(TextSample("0f", "news", "en", None, "")) == (
        '<figure class="sample"><p class="note">Its text is withheld.</p>'
        '<figcaption><div class="origin"><code>0f</code> · news · English (en)</div></figcaption></figure>'
    )


def test_the_verdict_says_its_level_in_words():
    assert draw_verdict([HealthCheck("look", "a < b")]) == (
        '<ul class="verdict" aria-label="Verdict"><li class="look"><b>Look</b> <span>a &lt; b</span></li></ul>'
    )


def test_runs_stand_in_columns_right_of_what_they_read():
    two = (
        run("pack", depth=0),
        run("pretrain", depth=1),
        run("pretrain", depth=1, id="pretrain-ba9876543210"),
    )
    found = re.findall("<li>.*?</li>", draw_chain(facts(runs=two)))
    assert [re.findall("<b>(.*?)</b><code>(.*?)</code>", column) for column in found] == [
        [("pack", "0123456789ab")],
        [("pretrain", "0123456789ab"), ("pretrain", "ba9876543210")],
    ]


def test_the_headline_says_how_much_of_what_and_the_models():
    assert (
        write_headline(facts())
        == "7 documents from 1 source in English, and a causal model and a BERT trained on them"
    )
    assert write_headline(facts(trainings=())) == "7 documents from 1 source in English"
    assert (
        write_headline(facts(runs=(run("pretrain"),), **NOTHING))
        == "A chain of 1 run, without a corpus beside it"
    )


def test_a_language_of_less_than_one_document_in_a_hundred_is_not_in_the_headline():
    rows = (
        Entry("a", "en", "kept", "", 995, 0),
        Entry("a", "tl", "kept", "", 5, 0),
        Entry("a", "fr", "dropped", "x", 9, 0),
    )
    counts = {"read": 1009, "kept": 1000}
    only = facts(runs=(run("pack", entries=rows, counts=counts),), trainings=())
    assert write_headline(only) == "1,000 documents from 1 source mostly in English"


def test_the_tiles_carry_what_stands_behind_their_figures():
    assert list(list_tiles(facts())) == [
        ("Documents kept", "7", "77.8 % of 9 judged"),
        ("Tokens", "280", "700 B of text, vocabulary 99"),
        ("Duplicates dropped", "0", "0.0 % of 9"),
        ("Bits per byte", "3.00", "causal, validation, from 4.00 untrained"),
        ("Bits per byte, masked text", "2.00", "BERT, validation"),
    ]


def test_the_command_that_prints_a_document_is_one_line_of_python():
    command = write_lookup_command("runs", "annotate-1", "0f")
    assert command.startswith('python -c "') and command.endswith('"')
    compile(command.removeprefix('python -c "').removesuffix('"'), "command", "exec")


def test_settings_are_shown_as_json():
    assert "<pre>{\n &quot;key&quot;: &quot;value&quot;\n}</pre>" in draw_page(facts())
    assert json.loads('{\n "key": "value"\n}') == {"key": "value"}


def test_clusters_are_drawn_in_ranges_up_to_the_largest():
    assert [(bar.label, bar.value) for bar in make_size_bars({2: 3, 7: 1, 12: 2})] == [
        ("2 documents", 3),
        ("3 documents", 0),
        ("4 documents", 0),
        ("5 to 9 documents", 1),
        ("10 to 19 documents", 2),
    ]
    assert [bar.label for bar in make_size_bars({5000: 1})][-1] == "1,000 or more documents"


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=3, max_size=3), min_size=1, max_size=5))
def test_stacked_bars_have_the_length_of_their_shares(rows):
    drawn = stacks.draw_stacked_bars(
        "t", ["a", "b", "c"], [stacks.StackedBar(f"r{i}", row) for i, row in enumerate(rows)]
    )
    widths = [float(w) for w in re.findall(r'width="([\d.]+)%" height="15"', drawn)]
    shares = [value / sum(row) for row in rows if sum(row) for value in row if value]
    assert widths == pytest.approx([100 * share for share in shares], abs=0.006)


def test_the_parts_of_a_stacked_bar_are_named_below_it_under_their_numbers():
    drawn = stacks.draw_stacked_bars("t", ["kept", "a<b"], [stacks.StackedBar("r", [3, 1])])
    legend = '<ul class="legend"><li><b class="c1">1</b> kept</li><li><b class="c2">2</b> a&lt;b</li></ul>'
    assert drawn.endswith(f"</svg>{legend}</div>")
    assert re.findall(r'class="on" text-anchor="middle">(\d)<', drawn) == ["1", "2"]


def test_stacked_bars_without_values_say_so():
    assert (
        stacks.draw_stacked_bars("t <", ["a"], [stacks.StackedBar("r", [0])])
        == '<p class="chart-empty">t &lt;: nothing to draw.</p>'
    )


# ---- the verdict


def levels(found: ReportData) -> dict[str, str]:
    return {check.words: check.level for check in check_health(found)}


def with_run(step: str, **changes) -> ReportData:
    found = facts()
    return replace(
        found,
        runs=tuple(replace(one, **changes) if one.step == step else one for one in found.runs),
    )


def test_a_sound_chain_is_said_to_balance_with_what_needs_a_look():
    assert [(check.level, check.words) for check in check_health(facts())] == [
        (
            "good",
            "The ledger balances: read = kept + dropped + quarantined in crawl, annotate, decide and pack. "
            "An independent count over the decision files agrees.",
        ),
        ("look", "1 record could not be read in annotate (bad 1): each is named below."),
        ("good", "All 7 kept documents have a licence, as stated by the input."),
        (
            "look",
            "1 of 2 preferences of the models (by language and axis) are not measurable: a model too weak, "
            "or one word that wins in every context. A value near 0.5 is no finding there.",
        ),
    ]


def sound() -> ReportData:
    """Facts without a quarantine."""
    found = facts(quarantined=())
    kept = (Entry("news", "en", "kept", "", 9, 900),)
    annotate = replace(run("annotate"), entries=kept, counts={"read": 9, "kept": 9})
    return replace(
        found, runs=tuple(annotate if one.step == "annotate" else one for one in found.runs)
    )


def test_a_lost_record_is_wrong():
    lost = replace(
        sound(),
        runs=tuple(
            replace(r, counts={**r.counts, "read": 10}) if r.step == "crawl" else r
            for r in sound().runs
        ),
    )
    assert find_imbalances(lost) == ["crawl-0123456789ab read 10 records, but 9 have a fate"]
    assert check_health(lost)[0].level == "wrong"


def test_a_step_that_did_not_read_what_the_one_before_kept_is_wrong():
    rows = (Entry("news", "en", "kept", "", 8, 800),)
    other = tuple(
        replace(r, entries=rows, counts={"read": 8, "kept": 8}) if r.step == "annotate" else r
        for r in sound().runs
    )
    assert find_imbalances(replace(sound(), runs=other)) == [
        "decide-0123456789ab did not read what annotate-0123456789ab kept",
        "pack-0123456789ab did not read what annotate-0123456789ab kept",
    ]


def test_decision_files_that_disagree_with_the_ledger_are_wrong():
    found = sound()
    assert found.corpus is not None
    reasons = (replace(found.corpus.reasons[0], first=3),)
    other = replace(found, corpus=replace(found.corpus, reasons=reasons))
    assert find_imbalances(other) == [
        "decide-rule decided 3 documents in the files of decide-0123456789ab, but 2 in its ledger"
    ]


def test_shards_that_disagree_with_the_ledger_are_wrong():
    found = sound()
    assert found.tokens is not None
    other = replace(found, tokens=replace(found.tokens, slices=()))
    assert find_imbalances(other) == [
        "the shards of pack-0123456789ab hold 0 documents, its ledger 7"
    ]


@pytest.mark.parametrize("why", ["mixture", "upweight"])
def test_documents_that_are_written_several_times_are_counted_as_they_were_written(why):
    found = sound()
    written = sum(part.documents for part in found.tokens.slices)
    details = {
        "splits": {"train": {"documents": written, "tokens": 1}},
        "mixture": [{}] if why == "mixture" else [],
    }

    def changed(run):
        if run.step == "pack":
            return replace(
                run,
                details=details,
                counts={**run.counts, "kept": 1, "dropped": run.counts["read"] - 1},
            )
        return (
            replace(run, config={"upweight": {"10": 2}})
            if run.step == "decide" and why == "upweight"
            else run
        )

    other = replace(found, runs=tuple(map(changed, found.runs)))
    assert not [told for told in find_imbalances(other) if told.startswith("the shards")]
    details["splits"]["train"]["documents"] += 1
    assert [told for told in find_imbalances(other) if told.startswith("the shards")] == [
        f"the shards of pack-0123456789ab hold {written} documents, its ledger {written + 1}"
    ]


def test_no_quarantine_is_good_and_a_broken_budget_wrong():
    assert (
        levels(sound())[
            "Nothing was lost on the way: every item could be fetched, and every record read."
        ]
        == "good"
    )
    over = with_run("annotate", exit_code=3)
    assert (
        levels(over)[
            "More records were quarantined than the error budget allows in annotate-0123456789ab."
        ]
        == "wrong"
    )


def test_unknown_licences_and_ignored_opt_outs_need_a_look():
    found = sound()
    assert found.corpus is not None
    rows = (LicenceCount("news", "unknown", 3, 2, {}), *found.corpus.licences)
    ignored = tuple(
        replace(r, config={"rights": {"honour_opt_outs": False}}) if r.step == "decide" else r
        for r in found.runs
    )
    said = levels(replace(found, runs=ignored, corpus=replace(found.corpus, licences=rows)))
    assert (
        said["The input states no licence that we know for 2 of 9 kept documents (22.2 %)."]
        == "look"
    )
    assert (
        said["Opt-outs stated by the sources were not honoured: the settings of decide say so."]
        == "look"
    )


def test_a_model_that_did_not_learn_needs_a_look():
    worse = replace(facts().trainings[0], last={"bits_per_byte": 4.5})
    said = levels(facts(trainings=(worse,)))
    assert (
        said["pretrain-0123456789ab did not learn: bits_per_byte went from 4.000 to 4.500."]
        == "look"
    )


def test_a_failed_gate_is_wrong():
    assert (
        levels(with_run("audit", exit_code=4))["A gate of the audit failed in audit-0123456789ab."]
        == "wrong"
    )


def test_runs_of_a_foreign_tokenizer_are_listed_and_not_told_of():
    foreign = replace(run("decide"), id="decide-ba9876543210", main=False, counts={"read": 99})
    drawn = draw_page(replace(sound(), runs=(foreign, *sound().runs)))
    assert (
        "The tokenizer was trained on another corpus: its chain (1 run) is listed, not told of."
        in drawn
    )
    assert find_imbalances(replace(sound(), runs=(foreign, *sound().runs))) == []
