"""From reasons and cluster members to the decisions of a shard.

In: the reasons of rules, int64 (documents,), and the cluster members of a shard, rows (MEASURED_MEMBER). Out: a table
of DECISION_SCHEMA, its file with a receipt, and the counts of outcomes. Usable without Beam.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.corpus.decision import DECISION_SCHEMA, NO_CLUSTER
from gristmill.corpus.shard_pairs import make_pairing, shard_path
from gristmill.runs import receipts, storage
from gristmill.runs.ledger import Tally
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.contract import ReasonBits, build_legend, choose_rules
from pipelines.decide.config import DecideConfig
from pipelines.decide.dedup.graph import DecideJob
from pipelines.decide.dedup.keys import join_id
from pipelines.decide.dedup.repeats_graph import compute_shard_cuts
from pipelines.decide.dedup.signatures import (
    MEASURED_MEMBER,
    compute_min_agreement,
    get_shard_row,
    measure_members,
)
from pipelines.decide.shard_keys import BIT, read_shard_keys
from pipelines.engine.sorted_partition import SortedPartition
from pipelines.row_layout import PackedColumn, PackedRows
from pipelines.signatures import PERMUTATIONS

FINALIZE, STAGE = "settle", "decide"
"""Stages of receipts: the verdicts of a shard, and its decisions. The names are part of run folders."""

COPY = BIT["exact_duplicate"] | BIT["url_duplicate"] | BIT["near_duplicate"]


def finalize_shard(job: DecideJob, shard: int, chunks: SortedPartition) -> Iterator[PackedRows]:
    """Commit the verdicts of a shard; and its decisions, unless repeated text has to be looked for first."""
    if receipts.read_receipt(job.run, FINALIZE, shard) is None:
        members = measure_members(job.documents, shard, chunks)
        reasons = read_shard_keys(job, shard).reasons
        keep = add_duplicate_reasons(reasons, members, job.config) == 0
        name = _name_verdicts(shard)
        with storage.open_for_commit(job.run / name) as file:
            np.savez(file, reasons=reasons, members=members, keep=keep)
        files = (describe_file(job.run, name),)
        receipts.commit_receipt(job.run, Receipt(FINALIZE, shard, len(reasons), files=files))
    if not job.config.repeated.is_asked:
        write_decisions(job, shard)
    yield from ()


def _name_verdicts(shard: int) -> str:
    return f"{SPILL}/settled-{shard:05d}.npz"


def write_decisions(job: DecideJob, shard: int) -> None:
    """Write the decisions of a finalized shard and its receipt, unless it has one."""
    if receipts.read_receipt(job.run, STAGE, shard) is not None:
        return
    documents = shard_path(job.documents, shard)
    table = pq.read_table(documents, columns=["source", "lang", "text_bytes"])
    with np.load(job.run / _name_verdicts(shard)) as saved:
        decisions = make_decision_table(saved["reasons"], saved["members"], job.config)
    details: dict[str, Any] = {}
    if job.config.repeated.is_asked:
        cuts = compute_shard_cuts(job, shard)
        position = decisions.schema.get_field_index("cuts")
        decisions = decisions.set_column(position, DECISION_SCHEMA.field("cuts"), cuts.as_column())
        details = {"cut": cuts.documents, "cut_bytes": cuts.bytes_of}
    metadata = {**decisions.schema.metadata, **make_pairing(job.documents, shard)}
    decisions = decisions.replace_schema_metadata(metadata)
    name = f"decisions/part-{shard:05d}.parquet"
    with storage.open_for_commit(job.run / name) as file:
        pq.write_table(decisions, file, compression="zstd")
    legend = build_legend(choose_rules(job.config))
    tally = count_outcomes(table, decisions["reasons"].to_numpy(), legend)
    files = (describe_file(job.run, name, rows=decisions.num_rows),)
    receipt = Receipt(STAGE, shard, table.num_rows, tuple(tally.entries()), files, details)
    receipts.commit_receipt(job.run, receipt)


def add_duplicate_reasons(
    reasons: ReasonBits, members: PackedRows, config: DecideConfig
) -> ReasonBits:
    """int64 (n,): the rule bits of a shard with those of its duplicates, from rows (MEASURED_MEMBER).

    Whatever makes a document a duplicate, the survivor of its cluster is kept. A document that shares its address with
    another of the cluster, and is less similar to the survivor than near duplicates are, is a URL duplicate only.
    """
    exact = MEASURED_MEMBER.column(members, "exact")
    same_url = MEASURED_MEMBER.column(members, "same_url")
    # An agreement of 0 proves nothing, even where the configuration asks for no similarity.
    min_agreement = max(1, compute_min_agreement(config.near.min_similarity))
    is_similar = MEASURED_MEMBER.column(members, "agreement") >= min_agreement
    near = (exact == 0) & ((same_url == 0) | is_similar)
    bits = (
        np.where(exact, BIT["exact_duplicate"], 0)
        | np.where(same_url, BIT["url_duplicate"], 0)
        | np.where(near, BIT["near_duplicate"], 0)
    )
    is_surplus = MEASURED_MEMBER.column(members, "position") >= config.keep_per_cluster
    dropped = (exact == 1) | is_surplus
    combined = reasons.copy()
    combined[get_shard_row(MEASURED_MEMBER.column(members, "node"))] |= np.where(dropped, bits, 0)
    return combined


def make_decision_table(reasons: ReasonBits, members: PackedRows, config: DecideConfig) -> pa.Table:
    """The decisions of a shard (DECISION_SCHEMA) from its rule bits (n,) and rows (MEASURED_MEMBER)."""
    count = len(reasons)
    bits = add_duplicate_reasons(reasons, members, config)
    rows = get_shard_row(MEASURED_MEMBER.column(members, "node"))
    size = MEASURED_MEMBER.column(members, "size")
    is_survivor = MEASURED_MEMBER.column(members, "position") == 0
    cluster = np.full(count, NO_CLUSTER, np.int64)
    cluster[rows] = MEASURED_MEMBER.column(members, "component_id")
    cluster_size = np.ones(count, np.int32)
    cluster_size[rows] = size
    repeats = np.ones(count, np.int32)
    repeats[rows[is_survivor]] = compute_repeats(size[is_survivor], config.upweight)
    columns = {
        "keep": bits == 0,
        "reasons": bits.astype(np.uint64),
        "cluster": cluster,
        "cluster_size": cluster_size,
        "kept_id": _list_kept_ids(bits, members),
        "similarity": _estimate_similarity(count, members),
        "repeats": repeats,
        "cuts": [[]] * count,
    }
    arrays = [pa.array(columns[field.name], field.type) for field in DECISION_SCHEMA]
    return pa.table(arrays, DECISION_SCHEMA)


def _list_kept_ids(bits: ReasonBits, members: PackedRows) -> np.ndarray[Any, np.dtype[np.object_]]:
    """str or None (n,): the id of the survivor where a document is dropped as its duplicate."""
    kept_id = np.full(len(bits), None, object)
    halves = MEASURED_MEMBER.block(members, "survivor_id").tolist()
    rows = get_shard_row(MEASURED_MEMBER.column(members, "node"))
    kept_id[rows] = [join_id(high, low) for high, low in halves]
    kept_id[bits & COPY == 0] = None
    return kept_id


def _estimate_similarity(count: int, members: PackedRows) -> pa.Array:
    """float32 (count,): the estimated Jaccard similarity to the survivor; null for it, and where nothing was measured."""
    agreement = MEASURED_MEMBER.column(members, "agreement")
    is_measured = (MEASURED_MEMBER.column(members, "position") > 0) & (agreement >= 0)
    rows = get_shard_row(MEASURED_MEMBER.column(members, "node"))
    similarity = np.full(count, np.nan, np.float32)
    similarity[rows[is_measured]] = agreement[is_measured] / PERMUTATIONS
    # from_pandas: NaN becomes null.
    return pa.array(similarity, pa.float32(), from_pandas=True)


def compute_repeats(sizes: PackedColumn, upweight: Mapping[int, int]) -> PackedColumn:
    """int64 (n,): how many times `pack` writes the survivors of clusters of these sizes.

    `upweight` maps a cluster size to the number of times from that size on.
    """
    repeats = np.ones(len(sizes), np.int64)
    for min_size, times in sorted(upweight.items()):
        repeats[sizes >= min_size] = times
    return repeats


def count_outcomes(table: pa.Table, bits: ReasonBits, legend: Sequence[str]) -> Tally:
    """Count outcomes. A document dropped for several reasons counts under the first of the legend."""
    tally = Tally()
    signed = bits.astype(np.int64)
    # Two's complement: x & -x is the lowest bit that is set, which is the first reason of the legend.
    lowest = pa.array(signed & -signed)
    documents = table.select(["source", "lang", "text_bytes"]).append_column("lowest", lowest)
    grouped = documents.group_by(["source", "lang", "lowest"], use_threads=False)
    sums = grouped.aggregate([("text_bytes", "count"), ("text_bytes", "sum")])
    for row in sums.to_pylist():
        about = {"source": row["source"], "lang": row["lang"]}
        sizes = {"documents": row["text_bytes_count"], "size": row["text_bytes_sum"]}
        if row["lowest"]:
            reason = legend[row["lowest"].bit_length() - 1]
            tally.add("dropped", reason, **about, **sizes)
        else:
            tally.add("kept", **about, **sizes)
    return tally
