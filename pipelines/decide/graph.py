"""`decide`: keep or drop every document, with all reasons - from signals and hashes alone; text is read for `repeated` only.

shards -> keys (rules, hashes) -> exact copies -> bands of the others -> near copies ---+-> edges -> clusters
                               -> same addresses ---------------------------------------+

edges -> components -> clusters -> by shard: settled -> decisions/part-00000.parquet + receipt

One job where the components fit in memory. Else three and more: edges to files, rounds of stars until all are settled,
clusters. Each goes on where it was stopped.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.rights.takedown import TakedownList, read_takedowns
from gristmill.runs import receipts, storage
from gristmill.runs.ledger import Tally
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.annotate.signals.table import NUMBERS, signature_matrix
from pipelines.config import PERMUTATIONS, DecideConfig
from pipelines.contract import FIXED_REASONS, build_legend, choose_rules, judge_documents
from pipelines.decide.dedup import graph
from pipelines.decide.dedup.edge_files import EdgeFiles, wire_component_files
from pipelines.decide.dedup.graph import (
    EDGE,
    DecideJob,
    MapRows,
    compute_min_agreement,
    get_shard_row,
)
from pipelines.decide.dedup.groups import MEMBER
from pipelines.decide.dedup.keys import (
    ID_HALF,
    NODE,
    compute_survivor_order,
    join_id,
    make_band_rows,
    make_key_rows,
    make_nodes,
)
from pipelines.decide.dedup.repeated import CUTS
from pipelines.decide.dedup.repeats_graph import compute_shard_cuts
from pipelines.document_shards import pairing, shard_path
from pipelines.engine.exchange import SplitIndices
from pipelines.engine.packed_rows import pack_rows
from pipelines.engine.sorted_partition import SortedPartition

KEYS, FINALIZE, STAGE = "keys", "settle", "decide"
CODE = [
    "pipelines/decide",
    "pipelines/contract.py",
    "pipelines/config.py",
    "pipelines/engine",
    "pipelines/kernels",
    "pipelines/document_shards.py",
    "pipelines/annotate/signals/table.py",
    "pipelines/annotate/signals/urls.py",
    "gristmill/hashing.py",
    "gristmill/rights",
]
LIBRARIES = ["numpy", "pyarrow"]
NO_CLUSTER = -1
READ = [
    "id",
    "url",
    "author",
    "source",
    "kind",
    "lang",
    "lang_score",
    "published",
    "licence",
    "opt_out",
    "text_hash",
    "url_hash",
    *NUMBERS,
]
"""The columns that keys are made of; the text is not among them."""
BIT = {reason: np.int64(1) << place for place, reason in enumerate(FIXED_REASONS)}

DECISION_SCHEMA = pa.schema(
    [
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field(
            "reasons",
            pa.uint64(),
            nullable=False,
            metadata={"is": "bit i = reason i of the run's legend"},
        ),
        pa.field(
            "cluster",
            pa.int64(),
            nullable=False,
            metadata={"is": "smallest node of the cluster of copies, or -1"},
        ),
        pa.field(
            "cluster_size", pa.int32(), nullable=False, metadata={"is": "documents in the cluster"}
        ),
        pa.field(
            "kept_id",
            pa.string(),
            metadata={"is": "the copy that survives; null where this one is kept"},
        ),
        pa.field(
            "similarity",
            pa.float32(),
            metadata={"is": "estimated Jaccard similarity to the copy that survives"},
        ),
        pa.field(
            "repeats",
            pa.int32(),
            nullable=False,
            metadata={"is": "how many times pack writes the document"},
        ),
        pa.field(
            "cuts",
            CUTS,
            nullable=False,
            metadata={"is": "spans of UTF-8 bytes that pack leaves out"},
        ),
    ],
    metadata={"gristmill.format": "decisions/2"},
)


def wire_decide(pipeline: beam.Pipeline, work: DecideJob, shard_rows: Sequence[int]) -> None:
    """The whole graph, its components by one union-find: `shard_rows` are the documents of each shard."""
    edges = wire_edges(pipeline, work)
    pairs = edges | "two nodes" >> beam.ParDo(MapRows(EDGE, graph.select_nodes))
    wire_finalize(graph.wire_union_find(pairs, shard_rows, work.spread), edges, work)


def wire_edge_files(pipeline: beam.Pipeline, work: DecideJob, files: EdgeFiles) -> None:
    """The first job of a large graph."""
    files.wire_write(wire_edges(pipeline, work), work.spread)


def wire_finalize_files(
    pipeline: beam.Pipeline, work: DecideJob, edges: EdgeFiles, stars: EdgeFiles
) -> None:
    """The last job of a large graph."""
    wire_finalize(wire_component_files(pipeline, stars), edges.wire_read(pipeline), work)


def wire_edges(pipeline: beam.Pipeline, work: DecideJob) -> beam.PCollection:
    """Judge the shards; the edges between documents that pass and are copies."""
    keys = (
        pipeline
        | "shards" >> SplitIndices(work.spread.shards)
        | "keys" >> beam.ParDo(WriteShardKeys(work))
    )
    copies = graph.wire_exact_duplicates(keys, work.spread)
    bands = copies | "bands" >> work.spread.all_shards(EDGE, partial(list_shard_bands, work))
    addresses = copies | "addresses" >> work.spread.all_shards(
        EDGE, partial(list_shard_addresses, work)
    )
    alike = graph.wire_similar_edges(bands, addresses, work.documents, work.config, work.spread)
    return (copies, alike) | "edges" >> beam.Flatten()


def wire_finalize(labels: beam.PCollection, edges: beam.PCollection, work: DecideJob) -> None:
    """Labels and edges to settled shards."""
    clusters = graph.ClusterGraph(work.documents, work.config)
    clusters.wire(labels, edges, work.spread, partial(finalize_shard, work))


class WriteShardKeys(beam.DoFn):  # type: ignore[misc]
    """Judge one shard by rules, and send the content keys of what passes."""

    def __init__(self, work: DecideJob) -> None:
        self.work = work

    def process(self, shard: int) -> Iterator[bytes]:
        contents = write_shard_keys(self.work, shard)
        if len(contents):
            yield pack_rows(contents)


def write_shard_keys(work: DecideJob, shard: int) -> np.ndarray:
    """The content keys of a shard, computed once: a crash does not repeat what has a receipt."""
    folder, config = work.run, work.config
    name = f"{SPILL}/keys-{shard:05d}.npz"
    if receipts.read_receipt(folder, KEYS, shard) is None:
        wanted = [*dict.fromkeys([*READ, *(rule.signal for rule in choose_rules(config))])]
        there = set(
            pq.read_schema(shard_path(work.documents, shard)).names
        )  # fewer with `annotate.only_hashes`
        table = pq.read_table(
            shard_path(work.documents, shard), columns=[name for name in wanted if name in there]
        )
        reasons = judge_table(table, config)
        contents, addresses = make_keys(table, shard, reasons == 0, config)
        with storage.open_for_commit(folder / name) as file:
            np.savez(file, reasons=reasons, contents=contents, addresses=addresses)
        receipts.commit_receipt(
            folder, Receipt(KEYS, shard, table.num_rows, files=(describe_file(folder, name),))
        )
    return read_shard_keys(work, shard)["contents"]


def read_shard_keys(work: DecideJob, shard: int) -> dict[str, np.ndarray]:
    """What `shard_keys` saved: the reasons of all documents of a shard, and the keys of those that passed."""
    with np.load(work.run / SPILL / f"keys-{shard:05d}.npz") as saved:
        return {name: saved[name] for name in ("reasons", "contents", "addresses")}


def judge_table(table: pa.Table, config: DecideConfig) -> np.ndarray:
    """int64 (n,): the bits of takedowns, rights, language and rules for every document."""
    takedowns = read_takedowns(config.takedown)
    rules = choose_rules(config)
    columns = {rule.signal: table[rule.signal].to_numpy() for rule in rules}
    kinds, languages = table["kind"].to_pylist(), table["lang"].to_pylist()
    bits = judge_documents(columns, kinds, languages, rules, config)
    bits |= np.where(_taken_down(table, takedowns), BIT["takedown"], 0)
    bits |= _rights_bits(table, config)
    wrong = np.array(
        [bool(config.languages) and lang not in config.languages for lang in languages], bool
    )
    if config.min_language_score:  # where none is asked for, it need not be there
        wrong |= table["lang_score"].to_numpy() < config.min_language_score
    bits |= np.where(wrong, BIT["language"], 0)
    return bits


def _taken_down(table: pa.Table, takedowns: TakedownList) -> np.ndarray:
    mask = takedowns.mask(
        table["id"].to_pylist(), table["url"].to_pylist(), table["author"].to_pylist()
    )
    return np.array(mask, bool)


def _rights_bits(table: pa.Table, config: DecideConfig) -> np.ndarray:
    """Both reasons of the rights policy for every document: its first refusal would hide the second."""
    policy = config.rights
    stated = pc.fill_null(pc.list_value_length(table["opt_out"]), 0).to_numpy() > 0
    allowed = {
        name: policy.allows_licence(name) for name in pc.unique(table["licence"]).to_pylist()
    }
    barred = np.array([not allowed[name] for name in table["licence"].to_pylist()], bool)
    opted = np.where(stated & policy.honour_opt_outs, BIT["opt_out"], np.int64(0))
    return opted | np.where(barred, BIT["licence"], np.int64(0))


def make_keys(
    table: pa.Table, shard: int, passed: np.ndarray, config: DecideConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Content and address keys, int64 (n, KEY_WIDTH) each, of the documents that passed the rules."""
    nodes = make_nodes(shard, table.num_rows)
    rank = compute_survivor_order(table, config.prefer, newest=config.prefer_date == "newest")
    contents = make_key_rows(table["text_hash"].combine_chunks(), rank, nodes, passed)
    urls = table["url_hash"].combine_chunks()
    addressed = urls.is_valid().to_numpy(zero_copy_only=False) & bool(config.url.max_documents)
    return contents, make_key_rows(urls, rank, nodes, passed & addressed)


def list_shard_bands(work: DecideJob, shard: int, copies: SortedPartition) -> Iterator[np.ndarray]:
    """Band rows of the documents of a shard that passed the rules, are no exact copies and have a signature."""
    named = _but_copies(read_shard_keys(work, shard)["contents"], copies)[:, [ID_HALF, NODE]]
    column = pq.read_table(shard_path(work.documents, shard), columns=["signature"])[
        "signature"
    ].combine_chunks()
    signed = column.is_valid().to_numpy(zero_copy_only=False)
    named, near = named[signed[get_shard_row(named[:, 1])]], work.config.near
    for some in np.array_split(named, len(named) // graph.CARRIED + 1):
        signatures = signature_matrix(column)[get_shard_row(some[:, 1])]
        yield make_band_rows(signatures, some, bands=near.bands, rows=near.rows)


def list_shard_addresses(
    work: DecideJob, shard: int, copies: SortedPartition
) -> Iterator[np.ndarray]:
    """Address keys of the same documents: copies of one content count once among those of an address."""
    yield _but_copies(read_shard_keys(work, shard)["addresses"], copies)


def _but_copies(keys: np.ndarray, copies: SortedPartition) -> np.ndarray:
    """The keys of the documents that are no exact copies."""
    for rows in copies:
        keys = keys[~np.isin(keys[:, NODE], rows[:, 0])]
    return keys


def finalize_shard(work: DecideJob, shard: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    """Commit the verdicts of a shard's documents; and the decisions, unless repeated text has to be looked for first."""
    folder = work.run
    if receipts.read_receipt(folder, FINALIZE, shard) is None:
        members = graph.measure_members(work.documents, shard, pieces)
        reasons = read_shard_keys(work, shard)["reasons"]
        name = f"{SPILL}/settled-{shard:05d}.npz"
        keep = add_duplicate_reasons(reasons, members, work.config) == 0
        with storage.open_for_commit(folder / name) as file:
            np.savez(file, reasons=reasons, members=members, keep=keep)
        receipts.commit_receipt(
            folder, Receipt(FINALIZE, shard, len(reasons), files=(describe_file(folder, name),))
        )
    if not work.config.repeated.is_asked:
        write_decisions(work, shard)
    yield from ()


def wire_write_decisions(pipeline: beam.Pipeline, work: DecideJob) -> None:
    """The job that writes the decisions where repeated text was looked for before."""
    _ = (
        pipeline
        | "shards" >> SplitIndices(work.spread.shards)
        | "write" >> beam.ParDo(_Write(work))
    )


class _Write(beam.DoFn):  # type: ignore[misc]
    def __init__(self, work: DecideJob) -> None:
        self.work = work

    def process(self, shard: int) -> Iterator[int]:
        write_decisions(self.work, shard)
        yield shard


def write_decisions(work: DecideJob, shard: int) -> None:
    """Write the decisions of a settled shard and its receipt, unless it has one. Usable without Beam."""
    folder = work.run
    if receipts.read_receipt(folder, STAGE, shard) is not None:
        return
    table = pq.read_table(
        shard_path(work.documents, shard), columns=["source", "lang", "text_bytes"]
    )
    with np.load(folder / SPILL / f"settled-{shard:05d}.npz") as saved:
        decisions = make_decision_table(saved["reasons"], saved["members"], work.config)
    details: dict[str, Any] = {}
    if work.config.repeated.is_asked:
        cuts = compute_shard_cuts(work, shard)
        decisions = decisions.set_column(
            decisions.schema.get_field_index("cuts"),
            DECISION_SCHEMA.field("cuts"),
            cuts.as_column(),
        )
        details = {"cut": cuts.documents, "cut_bytes": cuts.bytes_of}
    decisions = decisions.replace_schema_metadata(
        {**decisions.schema.metadata, **pairing(work.documents, shard)}
    )
    name = f"decisions/part-{shard:05d}.parquet"
    with storage.open_for_commit(folder / name) as file:
        pq.write_table(decisions, file, compression="zstd")
    names = build_legend(choose_rules(work.config))
    tally = count_outcomes(table, decisions["reasons"].to_numpy(), names)
    files = (describe_file(folder, name, rows=decisions.num_rows),)
    receipts.commit_receipt(
        folder, Receipt(STAGE, shard, table.num_rows, tuple(tally.entries()), files, details)
    )


def add_duplicate_reasons(
    reasons: np.ndarray, members: np.ndarray, config: DecideConfig
) -> np.ndarray:
    """int64 (n,): the rule bits of a shard with those of its copies, from members (k, MEMBER + 1) of `settled_members`.

    Whatever makes a document a copy, the survivor of its cluster is kept. One that shares its address with another of the
    cluster, and is less like the survivor than near copies are, is a copy by its address alone.
    """
    _, _, _, _, _, _, place, exact, address, agreed = members.T
    near = (exact == 0) & (
        (address == 0) | (agreed >= max(1, compute_min_agreement(config.near.min_similarity)))
    )
    bits = [
        np.where(flag, BIT[f"{kind}_duplicate"], 0)
        for kind, flag in (("exact", exact), ("url", address), ("near", near))
    ]
    dropped = (exact == 1) | (place >= config.keep_per_cluster)
    found = reasons.copy()
    found[get_shard_row(members[:, 0])] |= np.where(dropped, np.bitwise_or.reduce(bits), 0)
    return found


def make_decision_table(reasons: np.ndarray, members: np.ndarray, config: DecideConfig) -> pa.Table:
    """The decisions of a shard from its rule bits (n,) and cluster members (k, MEMBER + 1)."""
    rows, count = get_shard_row(members[:, 0]), len(reasons)
    bits = add_duplicate_reasons(reasons, members, config)
    label, size, high, low, place = members[:, 2:7].T
    cluster, sizes = np.full(count, NO_CLUSTER, np.int64), np.ones(count, np.int32)
    cluster[rows], sizes[rows] = label, size
    similarity, repeats = np.full(count, np.nan, np.float32), np.ones(count, np.int32)
    measured = (place > 0) & (members[:, MEMBER] >= 0)
    similarity[rows[measured]] = members[measured, MEMBER] / PERMUTATIONS
    repeats[rows[place == 0]] = compute_repeats(size[place == 0], config.upweight)
    kept = np.full(count, None, object)
    kept[rows] = [join_id(*halves) for halves in zip(high.tolist(), low.tolist(), strict=True)]
    kept[bits & COPY == 0] = None
    columns: list[Any] = [bits == 0, bits.astype(np.uint64), cluster, sizes, kept]
    columns += [
        pa.array(similarity, pa.float32(), from_pandas=True),
        repeats,
        pa.array([[]] * count, CUTS),
    ]
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, DECISION_SCHEMA, strict=True)],
        DECISION_SCHEMA,
    )


COPY = BIT["exact_duplicate"] | BIT["url_duplicate"] | BIT["near_duplicate"]


def compute_repeats(sizes: np.ndarray, upweight: dict[int, int]) -> np.ndarray:
    """int64 (n,): how many times the survivors of clusters of these sizes are written: as the largest size reached says."""
    found = np.ones(len(sizes), np.int64)
    for least, times in sorted(upweight.items()):
        found[sizes >= least] = times
    return found


def count_outcomes(table: pa.Table, bits: np.ndarray, names: list[str]) -> Tally:
    """Count fates; a document dropped for several reasons counts under the first of the legend."""
    tally, word = Tally(), bits.astype(np.int64)
    grouped = table.select(["source", "lang", "text_bytes"]).append_column(
        "lowest", pa.array(word & -word)
    )
    sums = grouped.group_by(["source", "lang", "lowest"], use_threads=False)
    for row in sums.aggregate([("text_bytes", "count"), ("text_bytes", "sum")]).to_pylist():
        about = {"source": row["source"], "lang": row["lang"]}
        sizes = {"documents": row["text_bytes_count"], "size": row["text_bytes_sum"]}
        if row["lowest"]:
            tally.add("dropped", names[row["lowest"].bit_length() - 1], **about, **sizes)
        else:
            tally.add("kept", **about, **sizes)
    return tally
