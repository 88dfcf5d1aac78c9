"""Clusters of a decide run are counted, chosen and read: once each, whatever is kept of them, in any order and sharding."""

import random
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports.clusters.cluster_report import DocumentRecord, DroppedDocument

from gristmill.errors import RunError, UserError
from gristmill.hashing import key64
from gristmill.runs.finished import find_latest
from reports.chain.texts import RowLocation
from reports.clusters import members as members_module
from reports.clusters.collect import EXTENT, ClusterQuery, collect_clusters, open_corpus
from reports.clusters.members import KEPT, LISTED, ClusterMembers, DroppedMember
from reports.clusters.sampling import BINS, ClusterSizes, DropCounts, Reservoir
from reports.drawing.text_diff import compare_texts

LEGEND = ["opt_out", "exact_duplicate", "url_duplicate", "near_duplicate", "too_short"]


def told(run, **wish):
    return collect_clusters(open_corpus(run), ClusterQuery(**wish))


def pair(name):
    return [(f"{name}1", name), (f"{name}2", name, f"{name}1", 0.75)]


# ---- counting


def test_clusters_documents_and_losses_are_counted_by_reason_and_similarity(family):
    documents = [
        ("a", "A"),
        ("b", "A", "a", 1.0, "exact_duplicate"),
        ("c", "A", "a", 0.75),
        ("d", "A", "a", None, "url_duplicate"),
        ("e", None),
        ("f", "F"),
        ("g", "F", "f", 0.76),
    ]
    facts = told(family.make(documents, shards=2))
    assert (facts.documents, facts.clusters, facts.sizes) == (7, 2, {2: 1, 4: 1})
    assert facts.dropped == {"exact_duplicate": 1, "url_duplicate": 1, "near_duplicate": 2}
    assert {place: n for place, n in enumerate(facts.bins) if n} == {30: 2, BINS - 1: 1}
    assert facts.unmeasured == 1


def test_a_cluster_of_which_several_are_kept_counts_once_and_lists_them(family):
    documents = [
        ("k3", "A"),
        ("k1", "A"),
        ("k2", "A"),
        ("d", "A", "k2", 0.8),
        ("x", "A", "k3", 0.9),
    ]
    facts = told(family.make(documents, shards=3))
    assert facts.sizes == {5: 1}
    (card,) = facts.largest
    assert (card.size, card.keeps, card.dropped) == (5, 3, {"near_duplicate": 2})
    assert sorted(one.id for one in card.kept) == ["k1", "k2", "k3"]
    assert [(one.kept.id, one.dropped.record.id) for one in card.pairs] == [
        ("k2", "d"),
        ("k3", "x"),
    ]


def test_a_cluster_of_which_all_are_kept_is_shown_among_the_largest_without_a_comparison(family):
    facts = told(family.make([("a", "A"), ("b", "A")]))
    (card,) = facts.largest
    assert (card.keeps, card.dropped, card.pairs, card.listed) == (2, {}, (), ())
    assert facts.sample == ()


def test_of_many_kept_the_one_a_copy_was_dropped_for_is_found(family):
    kept = [(f"k{i}", "A") for i in range(KEPT + 4)]
    last = kept[-1][0]
    (card,) = told(family.make([*kept, ("d", "A", last, 0.8)], shards=2)).largest
    assert card.pairs[0].kept.id == last
    assert [one.id for one in card.kept] == [last, *(f"k{i}" for i in range(KEPT))]
    assert card.keeps == KEPT + 4


def test_a_copy_with_the_id_of_its_kept_document_is_compared_with_that(family):
    (card,) = told(family.make([("a", "A", "a", 1.0, "exact_duplicate"), ("a", "A")])).largest
    assert (card.size, card.keeps, [one.kept.id for one in card.pairs]) == (2, 1, ["a"])


# ---- choosing


def test_the_largest_come_first_and_the_sample_is_of_the_others(family):
    documents = [
        *pair("p"),
        *pair("q"),
        *pair("r"),
        ("a", "A"),
        ("b", "A", "a", 0.8),
        ("c", "A", "a", 0.8),
    ]
    facts = told(family.make(documents), largest=1, sample=2)
    assert [card.size for card in facts.largest] == [3]
    expected = sorted(["p1", "q1", "r1"], key=lambda id: key64(id, salt=0))[:2]
    assert [card.kept[0].id for card in facts.sample] == expected


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_the_sample_depends_neither_on_order_nor_on_shards(family, shards):
    documents = [one for i in range(30) for one in pair(f"{i:02d}-")]
    random.Random(shards).shuffle(documents)
    found = told(family.make(documents, shards=shards), largest=0, sample=6, seed=3).sample
    expected = sorted((f"{i:02d}-1" for i in range(30)), key=lambda id: key64(id, salt=3))[:6]
    assert [card.kept[0].id for card in found] == expected


def test_another_seed_draws_others(family):
    run = family.make([one for i in range(30) for one in pair(f"{i:02d}-")])
    first, second = (
        [card.label for card in told(run, largest=0, sample=6, seed=seed).sample] for seed in (0, 1)
    )
    assert first != second


ROWS = st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60)


@given(ROWS, st.integers(0, 5), st.integers(1, 7))
def test_drawing_by_batches_is_sorting_all_and_taking_the_first(rows, most, batch):
    table = pa.table(
        {
            "cluster": pa.array([label for label, _ in rows], pa.int64()),
            "kept_id": pa.array(
                [f"id{label}" if dropped else None for label, dropped in rows], pa.string()
            ),
        }
    )
    draw = Reservoir(most, 9)
    for start in range(0, len(rows), batch):
        draw.add(table.slice(start, batch))
    lost = {label for label, dropped in rows if dropped}
    assert list(draw.found) == sorted(lost, key=lambda label: key64(f"id{label}", salt=9))[:most]


def test_no_more_clusters_are_held_than_are_shown():
    n = 5000
    table = pa.table(
        {
            "cluster": range(n),
            "cluster_size": pa.array([2 + i % 7 for i in range(n)], pa.int32()),
            "kept_id": [f"{i}" for i in range(n)],
        }
    )
    clusters, draw = ClusterSizes(3), Reservoir(4, 0)
    clusters.add(table, 0, 0)
    draw.add(table)
    assert clusters.top == [(-8, 6), (-8, 13), (-8, 20)]
    assert (sum(clusters.sizes.values()), len(draw.found)) == (n, 4)


@given(st.lists(st.one_of(st.none(), st.integers(0, 112)), min_size=1, max_size=50))
def test_every_copy_is_counted_in_the_bin_of_its_similarity_or_as_unmeasured(agreed):
    likeness = [None if n is None else n / 112 for n in agreed]
    losses = DropCounts(LEGEND)
    losses.add(
        pa.table(
            {
                "reasons": pa.array([8] * len(agreed), pa.uint64()),
                "similarity": pa.array(likeness, pa.float32()),
            }
        )
    )
    assert losses.bins.sum() + losses.unmeasured == len(agreed) == losses.dropped["near_duplicate"]
    for n in filter(None, agreed):
        assert losses.bins[min(BINS - 1, int(n / 112 * BINS + 1e-6))] > 0


# ---- members


def member(likeness, id, reason="near_duplicate"):
    return DroppedMember(likeness, id, RowLocation(0, 0), reason, "k")


@given(
    st.lists(
        st.tuples(st.sampled_from([-1.0, 0.5, 0.7, 1.0]), st.integers(0, 99)),
        min_size=1,
        max_size=40,
    ),
    st.floats(0, 1),
)
def test_the_document_at_a_share_has_the_likeness_that_sorting_all_would_give(pairs, share):
    found = ClusterMembers()
    for likeness, id in pairs:
        found.add_dropped(1, [member(likeness, f"{id:02d}")], shown=True)
    ordered = sorted(likeness for likeness, _ in pairs)
    expected = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    assert found.at(share).likeness == expected
    assert found.at(share).id == min(f"{id:02d}" for likeness, id in pairs if likeness == expected)
    assert [one.likeness for one in found.least] == ordered[:LISTED]


def test_the_least_similar_one_in_between_and_the_most_similar_are_compared_and_the_rest_counted(
    family,
):
    copies = [(f"c{i:02d}", "A", "a", 0.5 + i / 40) for i in range(20)]
    (card,) = told(family.make([("a", "A"), *copies], shards=3)).largest
    assert [(one.which, one.dropped.record.id) for one in card.pairs] == [
        ("the least similar", "c00"),
        ("a third of the way up", "c06"),
        ("two thirds of the way up", "c13"),
        ("the most similar", "c19"),
    ]
    assert [one.record.id for one in card.listed] == [f"c{i:02d}" for i in range(LISTED)]
    assert (card.size, sum(card.dropped.values())) == (21, 20)


def test_a_copy_by_address_without_similarity_comes_before_the_least_similar(family):
    documents = [("a", "A"), ("b", "A", "a", 0.7), ("u", "A", "a", None, "url_duplicate")]
    (card,) = told(family.make(documents)).largest
    assert [(one.record.id, one.reason, one.similarity) for one in card.listed] == [
        ("u", "url_duplicate", None),
        ("b", "near_duplicate", pytest.approx(0.7)),
    ]
    assert card.pairs[0].dropped == card.listed[0]


def test_a_document_is_described_by_its_columns_and_mail_addresses_are_masked(family):
    family.columns["a"] = {
        "title": "Write to x@y.org",
        "url": "https://e.org/x@y.org",
        "published": 253402300800000 + 86400000,
        "lang": "zh",
    }
    family.columns["b"] = {"published": 1262304000000, "title": "t" * 500}
    (card,) = told(family.make([("a", "A"), ("b", "A", "a", 0.5)])).largest
    assert card.kept == (
        DocumentRecord(
            "a", "news", "zh", "Write to [email]", "https://e.org/[email]", "10000-01-02"
        ),
    )
    assert card.listed == (
        DroppedDocument(
            DocumentRecord("b", "news", "en", "t" * 199 + "…", "", "2010-01-01"),
            "near_duplicate",
            0.5,
        ),
    )


def test_texts_are_compared_whole_with_personal_data_masked(family):
    family.columns["a"] = {
        "text": "mail a@b.org now",
        "personal": [{"start": 5, "end": 12, "type": "email"}],
    }
    family.columns["b"] = {
        "text": "mail a@b.org then",
        "personal": [{"start": 5, "end": 12, "type": "email"}],
    }
    (card,) = told(family.make([("a", "A"), ("b", "A", "a", 0.5)])).largest
    assert card.pairs[0].comparison == compare_texts(
        "mail [email] now", "mail [email] then", EXTENT
    )
    assert card.pairs[0].beginning == "mail [email] now"


def test_a_text_that_is_not_ours_to_show_is_counted_only(family):
    documents = [("a", "A"), ("b", "A", "a", 0.5, "opt_out"), ("c", "A", "a", 0.9)]
    (card,) = told(family.make(documents)).largest
    assert card.dropped == {"opt_out": 1, "near_duplicate": 1}
    assert [one.record.id for one in card.listed] == ["c"] and [
        one.dropped.record.id for one in card.pairs
    ] == ["c"]


def test_only_the_texts_compared_are_read(family, monkeypatch):
    from reports.clusters import collect as cluster_collect

    read = []
    whole = cluster_collect.read_texts
    monkeypatch.setattr(
        cluster_collect,
        "read_texts",
        lambda shards, places: read.append(len(places)) or whole(shards, places),
    )
    told(family.make([("a", "A"), *((f"c{i}", "A", "a", 0.8) for i in range(50)), *pair("p")]))
    assert read == [2, 2]


def test_decisions_are_read_again_only_for_kept_documents_not_yet_met(family, monkeypatch):
    monkeypatch.setattr(members_module, "survivors", lambda *_: pytest.fail("read again"))
    told(family.make([*pair("p"), *pair("q")]))


# ---- clusters named


@pytest.mark.parametrize("name", ["q1", "q2", str((1 << 32) + 1), "0"])
def test_a_cluster_is_named_by_its_label_or_by_any_member(family, name):
    run = family.make([("x", None), ("y", None), *pair("p"), ("z", "q"), *pair("q")], shards=1)
    label = {"q1": 4, "q2": 4}.get(name)
    if label is None:
        with pytest.raises(UserError, match="no cluster has this label"):
            told(run, named=(name,))
    else:
        assert [card.label for card in told(run, named=(name, "4"), largest=0, sample=0).named] == [
            4
        ]


def test_the_id_of_a_document_without_copies_names_no_cluster(family):
    with pytest.raises(UserError, match="x") as caught:
        told(family.make([("x", None), *pair("p")]), named=("x",))
    assert caught.value.exit_code == 2


# ---- runs that do not fit


def test_without_clusters_there_is_nothing_to_show(family):
    facts = told(family.make([("a", None), ("b", None)]))
    assert (facts.documents, facts.clusters, facts.largest, facts.sample) == (2, 0, (), ())


def test_an_empty_run_has_no_documents(family):
    facts = told(family.make([]))
    assert (facts.documents, facts.clusters) == (0, 0)


def test_a_run_whose_documents_are_gone_is_refused(family, tmp_path):
    run = family.make(pair("p"))
    for place in family.out.glob("annotate-*"):
        place.rename(tmp_path / place.name)
    with pytest.raises(RunError, match="not beside it"):
        open_corpus(run)


def test_a_run_that_no_decide_run_led_to_is_refused(family):
    family.make(pair("p"))
    with pytest.raises(RunError, match="no decide run"):
        open_corpus(find_latest(family.out, "annotate"))


def test_equal_runs_give_equal_facts(family):
    run = family.make([one for i in range(9) for one in pair(str(i))], shards=2)
    assert told(run, seed=5) == told(run, seed=5)
    labels = [card.label for card in told(run, largest=4).largest]
    assert all(one < other for one, other in pairwise(labels))
