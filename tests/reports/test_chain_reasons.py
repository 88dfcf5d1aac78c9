"""Every reason is said in words: the conditions of rules as they were applied, and why steps count different things."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.runs.ledger import Entry, totals
from reports.chain.reasons import (
    MEANINGS,
    explain_reason,
    explain_units,
    format_bounds,
    format_failures,
    list_conditions,
)
from reports.chain.report_data import ReportData, RunSummary
from reports.drawing.glossary import TERMS, draw_glossary
from reports.drawing.inline import link_term, name_term_anchor

ROOT = Path(__file__).parents[2]
GIVERS = {
    "Dropped",
    "Quarantined",
    "_UnreadableRecord",
    "ExtractionError",
    "DocumentResult",
    "failed",
    "dropped",
    "add",
}
"""The calls of the rooms that give a reason as a word."""
FATES = {"kept", "dropped", "quarantined"}
RULE = {"name": "r", "preset": "gopher", "signal": "words"}


def run(step, entries=(), **changes):
    counts = {"read": sum(entry.documents for entry in entries), **totals(entries)}
    made = RunSummary(
        id=f"{step}-0",
        step=step,
        version="1",
        code="",
        parents=(),
        files_read=(),
        depth=0,
        main=True,
        counts=counts,
        details={},
        config={},
        entries=tuple(entries),
        files=0,
        bytes=0,
        manifest="",
        exit_code=0,
        telemetry={},
    )
    return replace(made, **changes)


def facts(*runs):
    return ReportData("runs", (), tuple(runs), None, (), None, (), ())


def entry(fate, reason, number):
    return Entry("news", "en", fate, reason, number, 0)


# ---- reasons of crawl, annotate and pack


def words_given(path: Path) -> set[str]:
    """The literal reasons in the calls of one source file."""
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    found: set[str] = set()
    for call in calls:
        name = (
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        )
        for argument in call.args if name in GIVERS else ():
            parts = (
                (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,)
            )
            found |= {
                p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)
            }
    return {word for word in found if re.fullmatch("[a-z]+(_[a-z0-9]+)+", word)} - FATES


def test_every_reason_that_crawl_and_preparation_give_is_said_in_words():
    sources = [path for room in ("crawlers", "pipelines") for path in (ROOT / room).rglob("*.py")]
    given_ = set().union(*map(words_given, sources))
    assert {"not_content", "bad_item", "cut_record"} <= given_
    assert sorted(word for word in given_ if not explain_reason(word)) == []


def test_a_status_of_a_server_is_said_with_its_number_and_an_unknown_reason_not_at_all():
    assert explain_reason("http_404") == "the server answered with status 404"
    assert explain_reason("http_status") == MEANINGS["http_status"]
    assert explain_reason("http_") == explain_reason("never heard of") == ""


def test_failures_are_named_by_reason_the_most_frequent_first():
    rows = [
        entry("quarantined", "b", 1),
        entry("quarantined", "a", 1),
        entry("quarantined", "z", 3),
        entry("kept", "", 9),
    ]
    assert format_failures(run("crawl", rows)) == "z 3, a 1, b 1"
    assert format_failures(run("crawl", [entry("kept", "", 9)])) == ""


# ---- rules of decide


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"min": 50}, "words < 50"),
        ({"min": None, "max": 0.3}, "words > 0.3"),
        ({"min": 3, "max": 10.0}, "words < 3 or > 10"),
        ({"max": 100000}, "words > 100000"),
        ({"min": None, "max": None}, "words never"),
        (
            {
                "max": 9,
                "by_language": {
                    "zh": {"min": None, "max": 30},
                    "ja": {"min": None, "max": 30},
                    "th": {"min": 1, "max": 5},
                },
            },
            "words > 9 (zh and ja: > 30; th: < 1 or > 5)",
        ),
        ({"min": 2, "only_languages": ["en", "zh"]}, "words < 2 (only in en and zh)"),
    ],
)
def test_a_rule_is_said_as_a_comparison_with_its_exceptions(rule, said):
    assert format_bounds({**RULE, **rule}) == said


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_the_thresholds_said_are_those_applied(low, high):
    below, above = re.fullmatch(
        r"words < (\S+) or > (\S+)", format_bounds({**RULE, "min": low, "max": high})
    ).groups()
    assert (float(below), float(above)) == (
        pytest.approx(low, rel=1e-5),
        pytest.approx(high, rel=1e-5),
    )


def condition(name, **config):
    details = {"reasons": [name]}
    (found,) = list_conditions(run("decide", details=details, config=config), {})
    return found.drops_if


def test_rules_stand_in_the_order_in_which_they_count_with_preset_kinds_and_the_signals_meaning():
    details = {"reasons": ["opt_out", "r"], "rules": [{**RULE, "min": 50}]}
    config = {"presets": {"wiki": ["gopher"], "news": ["gopher", "c4"], "social": ["social"]}}
    found = list_conditions(
        run("decide", details=details, config=config), {"words": "how many words"}
    )
    assert [(one.name, one.place) for one in found] == [("opt_out", 1), ("r", 2)]
    assert (found[1].drops_if, found[1].signal, found[1].origin) == (
        "words < 50",
        "words: how many words",
        "preset gopher (for wiki and news)",
    )


def test_a_rule_of_a_preset_no_kind_uses_and_a_signal_without_words_are_said_shortly():
    details = {"reasons": ["r"], "rules": [{**RULE, "min": 50}]}
    (found,) = list_conditions(run("decide", details=details), {})
    assert (found.signal, found.origin) == ("", "preset gopher")


def test_a_run_that_recorded_no_thresholds_says_so():
    assert condition("too_few_words") == "not recorded by the version that made this run"
    assert condition("near_duplicate") == "not recorded by the version that made this run"
    assert list_conditions(run("decide"), {}) == []


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("opt_out", {}, "the source refuses this use, with whatever word"),
        ("opt_out", {"rights": {"honour_opt_outs": False}}, "never: opt-outs are not honoured"),
        (
            "licence",
            {"rights": {"licences": [], "allow_unknown": True}},
            "never: any licence is allowed, also an unknown one",
        ),
        ("licence", {"rights": {"licences": [], "allow_unknown": False}}, "no licence is known"),
        (
            "licence",
            {"rights": {"licences": ["MIT", "CC-BY-*"], "allow_unknown": False}},
            "the licence stated is none of MIT and CC-BY-* or no licence is known",
        ),
        ("language", {}, "never: any language is allowed"),
        ("language", {"languages": ["en", "zh"]}, "the language is not en or zh"),
        (
            "language",
            {"languages": ["en"], "min_language_score": 0.5},
            "the language is not en or lang_score < 0.5",
        ),
        (
            "near_duplicate",
            {"near": {"bands": 14, "rows": 8, "min_similarity": 0.7}},
            "estimated similarity to another of its cluster, over runs of 5 words: 0.7 or more; candidates from 14 bands of 8",
        ),
        (
            "url_duplicate",
            {"url": {"max_documents": 100, "min_similarity": 0.3}},
            "its canonical address is that of one that is kept, and of 100 at most; estimated similarity 0.3 or more",
        ),
    ],
)
def test_a_reason_that_is_no_rule_is_said_from_the_settings(name, config, said):
    assert condition(name, **config) == said


# ---- why steps count different things


def crawl(kept=541, opt_out=11, robots=2, failed=4, captures=293):
    rows = [
        entry("kept", "", kept),
        entry("dropped", "opt_out", opt_out),
        entry("dropped", "robots", robots),
        entry("quarantined", "http_404", failed),
    ]
    made = run("crawl", rows)
    return replace(made, counts={**made.counts, "captures": captures})


def annotate(kept=548, listings=21, empty=3, broken=2, **changes):
    rows = [
        entry("kept", "", kept),
        entry("dropped", "not_content", listings),
        entry("dropped", "empty_body", empty),
        entry("quarantined", "bad_item", broken),
    ]
    return run("annotate", rows, **changes)


def test_the_way_from_items_to_records_is_a_sum_that_adds_up():
    first, second = explain_units(facts(crawl(), annotate()))
    assert first == (
        "crawl stored 293 answers of servers (captures). It counts items: a web page is one, and one answer of an interface "
        "(API) holds many articles or posts. Of 558 items it kept 541, dropped 13, and 4 could not be fetched or were broken."
    )
    assert second == (
        "annotate read every stored answer anew: 574 records = 541 items that crawl kept + 11 that the policy refused (stored as "
        "evidence, and dropped by decide for the same reason) + 21 answers without content of their own (robots.txt, feeds, "
        "listings) + 1 in stored answers that crawl counted as broken or not at all. It made 548 documents of them."
    )


@given(
    st.integers(0, 999),
    st.integers(0, 99),
    st.integers(0, 999),
    st.integers(0, 99),
    st.integers(0, 9),
)
def test_whatever_the_ledgers_say_the_sum_adds_up(kept, opt_out, made, listings, broken):
    said = list(
        explain_units(facts(crawl(kept, opt_out), annotate(made, listings, broken=broken)))
    )[1]
    total, terms = re.search(r"anew: ([\d,]+) records? = (.*)\. It made", said).groups()
    terms = re.sub(r"\([^)]*\)", "", terms)
    plus = [int(n.replace(",", "")) for n in re.findall(r"(?:^|\+ )([\d,]+)", terms)]
    minus = [int(n.replace(",", "")) for n in re.findall(r"- ([\d,]+) that crawl counted", terms)]
    assert sum(plus) - sum(minus) == int(total.replace(",", "")) == made + listings + 3 + broken


def test_several_crawls_are_counted_together():
    first, second = explain_units(facts(crawl(), crawl(), annotate(1096, 42, 6, 4)))
    assert (
        first.startswith("crawl stored 586 answers")
        and "Of 1,116 items it kept 1,082, dropped 26, and 8" in first
    )
    assert "1,148 records = 1,082 items that crawl kept + 22" in second


def test_files_of_strangers_have_no_items_to_compare_with():
    (said,) = explain_units(facts(annotate(files_read=("a.jsonl",))))
    assert said == "annotate read 574 records of its input files and made 548 documents of them."
    assert (
        "input files" in list(explain_units(facts(crawl(), annotate(files_read=("a.jsonl",)))))[1]
    )


def test_decide_and_pack_count_the_same_documents_twice():
    decide = run("decide", [entry("kept", "", 483), entry("dropped", "r", 65)])
    pack = run(
        "pack",
        [entry("kept", "", 482), entry("dropped", "decided", 65), entry("dropped", "empty", 1)],
    )
    assert list(explain_units(facts(decide, pack))) == [
        "decide judged 548 documents, one for one what annotate kept.",
        "pack read the same 548 documents once more, left out the 65 that decide had dropped, and put 482 into the shards.",
    ]


def test_a_chain_without_a_corpus_has_nothing_to_explain():
    assert list(explain_units(facts(run("pretrain")))) == []


# ---- the glossary


def test_words_stand_in_alphabetical_order_each_once():
    words = [word.lower() for word, _ in TERMS]
    assert words == sorted(set(words))


def test_every_word_that_the_report_links_to_is_explained():
    templates = (ROOT / "reports" / "templates" / "chain").glob("*.jinja")
    texts = [path.read_text(encoding="utf-8") for path in templates]
    linked = {word for text in texts for word in re.findall(r'\bterm\("([^"]+)"', text)}
    assert linked and linked <= {word for word, _ in TERMS}


@pytest.mark.parametrize(
    "word",
    [
        "MinHash",
        "near duplicate",
        "cluster",
        "quarantine",
        "perplexity",
        "nats",
        "bits per byte",
        "shard",
        "split",
        "receipt",
    ],
)
def test_the_words_a_newcomer_asked_for_are_explained(word):
    assert f'<dt id="{name_term_anchor(word)}">{word}</dt><dd>' in draw_glossary()


def test_a_word_in_a_sentence_leads_to_its_explanation():
    assert (
        link_term("near duplicate", "Near duplicates")
        == '<a href="#word-near-duplicate" class="term">Near duplicates</a>'
    )
