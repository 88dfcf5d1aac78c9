"""The page of duplicate clusters: what it says, that nothing from outside breaks it, and how it lies beside the report."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports.clusters.cluster_report import (
    ClusterCard,
    ClusterReport,
    DocumentRecord,
    DroppedDocument,
    TextPair,
)
from typer.testing import CliRunner

from gristmill import cli
from gristmill.errors import RunError, UserError
from gristmill.runs.finished import find_latest
from reports.clusters.collect import ClusterQuery, collect_clusters, open_corpus
from reports.clusters.page import compute_candidate_probability, draw_page, isolated, write_headline
from reports.drawing.text_diff import compare_texts

NASTY = '<script>alert("1")</script>\u202e\u2069'
NEAR = {"bands": 14, "rows": 8, "min_similarity": 0.7}
HEBREW = "שלום"


def record(id="0f", **changes):
    given = {
        "id": id,
        "source": "news",
        "lang": "en",
        "title": f"Title {id}",
        "url": "https://e.org/1",
        "date": "2020-01-02",
    }
    return DocumentRecord(**(given | changes))


def card(kept_text="The old mill.", dropped_text="The new mill.", **changes):
    kept, dropped = record(), DroppedDocument(record("1e"), "near_duplicate", 0.75)
    given = {
        "label": 7,
        "size": 2,
        "keeps": 1,
        "dropped": {"near_duplicate": 1},
        "kept": (kept,),
        "listed": (dropped,),
        "pairs": (
            TextPair(
                "the least similar",
                kept,
                dropped,
                compare_texts(kept_text, dropped_text),
                kept_text,
            ),
        ),
    }
    return ClusterCard(**(given | changes))


def facts(*largest, **changes):
    given = {
        "run": "decide-1",
        "documents_run": "annotate-1",
        "version": "1",
        "near": NEAR,
        "url": {},
        "prefer": (),
        "keeps": 1,
        "masked": True,
        "documents": 10,
        "sizes": {2: 1},
        "dropped": {"exact_duplicate": 0, "near_duplicate": 1},
        "bins": (*[0] * 30, 1, *[0] * 9),
        "unmeasured": 0,
        "seed": 0,
        "named": (),
        "largest": largest,
        "sample": (),
    }
    return ClusterReport(**(given | changes))


def gristmill(*arguments):
    return CliRunner().invoke(cli.build_app(), [*map(str, arguments)])


class Elements(HTMLParser):
    """The names of all elements of a page, in order, and how often each id occurs."""

    def __init__(self, drawn):
        super().__init__()
        self.names, self.ids, self.open = [], [], []
        self.feed(drawn)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]


# ---- the head


def test_the_head_says_how_many_clusters_there_are_and_what_they_cost(tables):
    drawn = draw_page(
        facts(
            card(),
            dropped={"exact_duplicate": 3, "url_duplicate": 2, "near_duplicate": 1},
            documents=60,
        )
    )
    assert "<h1>1 cluster of copies among 60 documents: 6 were dropped</h1>" in drawn
    assert tables(drawn)["Documents dropped as duplicates"][1:] == [
        ["exact_duplicate", "3", "5.0 %"],
        ["url_duplicate", "2", "3.3 %"],
        ["near_duplicate", "1", "1.7 %"],
    ]
    assert (
        "Number of clusters by size" in drawn
        and "Dropped documents by similarity to the kept text" in drawn
    )


def test_copies_by_address_are_not_told_of_where_there_are_none(tables):
    assert [
        row[0] for row in tables(draw_page(facts(card())))["Documents dropped as duplicates"][1:]
    ] == [
        "exact_duplicate",
        "near_duplicate",
    ]


def test_the_histogram_begins_where_there_are_documents():
    assert "1 values from 0.75 to 1.0" in draw_page(facts(card()))


def test_documents_without_a_similarity_are_counted():
    assert "n = 1. " in draw_page(facts(card())) and "not recorded." not in draw_page(facts(card()))
    assert "Of 5 documents it is not recorded." in draw_page(facts(card(), unmeasured=5))


def test_each_setting_has_its_value_and_how_to_read_it(tables):
    rows = tables(draw_page(facts(card(), prefer=("wiki", "news"))))["Settings of decide"]
    assert [row[:2] for row in rows[1:]] == [
        ["near.bands", "14"],
        ["near.rows", "8"],
        ["near.min_similarity", "0.7"],
        ["prefer", "wiki and news"],
    ]
    assert "0.5: 5.3 %, 0.6: 21.1 %, 0.7: 56.5 %, 0.8: 92.4 % and 0.9: >99.9 %" in rows[1][2]
    assert all(row[2] for row in rows)


def test_addresses_and_how_many_stay_are_told_of_where_they_count(tables):
    drawn = draw_page(facts(card(), url={"max_documents": 100, "min_similarity": 0.3}, keeps=2))
    rows = tables(drawn)["Settings of decide"]
    assert [row[:2] for row in rows[4:]] == [
        ["url.min_similarity", "0.3"],
        ["keep_per_cluster", "2"],
    ]
    assert "of which there are 100 at most" in rows[4][2]
    assert "url." not in draw_page(facts(card(), url={"max_documents": 0, "min_similarity": 0.3}))


def test_texts_in_which_personal_data_were_not_looked_for_are_said_to_be_so():
    assert "were not looked for" in draw_page(facts(card(), masked=False))
    assert "were not looked for" not in draw_page(facts(card()))


def test_settings_that_a_run_does_not_name_are_left_out(tables):
    assert "Settings of decide" not in tables(draw_page(facts(card(), near={})))


@given(st.floats(0, 1), st.integers(1, 30), st.integers(1, 12))
def test_a_pair_is_found_as_often_as_one_of_its_bands_is_equal(similarity, bands, rows):
    missed = 1.0
    for _ in range(bands):
        missed *= 1 - similarity**rows
    assert compute_candidate_probability(
        similarity, {"bands": bands, "rows": rows}
    ) == pytest.approx(1 - missed, abs=1e-12)


def test_without_duplicates_the_page_says_so_and_has_no_cards():
    none = facts(sizes={}, dropped={}, bins=(0,) * 40)
    assert write_headline(none) == "No duplicates among 10 documents"
    assert "<article" not in draw_page(none) and "The largest clusters" not in draw_page(none)


# ---- cards


def test_a_card_tells_its_size_its_kept_document_and_its_members(tables):
    drawn = draw_page(facts(card()))
    assert '<h3 id="largest-7">2 documents: 1 kept, 1 dropped (1 as near_duplicate)</h3>' in drawn
    assert (
        "<h4>Kept and dropped text, the least similar: near_duplicate, similarity 0.75</h4>"
        in drawn
    )
    found = tables(drawn)
    assert found["The largest clusters"][1] == ["7", "2", "1", "0.75", "Title 0f"]
    assert found["Members of cluster 7 (largest): kept ones, then the least similar"][1:] == [
        ["0f", "kept", "–", "news", "2020-01-02"],
        ["1e", "near_duplicate", "0.75", "news", "2020-01-02"],
    ]
    assert '<a href="#largest-7">7</a>' in drawn and " more.</p>" not in drawn


def test_texts_stand_side_by_side_with_what_differs_marked():
    sides = re.findall(
        r'<p class="side">(\w+)</p><blockquote [^>]*>(.*?)</blockquote>', draw_page(facts(card()))
    )
    assert sides == [
        ("kept", "The <mark>old </mark>mill."),
        ("dropped", "The <mark>new </mark>mill."),
    ]


def test_chinese_differs_by_character():
    drawn = draw_page(facts(card("磨坊比教堂还要古老。", "磨坊比寺庙还要古老。")))
    assert (
        "磨坊比<mark>教堂</mark>还要古老。" in drawn
        and "磨坊比<mark>寺庙</mark>还要古老。" in drawn
    )


def test_further_pairs_are_folded():
    first = card().pairs[0]
    second = TextPair("the most similar", first.kept, first.dropped, first.comparison, "")
    drawn = draw_page(facts(card(pairs=(first, second))))
    assert (
        "<details><summary>Kept and dropped text, the most similar: near_duplicate, similarity 0.75</summary>"
        in drawn
    )
    assert drawn.count("<h4>") == 1


def test_what_is_not_listed_is_counted():
    drawn = draw_page(facts(card(size=100, keeps=9, dropped={"near_duplicate": 91})))
    assert "… and 98 more." in drawn and "… and 8 more kept" in drawn


def test_several_kept_documents_are_all_described():
    drawn = draw_page(facts(card(keeps=2, size=3, kept=(record("0f"), record("2d", title="")))))
    assert drawn.count("<b>Kept: </b>") == 2 and "<em>no title</em>" in drawn


def test_a_cluster_that_lost_nothing_says_so():
    drawn = draw_page(facts(card(dropped={}, keeps=2, pairs=(), listed=())))
    assert "2 documents: 2 kept, none dropped" in drawn and "<mark>" not in drawn


def test_an_unknown_similarity_is_said_to_be_unknown():
    unknown = DroppedDocument(record("1e"), "url_duplicate", None)
    (first,) = card().pairs
    drawn = draw_page(
        facts(
            card(
                listed=(unknown,),
                pairs=(TextPair(first.which, first.kept, unknown, first.comparison, ""),),
            )
        )
    )
    assert "the least similar: url_duplicate, similarity not recorded" in drawn


def test_empty_texts_are_said_to_be_empty():
    assert "Both texts are empty." in draw_page(facts(card("", "")))
    assert "(nothing stands here)" in draw_page(facts(card("The mill.", "")))


def test_texts_equal_but_for_white_space_show_how_they_begin():
    drawn = draw_page(facts(card("The mill.", "The  mill.")))
    assert "they differ in white space at most." in drawn and ">The mill.</blockquote>" in drawn


def test_one_huge_word_is_shown_by_its_beginning():
    drawn = draw_page(facts(card("x" * 1_000_000, f"y{' ' * 100_000}z")))
    assert len(drawn) < 60_000


def test_a_text_from_right_to_left_has_its_own_direction():
    drawn = draw_page(facts(card(f"{HEBREW} a", f"{HEBREW} b", kept=(record(title=HEBREW),))))
    assert f'dir="auto" lang="en" class="text">{HEBREW} <mark>a</mark>' in drawn
    assert f"<bdi>{HEBREW}</bdi>" in drawn


def test_a_title_cannot_turn_what_stands_behind_it():
    assert isolated("a\u202eb\u2069c") == "<bdi>a\ufffdb\ufffdc</bdi>"


# ---- the command


@pytest.fixture
def decided(family):
    nasty = {
        "text": f"{NASTY} one",
        "title": NASTY,
        "url": f"javascript:{NASTY}",
        "source": NASTY,
        "lang": NASTY,
    }
    family.columns |= {"a": nasty, "b": nasty | {"text": f"{NASTY} two", "title": None}}
    documents = [
        ("a", "A"),
        ("b", "A", "a", 0.75),
        ("c", "C"),
        ("d", "C", "c", 1.0, "exact_duplicate"),
        ("e", None),
    ]
    return family.make(documents, near=NEAR)


def test_the_command_writes_the_page_and_prints_its_path_last(decided, tmp_path):
    done = gristmill("clusters", decided.path, "--out", tmp_path / "new" / "page.html")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(tmp_path / "new" / "page.html")
    assert "2 clusters of copies among 5 documents: 2 were dropped" in done.stderr
    drawn = (tmp_path / "new" / "page.html").read_text()
    assert (
        drawn.startswith('<!doctype html>\n<html lang="en">') and "Back to the report" not in drawn
    )


def test_hostile_documents_stay_text(decided):
    drawn = draw_page(collect_clusters(open_corpus(decided), ClusterQuery()))
    elements = Elements(drawn)
    assert not {"script", "img", "iframe"} & set(elements.names) and "javascript:" not in " ".join(
        re.findall(r'href="([^"]*)"', drawn)
    )
    assert len(elements.ids) == len(set(elements.ids))
    assert drawn.count("&lt;script&gt;") > 8
    assert not re.search(r"<bdi>[^<]*[\u202e\u2069]", drawn)


def test_a_named_cluster_may_be_among_the_largest_too(decided):
    drawn = draw_page(collect_clusters(open_corpus(decided), ClusterQuery(named=("b",))))
    ids = Elements(drawn).ids
    assert {"named-0", "largest-0"} <= set(ids) and len(ids) == len(set(ids))


def test_equal_runs_and_seeds_give_equal_bytes(decided, tmp_path):
    pages = [tmp_path / name for name in ("one.html", "two.html")]
    for place in pages:
        assert gristmill("clusters", decided.path, "--out", place, "--seed", 3).exit_code == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_without_a_run_the_newest_decide_run_is_taken(decided, family, tmp_path):
    newer = family.make([("x", "X"), ("y", "X", "x", 0.9)])
    done = gristmill("clusters", "--runs", family.out, "--out", tmp_path / "page.html")
    assert done.exit_code == 0 and f"the newest decide run, {newer.id}" in done.stderr
    assert newer.id in (tmp_path / "page.html").read_text()


def test_a_run_made_from_a_decide_run_leads_to_it(decided, family, tmp_path):
    packed = family.seal("pack", "train", decided_schema(), [], [decided])
    assert gristmill("clusters", packed.path, "--out", tmp_path / "page.html").exit_code == 0
    assert decided.id in (tmp_path / "page.html").read_text()


def decided_schema():
    import pyarrow as pa

    return pa.schema([("id", pa.string())])


def test_an_unknown_cluster_a_folder_as_page_or_no_run_is_the_users_error(decided, tmp_path):
    for arguments, error, words in (
        ([decided.path, "--cluster", "nobody"], UserError, "nobody"),
        ([decided.path, "--out", tmp_path], UserError, "must be a file"),
        (["--runs", tmp_path / "empty"], RunError, "gristmill clusters RUN"),
        ([find_latest(decided.path.parent, "annotate").path], RunError, "no decide run"),
    ):
        done = gristmill("clusters", *arguments)
        assert isinstance(done.exception, error) and done.exception.exit_code == 2
        assert words in str(done.exception)


def test_the_help_has_examples():
    done = gristmill("clusters", "--help")
    assert done.exit_code == 0 and "--largest 50 --sample 100 --seed 7" in re.sub(
        r"[\s│]+", " ", done.output
    )


def test_the_command_needs_no_framework_to_be_offered():
    code = (
        "import sys, typer; from gristmill import clusters_command; clusters_command.register(typer.Typer()); "
        "print([name for name in ('torch', 'apache_beam', 'numba', 'reports.chain.page') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- beside the report


def test_the_report_writes_the_page_beside_itself_and_each_links_to_the_other(decided, tmp_path):
    out = tmp_path / "site" / "a report.html"
    done = gristmill("report", decided.path, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    beside = out.with_name("a report-clusters.html")
    assert f'"clusters": "{beside}"' in done.stdout
    assert '<a href="a%20report-clusters.html">' in out.read_text()
    assert '<a href="a%20report.html">Back to the report</a>' in beside.read_text()
    assert "<h3>The largest clusters</h3>" in out.read_text()


@pytest.mark.parametrize("name", ["report.html", Path("deep") / "x.htm"])
def test_the_page_beside_a_report_is_named_after_it(decided, tmp_path, name):
    assert gristmill("report", decided.path, "--out", tmp_path / name).exit_code == 0
    assert (tmp_path / name).with_name(f"{Path(name).stem}-clusters{Path(name).suffix}").is_file()


def test_a_report_without_clusters_has_no_page_of_them(family, tmp_path):
    run = family.make([("a", None)])
    done = gristmill("report", run.path, "--out", tmp_path / "report.html", "--json")
    assert done.exit_code == 0 and '"clusters": null' in done.stdout
    assert [place.name for place in tmp_path.glob("*.html")] == ["report.html"]
    assert "clusters.html" not in (tmp_path / "report.html").read_text()
