"""Deciding without Beam: all reasons of a document, verdicts joined by row, and samples that are the same every time."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.corpus.decision import DECISION_SCHEMA, NO_CLUSTER
from gristmill.errors import InputError
from gristmill.rights.policy import RightsPolicy
from pipelines.contract import FIXED_REASONS, build_legend, choose_rules
from pipelines.decide.config import DecideConfig, UrlConfig
from pipelines.decide.decisions import (
    compute_repeats,
    count_outcomes,
    make_decision_table,
)
from pipelines.decide.dedup.keys import CONTENT_KEY, make_nodes, split_ids
from pipelines.decide.dedup.signatures import MEASURED_MEMBER
from pipelines.decide.shard_keys import BIT, judge_table, make_keys
from pipelines.signatures import PERMUTATIONS
from pipelines.tokenizer.sample import CANDIDATE_WIDTH, choose_nodes, hash_stratum, weigh_strata

GOOD = """The old mill beside the river had not turned for forty years, and its wheel was green with moss.
When a new owner arrived in spring, she cleaned the channel by hand and counted every broken paddle.
By autumn those stones were grinding again, so people came from three villages to look at flour.
A baker said that bread had not tasted like this since his grandmother was young."""


@pytest.fixture
def documents():
    """A function that makes a table of annotated documents from rows of changes."""
    from pipelines.annotate.graph import annotate_batch
    from pipelines.annotate.readers.records import RECORD_SCHEMA

    def make(*changes):
        rows = [
            {
                "id": f"{i:032x}",
                "text": GOOD,
                "title": None,
                "url": f"http://x.org/{i}",
                "source": "s",
                "kind": "wiki",
                "published": None,
                "fetched": None,
                "licence": "CC0-1.0",
                "evidence": [],
                "opt_out": [],
                "author": None,
                "capture": {"file": "f", "offset": i, "item": 0},
                "media": "text",
            }
            | change
            for i, change in enumerate(changes)
        ]
        return pa.Table.from_batches(
            [annotate_batch(pa.RecordBatch.from_pylist(rows, RECORD_SCHEMA))]
        )

    return make


def names_of(word, config):
    return {
        name
        for place, name in enumerate(build_legend(choose_rules(config)))
        if int(word) >> place & 1
    }


def test_a_good_document_has_no_reason_and_a_bad_one_has_all_of_them(documents):
    config = DecideConfig(
        languages=("en",), rights=RightsPolicy(licences=("CC0-1.0",), allow_unknown=False)
    )
    table = documents(
        {},
        {
            "licence": "unknown",
            "opt_out": ["noai"],
            "text": "Nur ein kurzer deutscher Satz über eine alte Mühle.",
        },
    )
    found = [names_of(word, config) for word in judge_table(table, config)]
    assert found[0] == set()
    assert {"licence", "opt_out", "language", "too_few_words"} <= found[1]


def test_an_unsure_language_is_a_reason_where_a_score_is_asked(documents):
    table = documents({}, {"text": "12345 67890"})
    assert judge_table(table, DecideConfig(min_language_score=0.3))[1] & BIT["language"]
    assert not judge_table(table, DecideConfig())[1] & BIT["language"]


def test_a_taken_down_address_is_a_reason(documents, tmp_path):
    listed = tmp_path / "takedown.csv"
    listed.write_text(
        "kind,value,reason,date\nurl,http://x.org/1,asked,2024-01-01\n", encoding="utf-8"
    )
    bits = judge_table(documents({}, {}, {}), DecideConfig(takedown=str(listed)))
    assert [bool(word & BIT["takedown"]) for word in bits] == [False, True, False]


def test_only_documents_that_passed_have_keys_and_only_those_with_an_address_one_of_it(documents):
    table = documents({}, {}, {"text": "too short", "url": None})
    contents, addresses = make_keys(table, 5, np.array([True, False, True]), DecideConfig())
    nodes = make_nodes(5, 3)
    assert contents.shape == (2, CONTENT_KEY.width) and contents[:, -1].tolist() == [
        nodes[0],
        nodes[2],
    ]
    assert addresses.shape == (1, CONTENT_KEY.width) and addresses[:, -1].tolist() == [nodes[0]]
    off = DecideConfig(url=UrlConfig(max_documents=0))
    assert len(make_keys(table, 5, np.ones(3, bool), off)[1]) == 0


def test_a_shard_without_documents_has_no_keys_and_no_decisions(documents):
    empty = documents({}).slice(0, 0)
    contents, addresses = make_keys(empty, 0, np.zeros(0, bool), DecideConfig())
    assert len(contents) == len(addresses) == 0
    assert judge_table(empty, DecideConfig()).tolist() == []
    none = np.zeros(0, np.int64), np.zeros((0, MEASURED_MEMBER.width), np.int64)
    assert make_decision_table(*none, DecideConfig()).schema.equals(DECISION_SCHEMA)


SHARD = 3 << 32
KEPT = split_ids(pa.array(["a" * 32]))[0].tolist()


def member(row, place, *, exact=0, url=0, agreed=PERMUTATIONS, size=4):
    """A member of the cluster 4, whose survivor is row 2."""
    return [SHARD | row, SHARD | 2, 4, size, *KEPT, place, exact, url, agreed]


def decided(members, *, rows=5, reasons=None, **config):
    bits = np.zeros(rows, np.int64) if reasons is None else np.array(reasons, np.int64)
    return make_decision_table(
        bits, np.array(members, np.int64).reshape(-1, MEASURED_MEMBER.width), DecideConfig(**config)
    )


def test_verdicts_meet_their_documents_by_row():
    members = [
        member(1, 1, agreed=84, size=3),
        member(2, 0, size=3),
        member(3, 2, exact=1, agreed=90, size=3),
    ]
    table = decided(members, reasons=[0, 0, 0, 0, 1 << 9])
    assert table.schema.equals(DECISION_SCHEMA)
    assert table["keep"].to_pylist() == [True, False, True, False, False]
    assert table["reasons"].to_pylist() == [
        0,
        int(BIT["near_duplicate"]),
        0,
        int(BIT["exact_duplicate"]),
        1 << 9,
    ]
    assert table["cluster"].to_pylist() == [NO_CLUSTER, 4, 4, 4, NO_CLUSTER]
    assert table["cluster_size"].to_pylist() == [1, 3, 3, 3, 1]
    assert table["kept_id"].to_pylist() == [None, "a" * 32, None, "a" * 32, None]
    assert table["similarity"].to_pylist() == [None, 0.75, None, np.float32(90 / 112), None]
    assert table["repeats"].to_pylist() == [1] * 5
    assert table["cuts"].to_pylist() == [[]] * 5


def test_a_copy_by_its_address_alone_is_less_alike_than_near_copies_are():
    members = [
        member(2, 0),
        member(0, 1, url=1, agreed=40),
        member(1, 2, url=1, agreed=60),
        member(3, 3, exact=1, url=1),
    ]
    url, near, exact = (int(BIT[f"{kind}_duplicate"]) for kind in ("url", "near", "exact"))
    assert decided(members)["reasons"].to_pylist() == [url, url | near, 0, exact | url, 0]


def test_as_many_of_a_cluster_stay_as_is_asked_and_exact_copies_never():
    members = [
        member(2, 0),
        member(0, 1, agreed=90),
        member(1, 2, agreed=80),
        member(3, 3, exact=1),
    ]
    table = decided(members, keep_per_cluster=2)
    assert table["keep"].to_pylist() == [True, False, True, False, True]
    assert table["kept_id"].to_pylist() == [None, "a" * 32, None, "a" * 32, None]
    assert decided(members, keep_per_cluster=9)["keep"].to_pylist() == [
        True,
        True,
        True,
        False,
        True,
    ]


def test_a_survivor_is_written_as_often_as_the_largest_size_its_cluster_reaches_says():
    members = [member(2, 0, size=40), member(0, 1, size=40)]
    assert decided(members, upweight={2: 2, 10: 3, 100: 5})["repeats"].to_pylist() == [
        1,
        1,
        3,
        1,
        1,
    ]
    assert compute_repeats(np.array([1, 2, 9, 10, 99, 100]), {100: 5, 2: 2, 10: 3}).tolist() == [
        1,
        2,
        2,
        3,
        3,
        5,
    ]
    assert compute_repeats(np.array([1, 2]), {}).tolist() == [1, 1]


@pytest.mark.parametrize(
    "given", [{"upweight": {1: 2}}, {"upweight": {2: 0}}, {"keep_per_cluster": 0}]
)
def test_choices_that_mean_nothing_are_refused(given):
    with pytest.raises(ValidationError):
        DecideConfig.model_validate(given)


def test_a_document_with_several_reasons_counts_once_under_the_first():
    table = pa.table({"source": ["s"] * 3, "lang": ["en"] * 3, "text_bytes": [2, 1, 3]})
    bits = np.array([0, 0b110, 0b100])
    found = [
        (entry.fate, entry.reason, entry.documents, entry.bytes)
        for entry in count_outcomes(table, bits, list(FIXED_REASONS)).entries()
    ]
    assert sorted(found) == [
        ("dropped", "licence", 1, 3),
        ("dropped", "opt_out", 1, 1),
        ("kept", "", 1, 2),
    ]


CANDIDATES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2**63 - 1), st.integers(1, 500)), max_size=40
)


def candidates(rows):
    return np.array([(*row, node) for node, row in enumerate(rows)], np.int64).reshape(
        -1, CANDIDATE_WIDTH
    )


def test_a_sample_keeps_its_size_where_the_corpus_exceeds_what_64_bits_can_multiply():
    rows = np.array([[0, key, 1 << 30, key] for key in range(64)], np.int64)
    assert len(choose_nodes(rows, 1 << 31, {})) == 2


@settings(max_examples=200, deadline=None)
@given(rows=CANDIDATES, sample=st.integers(1, 6000), data=st.data())
def test_a_sample_does_not_depend_on_the_order_of_candidates_and_takes_the_smallest_keys(
    rows, sample, data
):
    made = candidates(rows)
    chosen = choose_nodes(made, sample, {}).tolist()
    assert (
        chosen
        == sorted(set(chosen))
        == choose_nodes(made[data.draw(st.permutations(range(len(made))))], sample, {}).tolist()
    )
    for stratum in {row[0] for row in rows}:
        mine = sorted(
            (key, size, node) for node, (place, key, size) in enumerate(rows) if place == stratum
        )
        taken = [node in chosen for *_, node in mine]
        assert taken == sorted(taken, reverse=True)
        assert taken[0], "every source and language is in the sample"


def test_a_sample_has_about_its_bytes_in_the_proportions_of_the_strata():
    rng = np.random.default_rng(1)
    rows = [(int(i % 10 == 0), int(rng.integers(0, 2**62)), 100) for i in range(5000)]
    chosen = choose_nodes(candidates(rows), 100_000, {})
    assert abs(len(chosen) - 1000) <= 2
    assert abs(sum(rows[node][0] for node in chosen) - 100) <= 1


def test_a_weight_is_a_factor_on_a_strata_share_of_the_sample():
    rng = np.random.default_rng(1)
    rows = [(int(i % 2 == 0), int(rng.integers(0, 2**62)), 100) for i in range(5000)]
    chosen = choose_nodes(candidates(rows), 100_000, {1: 3.0})
    assert abs(sum(rows[node][0] for node in chosen) - 750) <= 1 and abs(len(chosen) - 1000) <= 2
    assert {rows[node][0] for node in choose_nodes(candidates(rows), 100_000, {1: 0.0})} == {0}
    assert choose_nodes(candidates(rows), 100_000, {0: 0.0, 1: 0.0}).tolist() == []


def test_weights_of_source_and_language_multiply_and_one_that_names_nothing_is_refused():
    names = [("w", "zh"), ("w", "en"), ("n", "zh")]
    found = weigh_strata(names, {"lang=zh": 2.0, "source=w": 3.0})
    assert [found[hash_stratum(*name)] for name in names] == [6.0, 3.0, 2.0]
    with pytest.raises(InputError, match="lang=de"):
        weigh_strata(names, {"lang=de": 2.0})


def test_a_sample_as_large_as_the_corpus_is_the_corpus():
    assert choose_nodes(candidates([(0, 5, 10), (1, 3, 10)]), 20, {}).tolist() == [0, 1]
    assert choose_nodes(candidates([]), 20, {}).tolist() == []
