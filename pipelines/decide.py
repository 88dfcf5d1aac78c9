"""`decide`: keep or drop every document, with all reasons - from signals and hashes alone, no text is read again.

shards -> keys (rules, hashes, bands) -> exact copies -> near copies: one union -> clusters
       -> by shard: copies, clusters -> decisions/part-00000.parquet + receipt
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill import receipts, storage
from gristmill.ledger import Tally
from gristmill.receipts import Receipt, data_file
from gristmill.runs import SPILL
from gristmill.takedown import TakedownList, read_takedowns
from pipelines.config import DecideConfig
from pipelines.dedup.graph import EXACT_COPY, MEMBER, Columns, ExactDuplicates, NearDuplicates, row_in_shard
from pipelines.dedup.keys import band_rows, halves, id_of, nodes_of, ranks
from pipelines.document_shards import pairing, shard_path
from pipelines.exchange import Exchange, Keyed, Numbers, pack, unpack
from pipelines.rules import FIXED_REASONS, chosen_rules, judge, legend
from pipelines.signals.table import NUMBERS, PERMUTATIONS, signature_matrix

KEYS, STAGE = "keys", "decide"
CODE = [
    "pipelines/decide.py", "pipelines/config.py", "pipelines/exchange.py", "pipelines/rules", "pipelines/dedup",
    "pipelines/document_shards.py", "gristmill/rights.py", "gristmill/takedown.py",
]  # fmt: skip
LIBRARIES = ["numpy", "pyarrow", "scipy"]
NO_CLUSTER = -1
READ = [
    "id", "url", "author", "source", "kind", "lang", "lang_score", "published", "licence", "opt_out", "text_hash",
    "signature", *NUMBERS,
]  # fmt: skip
"""The columns that keys are made of; the text is not among them."""
BIT = {reason: np.int64(1) << place for place, reason in enumerate(FIXED_REASONS)}

CUTS = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("reason", pa.string())]))
DECISION_SCHEMA = pa.schema(
    [
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("reasons", pa.uint64(), nullable=False, metadata={"is": "bit i = reason i of the run's legend"}),
        pa.field("cluster", pa.int64(), nullable=False, metadata={"is": "smallest node of the near cluster, or -1"}),
        pa.field(
            "cluster_size", pa.int32(), nullable=False, metadata={"is": "documents in the cluster or exact group"}
        ),
        pa.field("kept_id", pa.string(), metadata={"is": "the copy that survives; null where this one does"}),
        pa.field("similarity", pa.float32(), metadata={"is": "estimated Jaccard similarity to the kept copy"}),
        pa.field("cuts", CUTS, nullable=False, metadata={"is": "spans of UTF-8 bytes that pack leaves out"}),
    ],
    metadata={"gristmill.format": "decisions/1"},
)


def decide(
    pipeline: beam.Pipeline, folder: str, documents: str, config: DecideConfig, shards: int, partitions: int
) -> None:
    """The whole graph. `documents` is the folder of document shards; `folder` the run being written."""
    spill = str(Path(folder) / SPILL)
    numbers = pipeline | "shards" >> Numbers(shards)
    keys = numbers | "keys" >> beam.ParDo(ShardKeys(folder, documents, config)).with_outputs("bands", main="exact")
    copies = keys.exact | "exact" >> ExactDuplicates(partitions=partitions, spill=spill)
    near = NearDuplicates(config.near, documents, config.prefer, partitions=partitions, spill=spill)
    members = (keys.bands, copies) | "near" >> near
    verdicts = {
        "copies": copies | "copies by shard" >> Exchange(EXACT_COPY, partitions=partitions, by="shard", spill=spill),
        "members": members
        | "node first" >> beam.ParDo(Columns(MEMBER, (1, 0, 2, 3, 4, 5, 6)))
        | "members by shard" >> Exchange(MEMBER, partitions=partitions, by="shard", spill=spill),
        "shard": numbers | "with its number" >> beam.ParDo(Keyed()),
    }
    (
        verdicts
        | "at the shard" >> beam.CoGroupByKey()
        | "write" >> beam.ParDo(WriteDecisions(folder, documents, config))
    )


class ShardKeys(beam.DoFn):  # type: ignore[misc]
    """Judge one shard by rules, and send the exact keys and band rows of what passes."""

    def __init__(self, folder: str, documents: str, config: DecideConfig) -> None:
        self.folder, self.documents, self.config = folder, documents, config

    def process(self, shard: int) -> Iterator[bytes]:
        exact, bands = shard_keys(Path(self.folder), self.documents, shard, self.config)
        if len(exact):
            yield pack(exact)
        if len(bands):
            yield beam.pvalue.TaggedOutput("bands", pack(bands))


def shard_keys(folder: Path, documents: str, shard: int, config: DecideConfig) -> tuple[np.ndarray, np.ndarray]:
    """The exact keys and band rows of a shard, computed once: a crash does not repeat what has a receipt."""
    name = f"{SPILL}/keys-{shard:05d}.npz"
    if receipts.done(folder, KEYS, shard) is None:
        wanted = [*dict.fromkeys([*READ, *(rule.signal for rule in chosen_rules(config))])]
        there = set(pq.read_schema(shard_path(documents, shard)).names)  # fewer with `annotate.only_hashes`
        table = pq.read_table(shard_path(documents, shard), columns=[name for name in wanted if name in there])
        reasons = rule_reasons(table, config)
        exact, bands = keys_of(table, shard, reasons == 0, config)
        with storage.commit(folder / name) as file:
            np.savez(file, reasons=reasons, exact=exact, bands=bands)
        receipts.commit(folder, Receipt(KEYS, shard, table.num_rows, files=(data_file(folder, name),)))
    with np.load(folder / name) as saved:
        return saved["exact"], saved["bands"]


def rule_reasons(table: pa.Table, config: DecideConfig) -> np.ndarray:
    """int64 (n,): the bits of takedowns, rights, language and rules for every document."""
    takedowns = read_takedowns(config.takedown)
    rules = chosen_rules(config)
    columns = {rule.signal: table[rule.signal].to_numpy() for rule in rules}
    kinds, languages = table["kind"].to_pylist(), table["lang"].to_pylist()
    bits = judge(columns, kinds, languages, rules, config)
    bits |= np.where(_taken_down(table, takedowns), BIT["takedown"], 0)
    bits |= _rights_bits(table, config)
    wrong = np.array([bool(config.languages) and lang not in config.languages for lang in languages], bool)
    if config.min_language_score:  # where none is asked for, it need not be there
        wrong |= table["lang_score"].to_numpy() < config.min_language_score
    bits |= np.where(wrong, BIT["language"], 0)
    return bits


def _taken_down(table: pa.Table, takedowns: TakedownList) -> np.ndarray:
    mask = takedowns.mask(table["id"].to_pylist(), table["url"].to_pylist(), table["author"].to_pylist())
    return np.array(mask, bool)


def _rights_bits(table: pa.Table, config: DecideConfig) -> np.ndarray:
    """Both reasons of the rights policy for every document: its first refusal would hide the second."""
    policy = config.rights
    stated = pc.fill_null(pc.list_value_length(table["opt_out"]), 0).to_numpy() > 0
    allowed = {name: policy.allows_licence(name) for name in pc.unique(table["licence"]).to_pylist()}
    barred = np.array([not allowed[name] for name in table["licence"].to_pylist()], bool)
    opted = np.where(stated & policy.honour_opt_outs, BIT["opt_out"], np.int64(0))
    return opted | np.where(barred, BIT["licence"], np.int64(0))


def keys_of(table: pa.Table, shard: int, passed: np.ndarray, config: DecideConfig) -> tuple[np.ndarray, np.ndarray]:
    """Exact keys (EXACT_WIDTH) and band rows (2) of the documents that passed the rules."""
    nodes = nodes_of(shard, table.num_rows)
    hashes = halves(table["text_hash"].combine_chunks()) if table.num_rows else np.zeros((0, 2), np.int64)
    exact = np.column_stack([hashes, ranks(table, config.prefer), nodes])[passed]
    signature = table["signature"].combine_chunks()
    signed = passed & signature.is_valid().to_numpy(zero_copy_only=False)
    bands = band_rows(
        signature_matrix(signature)[signed], nodes[signed], bands=config.near.bands, rows=config.near.rows
    )
    return exact, bands


class WriteDecisions(beam.DoFn):  # type: ignore[misc]
    """Gather the verdicts of one shard and write its rows, in the order of its documents."""

    def __init__(self, folder: str, documents: str, config: DecideConfig) -> None:
        self.folder, self.documents, self.config = folder, documents, config

    def process(self, group: tuple[int, Mapping[str, Iterable[bytes]]]) -> Iterator[int]:
        shard, verdicts = group
        if receipts.done(Path(self.folder), STAGE, shard) is None:
            copies = unpack(b"".join(verdicts["copies"]), EXACT_COPY)
            members = unpack(b"".join(verdicts["members"]), MEMBER)
            write_decisions(Path(self.folder), self.documents, shard, copies, members, self.config)
        yield shard


def write_decisions(
    folder: Path, documents: str, shard: int, copies: np.ndarray, members: np.ndarray, config: DecideConfig
) -> Receipt:
    """Write the decisions of a shard and its receipt. Usable without Beam."""
    table = pq.read_table(shard_path(documents, shard), columns=["source", "lang", "text_bytes"])
    with np.load(folder / SPILL / f"keys-{shard:05d}.npz") as saved:
        reasons = saved["reasons"].copy()
    decisions = decision_table(reasons, copies, members)
    decisions = decisions.replace_schema_metadata({**decisions.schema.metadata, **pairing(documents, shard)})
    name = f"decisions/part-{shard:05d}.parquet"
    with storage.commit(folder / name) as file:
        pq.write_table(decisions, file, compression="zstd")
    names = legend(chosen_rules(config))
    tally = tally_decisions(table, decisions["reasons"].to_numpy(), names)
    files = (data_file(folder, name, rows=decisions.num_rows),)
    receipt = Receipt(STAGE, shard, table.num_rows, tuple(tally.entries()), files)
    receipts.commit(folder, receipt)
    return receipt


def decision_table(reasons: np.ndarray, copies: np.ndarray, members: np.ndarray) -> pa.Table:
    """The decisions of a shard from its rule bits (n,), exact copies (m, 2) and cluster members (k, 7).

    Whatever made a document a copy, `kept_id` is the survivor of its cluster, which is kept.
    """
    rows = len(reasons)
    bits = reasons.copy()
    cluster, size = np.full(rows, NO_CLUSTER, np.int64), np.ones(rows, np.int32)
    kept: list[str | None] = [None] * rows
    similarity = np.full(rows, np.nan, np.float32)
    exact = set(row_in_shard(copies[:, 0]).tolist())
    for node, survivor, label, count, high, low, agreed in members.tolist():
        row = row_in_shard(node)
        cluster[row], size[row] = label, count
        if node != survivor:
            bits[row] |= BIT["exact_duplicate" if row in exact else "near_duplicate"]
            kept[row], similarity[row] = id_of(high, low), agreed / PERMUTATIONS
    columns: list[Any] = [bits == 0, bits.astype(np.uint64), cluster, size, kept]
    columns += [pa.array(similarity, pa.float32(), from_pandas=True), pa.array([[]] * rows, CUTS)]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, DECISION_SCHEMA, strict=True)], DECISION_SCHEMA)


def tally_decisions(table: pa.Table, bits: np.ndarray, names: list[str]) -> Tally:
    """Count fates; a document dropped for several reasons counts under the first of the legend."""
    tally = Tally()
    columns = (table[name].to_pylist() for name in ("source", "lang", "text_bytes"))
    for source, lang, size, word in zip(*columns, bits.tolist(), strict=True):
        if word:
            tally.add("dropped", names[(word & -word).bit_length() - 1], source=source, lang=lang, size=size)
        else:
            tally.add("kept", source=source, lang=lang, size=size)
    return tally
