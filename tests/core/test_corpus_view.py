"""The corpus view: documents beside their decisions, by batch, shard, row and id."""

import datetime
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.decision import DECISION_SCHEMA
from gristmill.corpus.document import DOCUMENT_SCHEMA, DocumentRow
from gristmill.corpus.view import (
    ParquetShard,
    ShardRow,
    open_decided_view,
    open_documents_run,
    open_view,
    open_view_at,
)
from gristmill.errors import RunError

# Two shards: documents a, c, e, g in the first and b, d, f in the second. Row groups of two.
DOCUMENTS = [
    ("a", 1),
    ("b", 1, "a", 0.9),
    ("c", None),
    ("d", None, None, None),
    ("e", 1, "a", 0.8, "exact_duplicate"),
    ("f", 2),
    ("g", 2, "f", 0.7),
]


@pytest.fixture
def decided(corpora):
    return corpora.make(DOCUMENTS, shards=2)


@pytest.fixture
def view(decided):
    return open_decided_view(decided)


def rows_of(batches, *names):
    return [
        tuple(row[name] for name in names) for batch in batches for row in batch.table.to_pylist()
    ]


def test_documents_and_decisions_stand_in_one_row(view):
    rows = rows_of(view.batches(["id"], ["kept_id"]), "id", "kept_id")
    assert rows == [
        ("a", None),
        ("c", None),
        ("e", "a"),
        ("g", "f"),
        ("b", "a"),
        ("d", None),
        ("f", None),
    ]


def test_a_batch_has_the_columns_asked_for_and_no_other(view):
    [first, second] = view.batches(["id", "lang"], ["keep"], optional=["personal", "absent"])
    assert first.table.schema.names == ["id", "lang", "personal", "keep"]
    assert (first.shard, second.shard) == (0, 1)
    assert first.rows.tolist() == [0, 1, 2, 3]
    assert second.rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_batches_of_every_size_hold_the_same_rows(view, rows):
    batches = list(view.batches(["id"], ["keep", "reasons"], rows=rows))
    assert max(len(batch) for batch in batches) <= rows
    assert [(b.shard, row) for b in batches for row in b.rows.tolist()] == [
        (shard, row) for shard, count in ((0, 4), (1, 3)) for row in range(count)
    ]
    assert rows_of(batches, "id", "keep") == rows_of(view.batches(["id"], ["keep"]), "id", "keep")


def test_kept_and_dropped_rows_keep_their_numbers(view):
    batch = view.read_shard(0, ["id"], ["keep", "reasons"])
    kept, dropped = batch.select_kept(), batch.select_dropped()
    assert (kept.table["id"].to_pylist(), kept.rows.tolist()) == (["a", "c"], [0, 1])
    assert (dropped.table["id"].to_pylist(), dropped.rows.tolist()) == (["e", "g"], [2, 3])
    assert dropped.list_reasons() == [("exact_duplicate",), ("near_duplicate",)]
    assert kept.list_reasons() == [(), ()]


def test_a_whole_shard_has_all_columns_where_none_are_named(view):
    table = view.read_shard(1).table
    assert table.schema.names == [*DOCUMENT_SCHEMA.names, "personal", *DECISION_SCHEMA.names]
    assert table.num_rows == 3


def test_a_whole_shard_is_what_pyarrow_reads_of_both_files(view):
    documents = pq.read_table(view.annotated.path / "documents/part-00000.parquet")
    decisions = pq.read_table(view.decided.path / "decisions/part-00000.parquet")
    for name in decisions.schema.names:
        documents = documents.append_column(name, decisions[name])
    assert view.read_shard(0).table.equals(documents, check_metadata=True)


def test_rows_come_in_the_order_they_are_asked_for(view):
    batch = view.read_rows(0, np.array([3, 0, 2, 0]), ["id"], ["kept_id"])
    assert batch.table["id"].to_pylist() == ["g", "a", "e", "a"]
    assert batch.table["kept_id"].to_pylist() == ["f", None, "a", None]
    assert batch.rows.tolist() == [3, 0, 2, 0]


@given(rows=st.lists(st.integers(0, 6), max_size=12), group=st.integers(1, 8))
def test_rows_by_group_are_the_rows_of_the_whole_table(tmp_path_factory, rows, group):
    path = tmp_path_factory.mktemp("rows") / "part-00000.parquet"
    table = pa.table({"id": list("abcdefg"), "n": list(range(7))})
    pq.write_table(table, path, row_group_size=group)
    shard = ParquetShard(path, "annotate", pq.ParquetFile(path))
    expected = table.take(pa.array(rows, pa.int64()))
    assert (
        shard.take_rows(np.array(rows, np.int64), ["n", "id"]).to_pylist() == expected.to_pylist()
    )


def test_no_rows_make_a_table_of_the_same_columns(view):
    batch = view.read_rows(1, np.array([], np.int64), ["id", "text"], ["keep"])
    assert (len(batch), batch.table.schema.names) == (0, ["id", "text", "keep"])


def test_only_the_row_groups_that_hold_a_row_are_read(view, monkeypatch):
    groups = []
    read = pq.ParquetFile.read_row_group

    def count_groups(file, group, columns):
        groups.append((group, tuple(columns)))
        return read(file, group, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", count_groups)
    places = [ShardRow(0, 3), ShardRow(0, 2), ShardRow(1, 0)]
    assert [row["id"] for _, row in view.iter_rows(places, ["id"])] == ["e", "g", "b"]
    assert groups == [(1, ("id",)), (0, ("id",))]


def test_rows_as_records_come_sorted_and_once(view):
    places = [ShardRow(1, 2), ShardRow(0, 1), ShardRow(1, 2), ShardRow(0, 3)]
    found = list(view.iter_rows(places, ["id"], ["keep", "similarity"]))
    assert [(place, row["id"], row["keep"]) for place, row in found] == [
        (ShardRow(0, 1), "c", True),
        (ShardRow(0, 3), "g", False),
        (ShardRow(1, 2), "f", True),
    ]
    assert found[1][1]["similarity"] == pytest.approx(0.7)


def test_a_year_that_python_does_not_have_comes_as_text(corpora):
    corpora.columns["a"] = {"published": datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)}
    view = open_decided_view(corpora.make([("a", None)]))
    [(_, row)] = view.iter_rows([ShardRow(0, 0)], ["published"])
    assert row == {"published": "2026-11-30 12:00:00.000Z"}


def test_documents_are_found_by_id(view):
    assert view.find_documents(["g", "b", "nowhere"]) == {"g": ShardRow(0, 3), "b": ShardRow(1, 0)}
    assert view.find_documents([]) == {}
    assert (
        view.name_place(ShardRow(1, 0))
        == f"{view.annotated.id}/documents/part-00001.parquet, row 0"
    )


def test_of_two_documents_with_one_id_the_kept_one_is_found(corpora):
    twice = [("x", 1, "x", 1.0), ("y", None), ("x", 1), ("x", 1)]
    view = open_decided_view(corpora.make(twice, shards=2))
    # Shard 0 holds x (dropped) and x (kept); shard 1 holds y and x (kept too).
    assert view.find_documents(["x"]) == {"x": ShardRow(0, 1)}


def test_the_search_ends_with_the_shard_that_settles_the_last_id(view, monkeypatch):
    shards = []
    search = type(view)._find_in_shard
    monkeypatch.setattr(
        type(view),
        "_find_in_shard",
        lambda self, shard, values: shards.append(shard) or search(self, shard, values),
    )
    view.find_documents(["a", "c"])
    assert shards == [0]


def test_without_decisions_all_documents_are_kept(view):
    alone = open_view(view.annotated)
    [first, _] = alone.batches(["id"], ["keep"])
    assert first.table.schema.names == ["id"]
    assert first.keep.tolist() == [True] * 4
    assert first.reasons.tolist() == [0] * 4
    assert len(first.select_dropped()) == 0
    assert (alone.has_decisions, view.has_decisions) == (False, True)
    assert alone.find_documents(["e"]) == {"e": ShardRow(0, 2)}
    with pytest.raises(RunError, match="have not been decided upon"):
        list(alone.decision_tables(["keep"]))


def test_decisions_are_read_without_documents(view):
    tables = list(view.decision_tables(["cluster", "keep"]))
    assert [table.table.schema.names for table in tables] == [["cluster", "keep"]] * 2
    assert [table.keep.tolist() for table in tables] == [
        [True, True, False, False],
        [False, True, True],
    ]


def test_sizes_and_columns_come_from_manifest_and_footers(view):
    assert (list(view.shards), view.count_shard_rows(), view.count_rows()) == ([0, 1], [4, 3], 7)
    assert view.read_document_schema().field("id").metadata[b"is"].startswith(b"32 hex digits")
    assert view.read_decision_schema().names == DECISION_SCHEMA.names


def test_a_missing_column_is_refused_by_name(view):
    with pytest.raises(RunError, match=r"lack a column[\s\S]*without +gone, lost"):
        list(view.batches(["id", "lost", "gone"]))
    with pytest.raises(RunError, match="run `gristmill decide` again"):
        list(view.batches(["id"], ["never"]))


def test_what_is_pickled_is_where_the_runs_lie(view):
    data = pickle.dumps(view)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert rows_of(again.batches(["id"], ["keep"]), "id", "keep") == rows_of(
        view.batches(["id"], ["keep"]), "id", "keep"
    )
    alone = pickle.loads(pickle.dumps(open_view(view.annotated)))
    assert alone.decided is None


def test_runs_of_other_steps_are_refused(view):
    with pytest.raises(RunError, match="a run of `annotate` is needed"):
        open_view_at(view.decided.path)
    with pytest.raises(RunError, match="a run of `decide` is needed"):
        open_view_at(view.annotated.path, view.annotated.path)


def test_decisions_of_other_documents_are_refused(corpora):
    first = corpora.make([("a", None), ("b", None)])
    second = corpora.make([("c", None), ("d", None)])
    mixed = open_view(open_documents_run(first), second)
    for read in (
        lambda: list(mixed.batches(["id"])),
        lambda: mixed.read_shard(0, ["id"]),
        lambda: list(mixed.decision_tables(["keep"])),
        lambda: mixed.find_documents(["a"]),
    ):
        with pytest.raises(RunError, match="made for other documents"):
            read()


def test_another_number_of_shards_is_refused_when_the_view_is_opened(corpora):
    first, second = corpora.make(DOCUMENTS, shards=2), corpora.make(DOCUMENTS, shards=3)
    with pytest.raises(RunError, match="not as many shards"):
        open_view(open_documents_run(first), second)


def test_a_file_that_was_cut_is_refused_when_its_shard_is_read(view):
    path = view.annotated.path / "documents/part-00001.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    batches = view.batches(["id"])
    assert len(next(batches)) == 4
    with pytest.raises(RunError, match="missing or cut"):
        next(batches)


def test_the_pair_is_proven_once_for_a_process(view, monkeypatch):
    list(view.batches(["id"], ["keep"]))
    monkeypatch.setattr(pq, "read_metadata", lambda path: pytest.fail("proven again"))
    list(open_view_at(view.annotated.path, view.decided.path).batches(["id"], ["keep"]))


def test_documents_that_are_gone_are_named(decided, corpora):
    documents = open_documents_run(decided)
    documents.path.rename(documents.path.with_name("elsewhere"))
    with pytest.raises(RunError, match="copy the annotate run into the same folder"):
        open_decided_view(decided)


def test_typed_rows_name_columns_that_documents_have():
    signals = {"text_bytes", "words", "personal"}
    assert set(DocumentRow.__annotations__) - signals == set(DOCUMENT_SCHEMA.names)
