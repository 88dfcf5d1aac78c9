"""Deduplication: ids survive their halves, ranks order as stated, components are exact, and no knob changes the result."""

import datetime
import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.document import MOMENT
from pipelines.config import NearConfig
from pipelines.dedup.graph import ExactDuplicates, NearDuplicates, row_in_shard
from pipelines.dedup.groups import (
    agreement,
    cluster_members,
    component_labels,
    exact_losers,
    group_starts,
    star_edges,
    unique_rows,
)
from pipelines.dedup.keys import EXACT_WIDTH, NO_DATE, band_rows, halves, id_halves, id_of, nodes_of, ranks
from pipelines.exchange import pack, sort_rows, unpack
from pipelines.kernels.buffers import text_buffers
from pipelines.signals.table import PERMUTATIONS, signature_column, signature_matrix

IDS = st.integers(0, 2**128 - 1).map(lambda value: f"{value:032x}")


@given(ids=st.lists(IDS, min_size=1, max_size=10))
def test_an_id_survives_its_halves_and_halves_sort_as_ids_do(ids):
    parts = id_halves(pa.array(ids))
    assert [id_of(high, low) for high, low in parts.tolist()] == ids
    assert [ids[i] for i in np.lexsort(parts.T[::-1])] == sorted(ids)


def test_the_extreme_ids_survive():
    for name in ("0" * 32, "f" * 32, "8" + "0" * 31, "7" + "f" * 31):
        assert id_of(*id_halves(pa.array([name]))[0]) == name


def test_no_values_have_no_halves():
    assert halves(pa.array([], pa.binary(16))).shape == (0, 2)
    assert id_halves(pa.array([], pa.string())).shape == (0, 2)


def table(rows):
    names = ["id", "source", "kind", "published"]
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 4
    types = [pa.string(), pa.string(), pa.string(), MOMENT]
    return pa.table([pa.array(list(column), kind) for column, kind in zip(columns, types, strict=True)], names)


def day(number):
    return datetime.datetime(2024, 1, number, tzinfo=datetime.UTC)


def test_a_preferred_source_or_kind_comes_first_then_the_older_then_the_smaller_id():
    rows = [
        ("c" * 32, "blog", "web", None),
        ("b" * 32, "blog", "web", None),
        ("d" * 32, "blog", "web", day(2)),
        ("e" * 32, "blog", "web", day(1)),
        ("f" * 32, "wire", "news", None),
        ("a" * 32, "enwiki", "wiki", day(9)),
    ]
    found = ranks(table(rows), ["enwiki", "news"])
    order = np.lexsort(found.T[::-1]).tolist()
    assert [rows[i][0][0] for i in order] == ["a", "f", "e", "d", "b", "c"]
    assert found[0].tolist()[:2] == [2, NO_DATE]


def test_no_documents_have_no_ranks():
    assert ranks(table([]), []).shape == (0, 4)


def test_a_node_names_its_shard_and_row():
    nodes = nodes_of(7, 3)
    assert nodes.tolist() == [(7 << 32) + row for row in range(3)]
    assert row_in_shard(nodes).tolist() == [0, 1, 2] and row_in_shard(int(nodes[2])) == 2


def test_equal_bands_share_a_key_and_bands_of_different_places_never_do():
    signatures = np.zeros((3, 112), np.uint32)
    signatures[1, :8] = 5
    rows = band_rows(signatures, np.array([10, 11, 12]), bands=14, rows=8)
    assert rows.shape == (42, 2) and (rows[:, 0] >= 0).all()
    keys = {node: set(rows[rows[:, 1] == node, 0].tolist()) for node in (10, 11, 12)}
    assert keys[10] == keys[12] and len(keys[10]) == 14 and len(keys[10] & keys[11]) == 13


@pytest.mark.parametrize(("bands", "rows"), [(1, 1), (9, 12), (14, 8), (112, 1)])
def test_any_bands_that_fit_give_a_row_a_band(bands, rows):
    signatures = np.random.default_rng(1).integers(0, 2**32, (5, 112)).astype(np.uint32)
    assert len(band_rows(signatures, np.arange(5), bands=bands, rows=rows)) == 5 * bands
    assert len(band_rows(signatures[:0], np.arange(0), bands=bands, rows=rows)) == 0


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_unique_rows_are_the_sorted_set(rows):
    assert [tuple(row) for row in unique_rows(np.array(rows, np.int64).reshape(-1, 2)).tolist()] == sorted(set(rows))


@given(keys=st.lists(st.integers(0, 3), max_size=20).map(sorted))
def test_groups_start_where_the_key_changes(keys):
    expected = [i for i in range(len(keys)) if i == 0 or keys[i] != keys[i - 1]]
    assert group_starts(np.array(keys, np.int64)).tolist() == expected
    assert group_starts(np.array([[k, 1] for k in keys], np.int64).reshape(-1, 2)).tolist() == expected


@given(rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=30))
def test_a_bucket_becomes_a_star_around_its_smallest_node(rows):
    expected = set()
    for key in {key for key, _ in rows}:
        nodes = sorted({node for k, node in rows if k == key})
        expected |= {(nodes[0], node) for node in nodes[1:]}
    made = star_edges(sort_rows(np.array(rows, np.int64).reshape(-1, 2)))
    assert [tuple(edge) for edge in made.tolist()] == sorted(expected)


def union_find(edges):
    """label of every node: the smallest node of its component, by a plain union-find."""
    parent = {}

    def root(node):
        parent.setdefault(node, node)
        while parent[node] != node:
            node = parent[node]
        return node

    for a, b in edges:
        x, y = sorted((root(a), root(b)))
        parent[y] = x
    return sorted((root(node), node) for node in parent)


@settings(max_examples=200, deadline=None)
@given(
    edges=st.lists(
        st.tuples(st.integers(0, 25).map(lambda n: n << 32), st.integers(0, 25).map(lambda n: n << 32)), max_size=40
    )
)
def test_components_are_those_of_union_find(edges):
    found = component_labels(np.array(edges, np.int64).reshape(-1, 2))
    assert [tuple(row) for row in found.tolist()] == union_find(edges)


def test_a_long_path_is_one_component():
    order = np.random.default_rng(2).permutation(20_000).astype(np.int64)
    found = component_labels(np.column_stack([order[:-1], order[1:]]))
    assert (found[:, 0] == 0).all() and len(found) == 20_000


def exact_row(content, priority, node, name="0"):
    return [content, content, priority, 0, *id_halves(pa.array([name * 32]))[0].tolist(), node]


def test_of_exact_copies_the_best_ranked_survives_and_the_others_name_it():
    rows = sort_rows(
        np.array(
            [exact_row(5, 1, 100, "a"), exact_row(5, 0, 101, "b"), exact_row(5, 1, 102, "0"), exact_row(6, 0, 103)],
            np.int64,
        )
    )
    assert sorted(exact_losers(rows).tolist()) == [[100, 101], [102, 101]]


@given(contents=st.lists(st.integers(0, 3), max_size=20))
def test_each_content_has_exactly_one_survivor(contents):
    rows = sort_rows(
        np.array([exact_row(content, 0, node) for node, content in enumerate(contents)], np.int64).reshape(
            -1, EXACT_WIDTH
        )
    )
    losers = exact_losers(rows)
    assert len(losers) == len(contents) - len(set(contents))
    first = {content: contents.index(content) for content in contents}
    assert set(losers[:, 0].tolist()) == set(range(len(contents))) - set(first.values())
    assert all(first[contents[node]] == survivor for node, survivor in losers.tolist())


def test_a_cluster_names_its_survivor_label_and_size():
    name = id_halves(pa.array(["c" * 32]))[0].tolist()
    rows = sort_rows(
        np.array([[1, 2, 0, 0, 0, 1], [1, 0, 0, *name, 4], [1, 1, 0, 0, 0, 9], [7, 0, 0, 0, 0, 7]], np.int64)
    )
    found = cluster_members(rows)
    assert found.tolist() == [[4, 4, 1, 3, *name], [4, 9, 1, 3, *name], [4, 1, 1, 3, *name], [7, 7, 7, 1, 0, 0]]


def test_agreement_counts_equal_elements():
    left = np.array([[1, 2, 3], [4, 5, 6]], np.uint32)
    assert agreement(left, np.array([[1, 2, 9], [0, 0, 0]], np.uint32)).tolist() == [2, 0]


# The graph on Beam, over documents whose duplicates are known.


def words(rng, count):
    return [f"word{number}" for number in rng.integers(0, 5000, count)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three document shards: clusters {0,1,2,21}, {3,4}, a pair below the bound {5,6}, a short text, the rest alone."""
    rng = np.random.default_rng(4)
    base = [words(rng, 120) for _ in range(24)]
    base[1] = [*base[0][:-2], "other", "end"]
    base[2] = ["new", *base[0][2:]]
    base[21] = [*base[0], "tail"]
    base[4] = list(base[3])
    base[6] = [*base[5][:60], *words(rng, 60)]
    base[7] = ["too", "short"]
    folder = tmp_path_factory.mktemp("documents")
    for shard in range(3):
        texts = [" ".join(text) for text in base[shard * 8 : shard * 8 + 8]]
        rows = [(f"{shard * 8 + i:032x}", "s", "web", day(1) if shard * 8 + i == 2 else None) for i in range(8)]
        made = table(rows).append_column("signature", signature_column(*text_buffers(pa.array(texts))))
        pq.write_table(made, folder / f"part-{shard:05d}.parquet", row_group_size=3)
    return folder


class Save(beam.DoFn):
    def __init__(self, folder, width):
        self.folder, self.width = folder, width

    def process(self, block):
        rows = unpack(block, self.width).tolist()
        Path(self.folder, f"{abs(hash(block))}.json").write_text(json.dumps(rows))
        yield len(rows)


def near(corpus, tmp_path, *, partitions, spill, config=None, prefer=(), copies=()):
    config = config or NearConfig()
    out = tmp_path / f"out-{partitions}-{spill}"
    out.mkdir()
    blocks = []
    for shard in range(3):
        column = pq.read_table(corpus / f"part-{shard:05d}.parquet", columns=["signature"])[
            "signature"
        ].combine_chunks()
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        blocks.append(
            pack(
                band_rows(
                    signature_matrix(column)[valid], nodes_of(shard, 8)[valid], bands=config.bands, rows=config.rows
                )
            )
        )
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        where = str(tmp_path / "spill") if spill else None
        graph = NearDuplicates(config, str(corpus), prefer, partitions=partitions, spill=where)
        same = [pack(np.array(copies, np.int64).reshape(-1, 2))] if copies else []
        bands = pipeline | "bands" >> beam.Create(blocks)
        exact = pipeline | "copies" >> beam.Create(same).with_output_types(bytes)
        (bands, exact) | graph | beam.ParDo(Save(str(out), 7))
    return sorted(row for path in out.iterdir() for row in json.loads(path.read_text()))


def number(node):
    return (node >> 32) * 8 + row_in_shard(node)


def test_known_duplicates_are_found_and_nothing_else(corpus, tmp_path):
    rows = near(corpus, tmp_path, partitions=2, spill=False)
    assert [number(row[1]) for row in sorted(rows, key=lambda row: row[1])] == [0, 1, 2, 3, 4, 21]
    for survivor, node, label, size, high, low, agreed in rows:
        cluster = {0, 1, 2, 21} if number(node) not in (3, 4) else {3, 4}
        best = 2 if size == 4 else 3  # 2 is the only one with a date
        assert (number(survivor), number(label), size) == (best, min(cluster), len(cluster))
        assert id_of(high, low) == f"{best:032x}"
        assert agreed == PERMUTATIONS if node == survivor else 0.7 * PERMUTATIONS <= agreed <= PERMUTATIONS


def test_an_exact_copy_joins_the_cluster_of_its_original_and_names_the_same_survivor(corpus, tmp_path):
    rows = near(corpus, tmp_path, partitions=2, spill=False, copies=[(7, 0), (1 | 1 << 32, 7)])
    members = {number(row[1]): number(row[0]) for row in rows}
    assert {node for node, survivor in members.items() if survivor == 2} == {0, 1, 2, 7, 9, 21}
    assert all(members[survivor] == survivor for survivor in members.values()), "a survivor survives"


def test_neither_partitions_nor_spill_files_change_the_result(corpus, tmp_path):
    expected = near(corpus, tmp_path, partitions=1, spill=False)
    for partitions, spill in ((1, True), (3, True), (7, False)):
        assert near(corpus, tmp_path, partitions=partitions, spill=spill) == expected


def test_a_lower_bound_lets_the_half_copies_in_and_a_bound_of_one_only_the_equal(corpus, tmp_path):
    loose = near(corpus, tmp_path, partitions=1, spill=False, config=NearConfig(bands=56, rows=2, min_similarity=0.2))
    assert {5, 6} <= {number(row[1]) for row in loose}
    strict = near(corpus, tmp_path, partitions=2, spill=False, config=NearConfig(min_similarity=1.0))
    assert {number(row[1]) for row in strict} == {3, 4}


def test_too_many_bands_for_a_signature_are_refused():
    with pytest.raises(ValueError, match="112 elements"):
        NearConfig(bands=15, rows=8)


@pytest.mark.parametrize("partitions", [1, 5])
def test_exact_copies_lose_on_beam_as_in_the_function(partitions, tmp_path):
    rows = np.array([exact_row(content, node % 3, node) for node, content in enumerate([1, 2, 1, 3, 1, 2])], np.int64)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        blocks = pipeline | beam.Create([pack(rows[:2]), pack(rows[2:])])
        blocks | ExactDuplicates(partitions=partitions, spill=None) | beam.ParDo(Save(str(tmp_path), 2))
    found = sorted(row for path in tmp_path.iterdir() for row in json.loads(path.read_text()))
    assert found == sorted(exact_losers(sort_rows(rows)).tolist()) and [row[0] for row in found] == [2, 4, 5]
