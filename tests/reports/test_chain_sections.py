"""The parts of the page one by one: what stands in each, what stands there where its data is missing, and hostile text stays text."""

import re
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
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

from gristmill.config import Config
from gristmill.runs import storage
from gristmill.runs.ledger import Entry, totals
from gristmill.runs.run import start_run
from reports.chain.collect import MOST_QUARANTINED, read_quarantine
from reports.chain.duplicates import draw_duplicates_section
from reports.chain.funnel import draw_funnel_section
from reports.chain.health_checks import check_health
from reports.chain.provenance import choose_example, draw_provenance_section
from reports.chain.sources import draw_crawl_section, draw_languages_section
from reports.chain.summary import describe_run, list_tiles, write_headline
from reports.chain.texts import RowLocation, read_pairs, read_rows, read_samples
from reports.chain.training import draw_tokens_section, draw_training_section
from reports.drawing.blocks import table
from reports.drawing.style import CSS
from reports.drawing.text_diff import compare_texts

NASTY = '<img src=x onerror="alert(1)">&'
SAMPLE = TextSample("0f", "news", "en", "The mill.", "a.gz, offset 1, item 0")


class Settings(Config):
    """A step's configuration, for the name."""

    step: str = ""


def run(step, rows=(), **changes):
    entries = tuple(
        Entry("news", lang, fate, reason, number, 10) for lang, fate, reason, number in rows
    )
    made = RunSummary(
        id=f"{step}-0",
        step=step,
        version="1",
        code="",
        parents=(),
        files_read=(),
        depth=0,
        main=True,
        counts={"read": sum(entry.documents for entry in entries), **totals(entries)}
        if entries
        else {},
        details={},
        config={},
        entries=entries,
        files=0,
        bytes=0,
        manifest="",
        exit_code=0,
        telemetry={},
    )
    return replace(made, **changes)


def facts(*runs_, **changes):
    return replace(ReportData("runs", (), tuple(runs_), None, (), None, (), ()), **changes)


def corpus(**changes):
    return replace(CorpusSummary(10, True, (), {}, {}, (), None, {}), **changes)


def clusters(*found, sizes=None):
    return facts(
        corpus=corpus(duplicates=DuplicateSummary({2: 1} if sizes is None else sizes, found))
    )


@pytest.mark.parametrize(
    ("line", "span", "said"),
    [
        (1500, 0, "Repeated text was cut out of 3 kept documents: 1.5 kB of lines."),
        (
            1500,
            20,
            "Repeated text was cut out of 3 kept documents: 1.5 kB of lines and 20 B of runs of words.",
        ),
        (0, 0, "Repeated text was cut out of 3 kept documents."),
    ],
)
def test_text_that_was_cut_is_told_of_by_kind(line, span, said):
    found = {"documents": 3, "repeated_line": line, "repeated_paragraph": 0, "repeated_span": span}
    drawn = draw_duplicates_section(
        replace(clusters(), runs=(run("decide", details={"repeated": found}),))
    )
    assert said in str(drawn)
    assert "Repeated text" not in str(
        draw_duplicates_section(replace(clusters(), runs=(run("decide"),)))
    )


# ---- near copies side by side


def test_near_copies_stand_side_by_side_with_what_differs_marked():
    other = replace(SAMPLE, id="1e", text="The church.")
    drawn = draw_duplicates_section(
        clusters(
            ClusterSample(2, 0.75, SAMPLE, other, compare_texts("The old mill.", "The new mill."))
        )
    )
    assert "<h4>2 documents, estimated similarity 0.75</h4>" in drawn
    assert (
        "2 of 3 words of the kept text also stand in the dropped one, in the same order. They differ in 1 place: it is shown and marked."
        in drawn
    )
    sides = re.findall(r'<p class="side">(\w+)</p><blockquote [^>]*>(.*?)</blockquote>', drawn)
    assert sides == [
        ("kept", "The <mark>old </mark>mill."),
        ("dropped", "The <mark>new </mark>mill."),
    ]
    assert "<code>0f</code>" in drawn and "<code>1e</code>" in drawn


def test_copies_that_differ_in_white_space_show_their_text_once():
    drawn = draw_duplicates_section(
        clusters(ClusterSample(2, 1.0, SAMPLE, SAMPLE, compare_texts("The mill.", "The  mill.")))
    )
    assert "2 of 2 words" in drawn and "they differ in white space at most." in drawn
    assert drawn.count("<blockquote") == 1 and "The mill." in drawn


def test_where_one_side_has_nothing_it_says_so():
    drawn = draw_duplicates_section(
        clusters(ClusterSample(2, 0.9, SAMPLE, SAMPLE, compare_texts("", "The mill.")))
    )
    assert "(nothing stands here)" in drawn and "<mark>The mill.</mark>" in drawn


def test_hostile_copies_stay_text():
    found = compare_texts(f"{NASTY} one", f"{NASTY} two")
    drawn = draw_duplicates_section(
        clusters(
            ClusterSample(
                2, 0.9, replace(SAMPLE, lang=NASTY), replace(SAMPLE, capture=NASTY), found
            )
        )
    )
    assert "<img" not in drawn and drawn.count("&lt;img") >= 3


def test_words_alike_that_are_passed_over_are_counted():
    words = " ".join(map(str, range(20)))
    drawn = draw_duplicates_section(
        clusters(ClusterSample(2, None, SAMPLE, SAMPLE, compare_texts(f"{words} a", f"{words} b")))
    )
    assert "<h4>2 documents</h4>" in drawn and "… after 12 more words alike:" in drawn


def test_a_cluster_whose_copies_are_not_here_shows_the_kept_text_alone():
    drawn = draw_duplicates_section(clusters(ClusterSample(3, None, SAMPLE, None, None)))
    assert (
        "<h4>3 documents</h4>" in drawn
        and drawn.count("<blockquote") == 1
        and "<mark>" not in drawn
    )


def test_a_corpus_without_duplicates_says_so():
    assert "No duplicates among 10 documents." in draw_duplicates_section(clusters(sizes={}))
    assert "Not part of this chain: " in draw_duplicates_section(facts())


# ---- what was read


def test_opt_outs_are_listed_by_source_and_personal_data_by_type():
    found = corpus(opt_outs={("news", NASTY): 2}, personal={"email": 3, "phone": 1})
    drawn = draw_crawl_section(facts(corpus=found))
    assert '<tr><th scope="row">news</th><td>&lt;img' in drawn
    assert (
        "4 spans (email 3, phone 1); they are marked, and masked where text is shown here." in drawn
    )
    masked = draw_crawl_section(facts(run("pack", config={"mask_personal": True}), corpus=found))
    assert "(email 3, phone 1); pack masked them." in masked


def test_no_opt_out_and_no_personal_data_are_sentences():
    drawn = draw_crawl_section(facts(corpus=corpus()))
    assert "No document states an opt-out." in drawn and "in kept documents: 0 spans." in drawn


def test_failures_of_a_crawl_stay_text_and_are_cut():
    crawl = run(
        "crawl",
        [("en", "quarantined", "http_500", 1)],
        details={"failures": [NASTY + "x" * 400] * 60},
    )
    drawn = draw_crawl_section(facts(crawl))
    assert "<img" not in drawn and drawn.count("<blockquote") == 50
    assert "<summary>Failures: 60 lines</summary>" in drawn and "x" * 300 not in drawn


def test_a_licence_is_called_a_claim_and_shows_its_evidence():
    row = LicenceCount("news", "MIT", 3, 2, {"a": 1, NASTY: 2})
    drawn = draw_crawl_section(
        facts(corpus=corpus(licences=(row, replace(row, licence="unknown", evidence={}))))
    )
    assert "A licence is a claim of the source: nobody has checked it." in drawn
    assert "<img" not in drawn
    assert re.search(r"&lt;img[^<]* 2, a 1</td>", drawn) and ">none found</td>" in drawn


def test_languages_come_from_the_furthest_step_and_unnamed_ones_stay_codes():
    annotate, pack = run("annotate", [("en", "kept", "", 5)]), run("pack", [("xx", "kept", "", 2)])
    assert "2 documents in the shards" in draw_languages_section(facts(annotate, pack))
    assert ">xx</th>" in draw_languages_section(
        facts(annotate, pack)
    ) and "5 documents read" in draw_languages_section(facts(annotate))
    assert "Not part of this chain: " in draw_languages_section(facts(run("crawl")))


# ---- the opening


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (run("crawl", [("en", "kept", "", 1)]), ["1 item"]),
        (run("decide", [("en", "kept", "", 2)]), ["2 documents kept"]),
        (run("tokenizer", details={"vocab_size": 2048}), ["2,048 pieces"]),
        (run("pretrain", details={"objective": "mlm_nsp"}, counts={"steps": 1}), ["BERT, 1 step"]),
        (run("audit", counts={"pairs_scored": 1200}), ["1,200 pairs"]),
        (run("finetune"), []),
    ],
)
def test_each_run_of_the_chain_says_the_numbers_that_matter(made, said):
    assert list(describe_run(made)) == said


def test_without_decisions_the_tiles_count_the_documents_read():
    assert list(
        list_tiles(facts(run("annotate", [("en", "kept", "", 5), ("en", "dropped", "no_text", 1)])))
    ) == [("Documents", "5", "of 6 records read")]


def test_an_unknown_objective_is_named_in_the_headline():
    model = TrainingSummary("pretrain-0", "span", {}, {}, {}, {}, {}, {}, "", ())
    assert write_headline(facts(run("pack", [("en", "kept", "", 1)]), trainings=(model,))) == (
        "1 document from 1 source in English, and a model (span) trained on them"
    )


def said(found):
    return {(check.level, check.words) for check in check_health(found)}


def test_a_failed_fetch_is_not_called_unreadable():
    crawl = run(
        "crawl",
        [
            ("en", "kept", "", 9),
            ("en", "quarantined", "http_404", 1),
            ("en", "quarantined", "dataloss", 2),
        ],
    )
    assert (
        "look",
        "3 items could not be fetched or came broken in crawl (dataloss 2, http_404 1).",
    ) in said(facts(crawl))


def test_licences_are_said_to_be_stated_by_the_input():
    known, unknown = LicenceCount("a", "MIT", 5, 4, {}), LicenceCount("a", "unknown", 2, 1, {})
    assert said(facts(corpus=corpus(licences=(known,)))) == {
        ("good", "All 4 kept documents have a licence, as stated by the input.")
    }
    undecided = corpus(decided=False, licences=(known, unknown))
    assert said(facts(corpus=undecided)) == {
        ("look", "The input states no licence that we know for 1 of 5 documents (20.0 %).")
    }
    assert said(facts(corpus=corpus())) == set()


def test_an_audit_is_only_called_good_where_a_gate_could_have_failed():
    def told(gate):
        return said(
            facts(
                audits=(
                    AuditSummary("audit-0", {"models": [], "gate": {"measurable": gate}}, (), ()),
                )
            )
        )

    assert told(0.5) == {("good", "The audit ran, and no gate failed.")}
    [(level, words)] = told(None)
    assert level == "look" and "no gate set" in words


# ---- samples and the quarantine


def test_reasons_show_their_samples_and_withhold_what_is_not_ours_to_show():
    reason = ReasonCount(
        "too_short", 1, 2, 1, (replace(SAMPLE, text=NASTY), replace(SAMPLE, text=None))
    )
    decide = run("decide", [("en", "dropped", "too_short", 1)])
    drawn = draw_funnel_section(facts(decide, corpus=corpus(reasons=(reason,))))
    assert "<summary><code>too_short</code> – dropped 1 document, holds for 2</summary>" in drawn
    assert "<img" not in drawn and "Its text is withheld." in drawn


def test_the_quarantine_names_place_meaning_and_error_and_how_many_are_not_shown(tables):
    annotate = run("annotate", [("en", "kept", "", 1), ("und", "quarantined", "bad_json", 3)])
    found = (QuarantinedRecord("annotate", "a.jsonl", 4096, "bad_json", NASTY),)
    drawn = draw_funnel_section(facts(annotate, quarantined=found))
    assert tables(drawn)["Quarantined records"][1] == [
        "annotate",
        "a.jsonl",
        "4,096",
        "bad_json",
        "the line is no JSON object",
        NASTY,
    ]
    assert (
        "n = 3 records" in drawn
        and "2 more records: `gristmill quarantine RUN` prints all." in drawn
    )


def test_an_empty_quarantine_says_so_whatever_crawl_could_not_fetch():
    drawn = draw_funnel_section(facts(run("crawl", [("en", "quarantined", "http_404", 3)])))
    assert "Every record that lay there could be read." in drawn


@pytest.mark.parametrize("rows", [0, 1, MOST_QUARANTINED, MOST_QUARANTINED + 7])
def test_of_a_long_quarantine_the_first_rows_are_read(tmp_path, rows):
    with start_run("annotate", out=tmp_path, config=Settings()) as made:
        for part in range(2):
            columns = {
                "file": ["http://host/x/a.gz"] * rows,
                "offset": list(range(rows)),
                "reason": ["r"] * rows,
                "error": ["e"] * rows,
            }
            with storage.open_for_commit(made.path / "quarantine" / f"part-{part}.parquet") as file:
                pq.write_table(
                    pa.table(
                        {
                            k: pa.array(v, pa.int64() if k == "offset" else pa.string())
                            for k, v in columns.items()
                        }
                    ),
                    file,
                )
        sealed = made.finish()
    found = list(read_quarantine([sealed]))
    assert len(found) == min(2 * rows, MOST_QUARANTINED)
    assert [q.offset for q in found[:rows]] == list(range(rows))[: len(found)] and {
        q.file for q in found
    } <= {"a.gz"}


# ---- texts from the files


@pytest.fixture
def shards(tmp_path):
    """Two shards of five documents in row groups of two."""
    paths = [tmp_path / f"part-{number}.parquet" for number in range(2)]
    for number, path in enumerate(paths):
        rows = [
            {
                "id": f"{number}{row}",
                "text": f"text {number} {row}",
                "source": "s",
                "lang": "en",
                "capture": None,
                "personal": None,
            }
            for row in range(5)
        ]
        spans = pa.list_(
            pa.struct([("start", pa.int32()), ("end", pa.int32()), ("type", pa.string())])
        )
        kinds = {"capture": pa.struct([("file", pa.string())]), "personal": spans}
        schema = pa.schema([(name, kinds.get(name, pa.string())) for name in rows[0]])
        pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=2)
    return paths


@given(places=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4))))
def test_documents_are_found_by_their_place_each_once_whatever_the_order(tmp_path_factory, places):
    folder = tmp_path_factory.mktemp("shards")
    made = [folder / f"{number}.parquet" for number in range(2)]
    empty = {
        "text": pa.array(["x"] * 5),
        "source": pa.array(["s"] * 5),
        "lang": pa.array(["en"] * 5),
    }
    empty |= {
        "capture": pa.nulls(5, pa.struct([("file", pa.string())])),
        "personal": pa.nulls(5, pa.list_(pa.string())),
    }
    for number, path in enumerate(made):
        pq.write_table(
            pa.table({"id": pa.array([f"{number}{row}" for row in range(5)]), **empty}),
            path,
            row_group_size=2,
        )
    found = list(read_rows(made, [RowLocation(*place) for place in places]))
    assert [(place, row["id"]) for place, row in found] == [
        (RowLocation(*p), f"{p[0]}{p[1]}") for p in sorted(set(places))
    ]


def test_samples_and_pairs_are_read_from_any_shard(shards):
    one, other = RowLocation(0, 4), RowLocation(1, 0)
    assert {place: found.text for place, found in read_samples(shards, [other, one]).items()} == {
        one: "text 0 4",
        other: "text 1 0",
    }
    assert read_pairs(shards, [(one, other)]) == {
        (one, other): compare_texts("text 0 4", "text 1 0")
    }
    assert read_pairs(shards, []) == {}


# ---- models and tokens


def test_what_models_say_is_marked_and_stays_text():
    causal = TrainingSummary(
        "p-0",
        "causal",
        {},
        {},
        {},
        {},
        {},
        {},
        "continuation",
        ({"prompt": "Once", "text": NASTY},) * 5,
    )
    guesses = (
        {
            "before": "a ",
            "answer": NASTY,
            "after": " c",
            "guesses": [{"piece": NASTY, "probability": 0.5}],
        },
    )
    bert = replace(
        causal, run="p-1", objective="mlm_nsp", samples_kind="fill_mask", samples=guesses
    )
    drawn = draw_training_section(facts(trainings=(causal, bert)))
    assert "<img" not in drawn and drawn.count("Once<mark>&lt;img") == 5
    assert (
        "<summary>2 more</summary>" in drawn
        and "a <mark>[MASK]</mark> c" in drawn
        and "</code> 50.0%" in drawn
    )


def test_the_proof_of_an_export_is_told_where_there_is_one():
    model = TrainingSummary(
        "p-0",
        "causal",
        {},
        {"loop": {"validation_samples": 128}},
        {},
        {},
        {},
        {"max_logit_difference": 4e-6, "tokenizer_texts_checked": 1},
        "",
        (),
    )
    drawn = draw_training_section(facts(trainings=(model,)))
    assert (
        "at most 4e-06; its tokenizer gave equal ids on 1 text." in drawn
        and "Validation over at most 128 sequences." in drawn
    )
    assert "logits" not in draw_training_section(facts(trainings=(replace(model, export={}),)))


def test_lengths_are_drawn_from_the_shortest_document_on():
    found = TokenCounts(
        "pack-0", 99, "7e", (TokenSlice("train", "a", "en", 3, 40, 90),), (0, 0, 0, 2, 1)
    )
    drawn = draw_tokens_section(facts(tokens=found))
    assert re.findall(r"<title>(\d[^<]* tokens)</title>", drawn) == [
        "8 to 15 tokens",
        "16 to 31 tokens",
    ]
    assert "n = 3 documents" in drawn and ">0.444</td>" in drawn


# ---- the trail and the look


def test_the_command_to_try_names_a_document_that_the_page_shows():
    withheld, shown_ = replace(SAMPLE, id="00", text=None), replace(SAMPLE, id="0b")
    found = corpus(reasons=(ReasonCount("a", 1, 1, 1, (withheld, SAMPLE, shown_)),))
    assert choose_example(facts(corpus=found)) == "0b" and choose_example(facts()) == "ID"
    assert "&#x27;0b&#x27;" in draw_provenance_section(facts(run("annotate"), corpus=found))


def test_columns_of_numbers_and_of_prose_have_their_style_and_plain_ones_none():
    drawn = table("T", ("a", "#n", "~why"), [("x", "1", "because")])
    assert re.findall("<td[^>]*>", drawn) == ['<td class="n">', '<td class="w">']
    assert re.findall('<th scope="col"[^>]*>[^<]*', drawn) == [
        '<th scope="col">a',
        '<th scope="col" class="n">n',
        '<th scope="col" class="w">why',
    ]


def test_nothing_but_columns_of_prose_asks_for_a_width_that_a_telephone_lacks():
    widths = {
        float(rem) for rem in re.findall(r"min-width: ([\d.]+)rem", CSS.split("@media print")[0])
    } - {75.0}
    assert max(widths) <= 13
    assert "min-width: min(100%, 30rem)" in CSS and ".chart svg { width: 100%;" in CSS


def test_a_table_that_is_too_wide_shows_a_shadow_where_it_goes_on():
    rule = re.search(r"\.scroll \{([^}]*)\}", CSS)
    assert rule is not None
    assert (
        "overflow-x: auto" in rule[1]
        and "background-attachment: local, local, scroll, scroll" in rule[1]
    )
    assert CSS.count("--shade:") == 2
