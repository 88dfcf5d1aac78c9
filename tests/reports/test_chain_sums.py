"""Every sum on the page is the manifest's: tables are read back as a reader sees them and added up."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports.chain.report_data import (
    CorpusSummary,
    DuplicateSummary,
    LicenceCount,
    ReasonCount,
    ReportData,
    RunSummary,
    TokenCounts,
    TokenSlice,
    TrainingSummary,
)

from gristmill.runs.ledger import Entry, totals
from reports.chain.duplicates import draw_duplicates_section
from reports.chain.funnel import count_losses, draw_funnel_section
from reports.chain.page import draw_page
from reports.chain.provenance import draw_limits_section, draw_provenance_section
from reports.chain.sources import (
    MOST_FILES,
    MOST_ROWS,
    draw_crawl_section,
    draw_languages_section,
    draw_share_bar,
    long_table,
)
from reports.chain.training import draw_tokens_section, draw_training_section

FATES = st.sampled_from(
    [("kept", ""), ("dropped", "rule_a"), ("dropped", "rule_b"), ("quarantined", "bad_item")]
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["news", "wiki"]),
        st.sampled_from(["en", "zh", "und"]),
        FATES,
        st.integers(1, 5000),
        st.integers(0, 10**7),
    ),
    min_size=1,
    max_size=12,
)
LEDGERS = st.dictionaries(
    st.sampled_from(["crawl", "annotate", "decide", "pack"]), ROWS, min_size=1
)
RULES = [
    {"name": name, "preset": "own", "signal": "words", "min": 5}
    for name in ("rule_a", "rule_b", "idle")
]


def run(step, rows=(), **changes):
    entries = tuple(
        Entry(source, lang, *fate, number, size) for source, lang, fate, number, size in rows
    )
    made = RunSummary(
        id=f"{step}-0",
        step=step,
        version="1",
        code="c0de",
        parents=(),
        files_read=(),
        depth=0,
        main=True,
        counts={"read": sum(entry.documents for entry in entries), **totals(entries)}
        if entries
        else {},
        details={"reasons": [rule["name"] for rule in RULES], "rules": RULES}
        if step == "decide"
        else {},
        config={},
        entries=entries,
        files=3,
        bytes=2048,
        manifest="5ha",
        exit_code=0,
        telemetry={},
    )
    return replace(made, **changes)


def facts(*runs, **changes):
    return replace(ReportData("runs", (), tuple(runs), None, (), None, (), ()), **changes)


def corpus(**changes):
    return replace(CorpusSummary(10, True, (), {}, {}, (), None, {}), **changes)


def number(cell):
    """A cell as a number; what stands for none counts nothing."""
    words = cell.split()[0].replace(",", "")
    return 0 if words in ("·", "–") else int(words)


def column(rows, name):
    place = rows[0].index(name)
    return [number(row[place]) for row in rows[1:]]


# ---- the funnel


@given(LEDGERS)
def test_each_step_shows_its_counts_and_they_add_up(tables, ledgers):
    steps = [step for step in ("crawl", "annotate", "decide", "pack") if step in ledgers]
    runs = [run(step, ledgers[step]) for step in steps]
    rows = tables(draw_funnel_section(facts(*runs)))["What each step read, and what became of it"]
    assert [row[0] for row in rows[1:]] == steps
    for row, made in zip(rows[1:], runs, strict=True):
        read, kept, dropped, failed = map(number, row[2:])
        assert read == kept + dropped + failed == made.counts["read"]
        assert (kept, dropped, failed) == tuple(
            made.counts[fate] for fate in ("kept", "dropped", "quarantined")
        )


@given(LEDGERS)
def test_the_reasons_of_a_step_add_up_to_what_it_did_not_keep(ledgers):
    runs = [run(step, rows) for step, rows in ledgers.items()]
    found = count_losses(runs)
    for made in runs:
        own = [one for one in found if one.step == made.step]
        for fate in ("dropped", "quarantined"):
            assert sum(one.number for one in own if one.fate == fate) == made.counts[fate]
        assert all(one.read == made.counts["read"] for one in own)


@given(LEDGERS)
def test_the_two_tables_of_reasons_together_tell_of_every_loss(tables, ledgers):
    runs = [run(step, rows) for step, rows in ledgers.items()]
    drawn = tables(draw_funnel_section(facts(*runs)))
    around = drawn.get("Reasons of the steps around decide", [["number"]])
    rules = [
        row
        for name in ("Rules that hold for a document", "Rules that hold for none")
        for row in drawn.get(name, [[]])[1:]
    ]
    lost = sum(
        made.counts["dropped"] + made.counts["quarantined"]
        for made in runs
        if made.step != "decide"
    )
    assert sum(column(around, "number")) == lost
    decided = [made.counts["dropped"] for made in runs if made.step == "decide"]
    assert sum(number(row[2]) for row in rules) == sum(decided)
    assert sorted(row[0] for row in rules) == (["idle", "rule_a", "rule_b"] if decided else [])


@given(ROWS)
def test_decide_by_source_and_by_language_adds_up_across_and_down(tables, rows):
    decide = run("decide", rows)
    drawn = tables(draw_funnel_section(facts(decide)))
    for name in ("source", "language"):
        found = drawn[f"Documents of decide-0 by {name} and first reason"]
        assert sum(column(found, "read")) == decide.counts["read"]
        assert sum(column(found, "kept")) == decide.counts["kept"]
        for row in found[1:]:
            read, kept, *reasons = (
                number(cell) for place, cell in enumerate(row[1:], start=1) if place != 3
            )
            assert read == kept + sum(reasons)


def test_what_pack_repeats_of_decide_is_no_new_loss():
    rows = [
        ("news", "en", ("kept", ""), 5, 0),
        ("news", "en", ("dropped", "decided"), 3, 0),
        ("news", "en", ("dropped", "empty"), 1, 0),
    ]
    assert [(one.reason, one.number, one.part) for one in count_losses([run("pack", rows)])] == [
        ("empty", 1, "11.1 %")
    ]


def test_crawls_of_one_chain_are_shown_each_and_their_reasons_together(tables):
    rows = [("news", "en", ("kept", ""), 5, 0), ("news", "en", ("dropped", "robots"), 1, 0)]
    drawn = tables(draw_funnel_section(facts(run("crawl", rows), run("crawl", rows))))
    assert len(drawn["What each step read, and what became of it"]) == 3
    assert drawn["Reasons of the steps around decide"][1] == [
        "robots",
        "crawl",
        "dropped",
        "robots.txt of the host forbids to fetch it",
        "2 items",
        "16.7 %",
        "0 B",
    ]


def test_a_rule_shows_its_condition_and_what_it_holds_for_and_holds_for_alone(tables):
    rows = [("news", "en", ("kept", ""), 8, 0), ("news", "en", ("dropped", "rule_a"), 2, 0)]
    reasons = (ReasonCount("rule_a", 2, 3, 1, ()), ReasonCount("rule_b", 0, 2, 0, ()))
    drawn = tables(
        draw_funnel_section(
            facts(
                run("decide", rows), corpus=corpus(reasons=reasons, signals={"words": "how many"})
            )
        )
    )
    assert drawn["Rules that hold for a document"] == [
        [
            "rule",
            "order",
            "dropped",
            "drops a document if",
            "laid down in",
            "holds for",
            "holds alone",
        ],
        ["rule_a", "1", "2", "words < 5words: how many", "preset own", "3", "1"],
        ["rule_b", "2", "0", "words < 5words: how many", "preset own", "2", "0"],
    ]
    assert drawn["Rules that hold for none"][1:] == [
        ["idle", "3", "0", "words < 5words: how many", "preset own", "0", "0"]
    ]


def test_without_the_documents_nothing_is_said_of_what_a_rule_holds_for(tables):
    drawn = tables(
        draw_funnel_section(facts(run("decide", [("news", "en", ("dropped", "rule_a"), 2, 0)])))
    )
    assert drawn["Rules that hold for a document"][1][5:] == ["–", "–"]


def test_a_run_without_recorded_thresholds_says_so_and_still_counts(tables):
    decide = run(
        "decide", [("news", "en", ("dropped", "rule_a"), 2, 0)], details={"reasons": ["rule_a"]}
    )
    drawn = draw_funnel_section(facts(decide))
    assert "did not record thresholds" in drawn
    assert tables(drawn)["Rules that hold for a document"][1][2:5] == [
        "2",
        "not recorded by the version that made this run",
        "–",
    ]


def test_where_nothing_was_dropped_the_page_says_so():
    drawn = draw_funnel_section(facts(run("decide", [("news", "en", ("kept", ""), 2, 0)])))
    assert "Nothing was dropped." in drawn and "No rule dropped a document." in drawn


# ---- sources, licences, languages


@given(ROWS, st.dictionaries(st.sampled_from(["news", "wiki", "down"]), st.integers(0, 9999)))
def test_the_sources_of_a_crawl_add_up_to_its_last_row(tables, rows, fetched):
    crawl = run("crawl", rows, details={"fetched": fetched})
    found = tables(draw_crawl_section(facts(crawl)))["Sources of crawl-0"]
    for place in range(1, 5):
        assert sum(number(row[place]) for row in found[1:-1]) == number(found[-1][place])
    assert list(map(number, found[-1][1:])) == [
        sum(fetched.values()),
        crawl.counts["kept"],
        crawl.counts["dropped"],
        crawl.counts["quarantined"],
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=1, max_size=MOST_ROWS + 5
    )
)
def test_the_licences_add_up_to_the_documents(tables, pairs):
    rows = tuple(
        LicenceCount(f"s{i}", "MIT", kept + dropped, kept, {})
        for i, (kept, dropped) in enumerate(pairs)
    )
    drawn = tables(draw_crawl_section(facts(corpus=corpus(licences=rows))))
    found = drawn["Documents by source and licence"]
    found += drawn.get("Documents by source and licence, continued", [[]])[1:]
    assert sum(column(found, "documents")) == sum(map(sum, pairs))
    assert sum(column(found, "kept")) == sum(kept for kept, _ in pairs)


@given(ROWS)
def test_languages_and_sources_add_up_to_what_was_kept(tables, rows):
    made = run("pack", rows)
    drawn = tables(draw_languages_section(facts(made)))
    for name in ("By language", "By source"):
        assert sum(column(drawn[name], "documents")) == made.counts["kept"]


@given(st.dictionaries(st.text("abcdefghij", min_size=1), st.integers(0, 10**6), max_size=20))
def test_a_bar_of_shares_loses_nothing_to_its_last_part(values):
    drawn = draw_share_bar("t", {"documents": Counter(values)}, str)
    if not sum(values.values()):
        assert "nothing to draw" in drawn
        return
    told = [
        int(words.replace(",", ""))
        for words in drawn.split("<title>documents, ")[1:]
        for words in [words.split(": ")[1].split(" of ")[0]]
    ]
    assert sum(told) == sum(values.values())


@given(st.integers(0, 3 * MOST_ROWS))
def test_a_long_table_shows_every_row_once(tables, length):
    drawn = tables(
        "".join(long_table("T", ("a", "#n"), [(f"r{i}", str(i)) for i in range(length)]))
    )
    shown = drawn["T"][1:] + drawn.get("T, continued", [[]])[1:]
    assert shown == [[f"r{i}", str(i)] for i in range(length)]


def test_input_files_are_listed_one_by_one_where_the_manifest_names_them(tables):
    files = [
        {"name": "a<b.jsonl", "bytes": 2_000_000, "records": 12_000},
        {"name": "c", "bytes": 5, "records": 0},
    ]
    made = run(
        "annotate",
        files_read=("*.jsonl",),
        details={"input_files": files, "passed_over": ["notes.txt"]},
    )
    drawn = draw_crawl_section(facts(made))
    assert tables(drawn)["Input files of annotate-0"][1:] == [
        ["a<b.jsonl", "2 MB", "12,000"],
        ["c", "5 B", "0"],
    ]
    for words in (
        "<summary>2 input files, 2 MB</summary>",
        "Passed over as no input: notes.txt.",
        "*.jsonl",
    ):
        assert words in drawn


@given(st.integers(1, MOST_FILES + 20))
def test_of_very_many_input_files_the_first_are_listed_and_all_counted(tables, number_):
    files = [{"name": f"{i}.jsonl", "bytes": 10, "records": 1} for i in range(number_)]
    drawn = draw_crawl_section(
        facts(run("annotate", files_read=("*",), details={"input_files": files}))
    )
    assert len(tables(drawn)["Input files of annotate-0"]) == 1 + min(number_, MOST_FILES)
    assert f"<summary>{number_} input file" in drawn
    assert ("in the manifest." in drawn) == (number_ > MOST_FILES)


@pytest.mark.parametrize("details", [{}, {"input_files": []}, {"input_files": None}])
def test_a_manifest_that_names_no_files_is_told_of_by_its_pattern(details):
    drawn = draw_crawl_section(facts(run("annotate", files_read=("*.jsonl",), details=details)))
    assert "The corpus was read from files: <code>*.jsonl</code>." in drawn


# ---- duplicates, tokens, training, the trail


@given(
    st.dictionaries(st.integers(2, 3000), st.integers(1, 99), min_size=1, max_size=8),
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_duplicates_say_how_many_clusters_there_are_and_what_they_cost(tables, sizes, exact, near):
    reasons = (
        ReasonCount("exact_duplicate", exact, exact, exact, ()),
        ReasonCount("near_duplicate", near, near, near, ()),
    )
    drawn = draw_duplicates_section(
        facts(corpus=corpus(reasons=reasons, duplicates=DuplicateSummary(sizes, ())))
    )
    assert column(tables(drawn)["Documents dropped as duplicates"], "documents") == [exact, near]
    assert re.search(rf": {exact + near} documents? dropped for another that is kept", drawn)
    number_ = sum(sizes.values())
    assert f"{number_:,} cluster{'s' if number_ > 1 else ''} of near or equal copies" in drawn


SLICES = st.lists(
    st.builds(
        TokenSlice,
        st.sampled_from(["train", "validation", "test"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["en", "zh"]),
        st.integers(1, 999),
        st.integers(1, 10**6),
        st.integers(1, 10**7),
    ),
    min_size=1,
    max_size=10,
    unique_by=lambda one: (one.split, one.source, one.lang),
)


@given(SLICES)
def test_tokens_add_up_alike_by_split_by_language_and_by_source(tables, slices):
    drawn = tables(
        draw_tokens_section(facts(tokens=TokenCounts("pack-0", 99, "7e", tuple(slices), (1,))))
    )
    for name in ("Splits", "Tokens by language", "Tokens by source"):
        assert sum(column(drawn[name], "documents")) == sum(one.documents for one in slices)
        assert sum(column(drawn[name], "tokens")) == sum(one.tokens for one in slices)


def test_a_model_shows_what_its_run_counted_and_its_first_and_last_validation(tables):
    first, last = (
        {"step": 0, "validation_loss": 3.5, "bits_per_byte": 4.0},
        {"step": 2, "validation_loss": 2.25, "bits_per_byte": 3.0},
    )
    model = TrainingSummary(
        "pretrain-0",
        "causal",
        {"parameters": 12_000, "steps": 2, "tokens": 640},
        {},
        {"loss": [(1, 3.0)]},
        first,
        last,
        {},
        "continuation",
        (),
    )
    drawn = tables(draw_training_section(facts(trainings=(model,))))
    assert drawn["Models"][1] == ["pretrain-0", "causal", "12,000", "2", "640", "2.250", "3.000"]
    assert drawn["pretrain-0, first and last validation"][1:] == [
        ["step", "0", "2"],
        ["validation loss", "3.500", "2.250"],
        ["bits per byte", "4.000", "3.000"],
    ]


def test_a_model_that_was_never_validated_shows_dashes(tables):
    model = TrainingSummary("pretrain-0", "mlm_nsp", {}, {}, {}, {}, {}, {}, "fill_mask", ())
    assert tables(draw_training_section(facts(trainings=(model,))))["Models"][1] == [
        "pretrain-0",
        "mlm_nsp",
        "0",
        "0",
        "0",
        "–",
        "–",
    ]


def test_the_trail_names_every_run_with_what_it_was_made_from(tables):
    made = run(
        "decide",
        parents=("annotate-0", "x-0"),
        telemetry={"seconds": 61, "sealed": 0.0, "peak_memory_mb": 1200},
    )
    drawn = tables(draw_provenance_section(facts(run("crawl"), made)))
    assert drawn["Runs"][1:] == [
        ["crawl-0", "the web", "3", "2.05 kB", "–", "–", "–"],
        [
            "decide-0",
            "annotate-0x-0",
            "3",
            "2.05 kB",
            "1 min 1 s",
            "1,200 MB",
            "1970-01-01 00:00 UTC",
        ],
    ]
    assert [row[0] for row in drawn["Identities"][1:]] == ["crawl-0", "decide-0"]


def test_the_limits_name_each_part_that_is_missing():
    drawn = draw_limits_section(facts(run("decide")))
    for name in ("crawl", "documents beside it", "pack run", "pretrain run", "audit"):
        assert f"This chain has no {name}: what it would tell is missing above, not zero." in drawn


@given(LEDGERS)
def test_a_page_of_any_ledgers_can_be_drawn(ledgers):
    drawn = draw_page(facts(*(run(step, rows) for step, rows in ledgers.items())))
    assert drawn.endswith("</html>\n")
