"""Repeated text on Beam: the same cuts whatever the partitions, shards, spilling and crashes, and only of kept documents."""

import datetime
import itertools
import os
import random

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from gristmill.corpus.document import MOMENT
from gristmill.errors import RunError
from gristmill.runs import receipts
from gristmill.runs.run import SPILL
from pipelines.annotate.signals.table import hash_lines
from pipelines.decide.config import DecideConfig, RepeatedConfig
from pipelines.decide.dedup import repeats_graph
from pipelines.decide.dedup.graph import PartitionPlan
from pipelines.decide.dedup.hash_list import make_list_path
from pipelines.decide.dedup.repeats_graph import (
    FINGERPRINTS,
    SPANS,
    UNITS,
    DecideJob,
    compute_shard_cuts,
    iter_kept_batches,
    list_pending_graphs,
    make_places_path,
    write_places,
)
from pipelines.engine.sorted_partition import SortedPartition
from pipelines.final_text import final_text
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.line_hashes import fold_texts

RUN = " ".join(f"word{number}" for number in range(20))
MENU = "Home | News | Contact | Imprint of this page"
CHINESE = "这座老磨坊在河边，多年来没有人打开过它的门，直到一个春天来了新的主人。"


def day(number):
    return datetime.datetime(2020, 1, number + 1, tzinfo=datetime.UTC)


def document(text, *, url=None, published=0, keep=True, source="s"):
    return {
        "text": text,
        "url": url,
        "published": day(published),
        "keep": keep,
        "source": source,
        "kind": "web",
    }


def corpus():
    """Documents with a menu, a run of words in English and in Chinese, and dropped copies of the first."""
    made = [
        document(
            f"{MENU}\n\nPage {i} says {RUN} {i}.\n\n{CHINESE}{'一二三四五'[i]}",
            url=f"http://h{i % 2}.org/{i}",
            published=9 - i,
        )
        for i in range(5)
    ]
    made += [
        document(f"A text of its own, number {i}, alone.\nIts second line {i}", url="http://h5.org")
        for i in range(4)
    ]
    made += [
        document(f"{made[5]['text']}\n{RUN.upper()} dropped", keep=False, published=0)
        for _ in range(4)
    ]
    return made


def write(folder, shards, *, row_group=2):
    """Document shards as annotate writes them, and which of them are kept; ids by the order of all documents."""
    number = 0
    (folder / "documents").mkdir(parents=True)
    (folder / SPILL).mkdir()
    for shard, rows in enumerate(shards):
        ids = [f"{number + i:032x}" for i in range(len(rows))]
        number += len(rows)
        columns = {
            name: pa.array(
                [row[name] for row in rows], MOMENT if name == "published" else pa.string()
            )
            for name in ("text", "url", "published", "source", "kind")
        }
        table = pa.table({"id": pa.array(ids, pa.string()), **columns})
        hashes = hash_lines(fold_texts(*get_text_buffers(columns["text"])))
        path = folder / "documents" / f"part-{shard:05d}.parquet"
        pq.write_table(table.append_column("line_hashes", hashes), path, row_group_size=row_group)
        np.savez(
            folder / SPILL / f"settled-{shard:05d}.npz",
            keep=np.array([row["keep"] for row in rows], bool),
        )


ASKED = RepeatedConfig(documents=4, span_words=20)


def search_of(folder, shards, *, partitions=3, spill=True, asked=ASKED, piece=1 << 16, **config):
    plan = PartitionPlan(partitions, shards, str(folder / SPILL) if spill else None, piece)
    return DecideJob(
        str(folder), str(folder / "documents"), DecideConfig(repeated=asked, **config), plan
    )


def run(search):
    for graph in list_pending_graphs(search):
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            graph.build(pipeline)


def cut_all(folder, shards, **how):
    """The texts of all documents after their cuts, and all cuts, in order."""
    write(folder, shards)
    search = search_of(folder, len(shards), **how)
    run(search)
    lists = [
        cuts
        for shard in range(len(shards))
        for cuts in compute_shard_cuts(search, shard).as_column().to_pylist()
    ]
    texts = [row["text"] for rows in shards for row in rows]
    return [
        final_text(text, cuts, [], mask=False) for text, cuts in zip(texts, lists, strict=True)
    ], lists


def expected():
    """What is left: no menus, the run and the Chinese line in the oldest document only, which is the last of the five."""
    texts = [row["text"] for row in corpus()]
    for i in range(4):
        texts[i] = f"Page {i}  {i}.\n\n。{'一二三四五'[i]}"
    texts[4] = texts[4].removeprefix(f"{MENU}\n\n")
    return texts


def test_menus_go_everywhere_runs_stay_in_the_first_and_dropped_documents_neither_count_nor_change(
    tmp_path,
):
    documents = corpus()
    rest, lists = cut_all(tmp_path, [documents[:5], documents[5:]])
    assert rest == expected()
    assert {cut["reason"] for cuts in lists for cut in cuts} == {"repeated_line", "repeated_span"}
    assert lists[5:] == [[]] * 8


HOWS = [{"partitions": 1}, {"partitions": 7}, {"spill": False}, {"piece": 64}]
CUTS = [(5,), (1, 2, 2, 6), ()]
CORNERS = [(0, 2), (1, 1), (1, 3), (2, 0)]
"""Every way of cutting and every way of rows, as places in these lists."""


@pytest.mark.parametrize(
    ("cut", "how"),
    [
        pytest.param(
            cut, how, marks=() if (i, j) in CORNERS else pytest.mark.slow, id=f"{cut}-{how}"
        )
        for i, cut in enumerate(CUTS)
        for j, how in enumerate(HOWS)
    ],
)
def test_no_cut_depends_on_shards_partitions_pieces_or_the_way_of_rows(how, cut, tmp_path):
    documents = corpus()
    edges = [0, *cut, len(documents)]
    shards = [documents[a:b] for a, b in itertools.pairwise(edges)]
    assert cut_all(tmp_path, shards, **how)[0] == expected()


def test_shards_without_documents_and_without_kept_ones_have_no_cuts(tmp_path):
    rest, lists = cut_all(tmp_path, [[], [document(RUN, keep=False)], [document(RUN)], []])
    assert (rest, lists) == ([RUN, RUN], [[], []])


def test_lines_of_hosts_are_cut_and_spans_left_where_they_are_not_asked_for(tmp_path):
    documents = corpus()
    rest, lists = cut_all(tmp_path, [documents], asked=RepeatedConfig(hosts=2))
    assert {cut["reason"] for cuts in lists for cut in cuts} == {"repeated_line"}
    assert rest[:5] == [row["text"].removeprefix(f"{MENU}\n\n") for row in documents[:5]]
    assert sorted(path.name for path in (tmp_path / "receipts").iterdir()) == [UNITS]


def test_nothing_is_run_where_nothing_is_asked(tmp_path):
    write(tmp_path, [corpus()])
    assert list_pending_graphs(search_of(tmp_path, 1, asked=RepeatedConfig())) == ()


@pytest.mark.parametrize(("prefer_date", "kept"), [("oldest", 4), ("newest", 0)])
def test_the_preferred_document_keeps_a_run(prefer_date, kept, tmp_path):
    documents = corpus()[:5]
    rest, _ = cut_all(tmp_path, [documents], prefer_date=prefer_date)
    assert [RUN in text for text in rest] == [i == kept for i in range(5)]


def test_the_preferred_source_keeps_a_run(tmp_path):
    documents = [document(f"a {RUN}"), document(f"b {RUN}", source="best", published=5)]
    assert cut_all(tmp_path, [documents], prefer=("best",))[0] == ["a ", f"b {RUN}"]


def test_what_is_done_is_not_done_again(tmp_path):
    documents = corpus()
    write(tmp_path, [documents])
    search = search_of(tmp_path, 1)
    assert [graph.stage for graph in list_pending_graphs(search)] == [UNITS, FINGERPRINTS, SPANS]
    run(search)
    assert list_pending_graphs(search) == ()
    (tmp_path / make_list_path(FINGERPRINTS, 1, 3)).unlink()
    assert list_pending_graphs(search) == ()  # nobody needs the fingerprints any more
    (tmp_path / make_places_path(0)).unlink()
    assert [graph.stage for graph in list_pending_graphs(search)] == [FINGERPRINTS, SPANS]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / SPILL / "lists").iterdir()}
    run(search)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / SPILL / "lists").iterdir()}
    assert [path.name for path in after if after[path] != before.get(path)] == [
        "fingerprints-00001-of-00003.u64"
    ]
    assert compute_shard_cuts(search, 0).documents == 5


def test_after_a_crash_other_partitions_give_the_same_cuts(tmp_path):
    documents = corpus()
    write(tmp_path, [documents[:5], documents[5:]])
    run(search_of(tmp_path, 2, partitions=5))
    (tmp_path / make_places_path(1)).unlink()
    again = search_of(tmp_path, 2, partitions=2)
    assert [graph.stage for graph in list_pending_graphs(again)] == [UNITS, FINGERPRINTS, SPANS]
    run(again)
    lists = compute_shard_cuts(again, 0).as_column().to_pylist()
    assert [
        final_text(row["text"], cuts, [], mask=False)
        for row, cuts in zip(documents, lists, strict=False)
    ] == expected()[:5]


@pytest.mark.parametrize("gone", [make_list_path(UNITS, 0, 1), make_places_path(0)])
def test_files_that_are_missing_or_cut_are_errors(gone, tmp_path):
    write(tmp_path, [corpus()])
    search = search_of(tmp_path, 1, partitions=1)
    run(search)
    os.truncate(tmp_path / gone, (tmp_path / gone).stat().st_size - 8)
    with pytest.raises(RunError, match="run the same command again"):
        compute_shard_cuts(search, 0)


def test_places_are_written_once(tmp_path):
    write(tmp_path, [[document(RUN)]])
    search = search_of(tmp_path, 1)
    assert list(write_places(search, 0, SortedPartition([], 8))) == []
    receipt = receipts.read_receipt(tmp_path, SPANS, 0)
    assert receipt is not None and receipt.read == 0
    stamp = (tmp_path / make_places_path(0)).stat().st_mtime_ns
    assert list(write_places(search, 0, SortedPartition([], 8))) == []
    assert (tmp_path / make_places_path(0)).stat().st_mtime_ns == stamp


def test_kept_documents_come_with_their_rows_and_no_more_than_a_row_group_at_a_time(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(repeats_graph, "ROWS", 2)
    rows = [document(str(i), keep=i % 3 > 0) for i in range(10)]
    write(tmp_path, [rows], row_group=5)
    found = [
        (r.tolist(), b["text"].to_pylist())
        for r, b in iter_kept_batches(search_of(tmp_path, 1), 0, ["text"])
    ]
    assert [row for r, _ in found for row in r] == [1, 2, 4, 5, 7, 8]
    assert all([str(row) for row in r] == texts and len(r) <= 2 for r, texts in found)


def test_another_number_of_documents_than_were_judged_is_an_error(tmp_path):
    write(tmp_path, [[document("a")]])
    np.savez(tmp_path / SPILL / "settled-00000.npz", keep=np.ones(2, bool))
    with pytest.raises(ValueError, match="shard 0 has 1 documents, 2 were judged"):
        list(iter_kept_batches(search_of(tmp_path, 1), 0, ["text"]))


def test_real_text_is_cut_alike_in_one_shard_and_in_many(shared_data, tmp_path, words_of):
    table = pq.read_table(
        shared_data / "corpus" / "wiki_en_revisions.parquet", columns=["title", "text"]
    )
    texts = [text[:3000] for text in table.sort_by("title")["text"].to_pylist()[:150]]
    rows = [document(text, published=i % 20) for i, text in enumerate(texts)]
    one, lists = cut_all(tmp_path / "one", [rows], asked=RepeatedConfig(span_words=50))
    order = random.Random(1).sample([5, 60, 61, 100], 4)
    edges = [0, *sorted(order), len(rows)]
    many, _ = cut_all(
        tmp_path / "many",
        [rows[a:b] for a, b in itertools.pairwise(edges)],
        asked=RepeatedConfig(span_words=50),
        piece=4096,
    )
    assert one == many
    seen = set()
    cut = [set() for _ in rows]
    for d in sorted(range(len(rows)), key=lambda d: (d % 20, d)):
        words = words_of(texts[d])
        for at in range(len(words) - 49):
            piece = tuple(words[at : at + 50])
            cut[d] |= set(range(at, at + 50)) if piece in seen else set()
            seen.add(piece)
    left = [len(words_of(text)) for text in texts]
    assert sum(map(len, cut)) > 1000
    assert [
        len(words_of(" ".join(_rest(text, cuts)))) for text, cuts in zip(texts, lists, strict=True)
    ] == [n - len(c) for n, c in zip(left, cut, strict=True)]


def _rest(text, cuts):
    """The pieces of a text between its cuts."""
    raw, at = text.encode(), 0
    for cut in cuts:
        yield raw[at : cut["start"]].decode()
        at = cut["end"]
    yield raw[at:].decode()
