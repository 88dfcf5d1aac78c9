"""Judge one shard of documents by rules and make the keys by which its duplicates are found.

In: a document shard. Out: a file with the reasons of all documents and the content and address keys of those that
passed, with its receipt; from that file, the rows that other stages regroup. Usable without Beam.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.shard_pairs import shard_path
from gristmill.rights.takedown import TakedownList, read_takedowns
from gristmill.runs import receipts, storage
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.annotate.signals.table import NUMBERS, view_signature_matrix
from pipelines.contract import FIXED_REASONS, Mask, ReasonBits, choose_rules, judge_documents
from pipelines.decide.config import DecideConfig
from pipelines.decide.dedup.graph import DecideJob
from pipelines.decide.dedup.keys import (
    CONTENT_KEY,
    ID_HALF,
    compute_survivor_order,
    make_band_rows,
    make_key_rows,
    make_nodes,
)
from pipelines.decide.dedup.signatures import SIGNED_CHUNK_ROWS, get_shard_row
from pipelines.engine.sorted_partition import SortedPartition
from pipelines.row_layout import PackedRows

KEYS = "keys"
"""The stage of the receipts."""

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

BIT = {reason: np.int64(1) << bit for bit, reason in enumerate(FIXED_REASONS)}


class ShardKeys(NamedTuple):
    """What is known of a shard before its duplicates are: see the module."""

    reasons: ReasonBits
    """int64 (documents,)."""
    contents: PackedRows
    """Rows (CONTENT_KEY) by text hash, of the documents that passed."""
    addresses: PackedRows
    """Rows (CONTENT_KEY) by address hash, of those of them that have one."""


def write_shard_keys(job: DecideJob, shard: int) -> PackedRows:
    """The content keys of a shard. They are computed once: a crash does not repeat what has a receipt."""
    if receipts.read_receipt(job.run, KEYS, shard) is None:
        table = _read_columns(job, shard)
        reasons = judge_table(table, job.config)
        contents, addresses = make_keys(table, shard, reasons == 0, job.config)
        name = _name_keys(shard)
        with storage.open_for_commit(job.run / name) as file:
            np.savez(file, reasons=reasons, contents=contents, addresses=addresses)
        files = (describe_file(job.run, name),)
        receipts.commit_receipt(job.run, Receipt(KEYS, shard, table.num_rows, files=files))
    return read_shard_keys(job, shard).contents


def _read_columns(job: DecideJob, shard: int) -> pa.Table:
    """The columns that rules and keys need. Documents of `annotate.only_hashes` have fewer of them."""
    path = shard_path(job.documents, shard)
    signals = [rule.signal for rule in choose_rules(job.config)]
    needed = dict.fromkeys([*READ, *signals])
    present = set(pq.read_schema(path).names)
    return pq.read_table(path, columns=[name for name in needed if name in present])


def _name_keys(shard: int) -> str:
    return f"{SPILL}/keys-{shard:05d}.npz"


def read_shard_keys(job: DecideJob, shard: int) -> ShardKeys:
    """What `write_shard_keys` wrote."""
    with np.load(job.run / _name_keys(shard)) as saved:
        return ShardKeys(saved["reasons"], saved["contents"], saved["addresses"])


def judge_table(table: pa.Table, config: DecideConfig) -> ReasonBits:
    """int64 (n,): the bits of takedowns, rights, language and rules for every document."""
    takedowns = read_takedowns(config.takedown)
    rules = choose_rules(config)
    columns = {rule.signal: table[rule.signal].to_numpy() for rule in rules}
    kinds = table["kind"].to_pylist()
    languages = table["lang"].to_pylist()
    bits = judge_documents(columns, kinds, languages, rules, config)
    bits |= np.where(_find_taken_down(table, takedowns), BIT["takedown"], 0)
    bits |= _judge_rights(table, config)
    bits |= np.where(_find_other_languages(table, languages, config), BIT["language"], 0)
    return bits


def _find_taken_down(table: pa.Table, takedowns: TakedownList) -> Mask:
    ids, urls, authors = (table[name].to_pylist() for name in ("id", "url", "author"))
    return np.array(takedowns.mask(ids, urls, authors), bool)


def _find_other_languages(table: pa.Table, languages: list[str], config: DecideConfig) -> Mask:
    """bool (n,): which documents are not, or not surely enough, in one of the configured languages."""
    is_limited = bool(config.languages)
    other = np.array([is_limited and lang not in config.languages for lang in languages], bool)
    # The score is read only where it is asked for: documents of `annotate.only_hashes` have none.
    if config.min_language_score:
        other |= table["lang_score"].to_numpy() < config.min_language_score
    return other


def _judge_rights(table: pa.Table, config: DecideConfig) -> ReasonBits:
    """Both reasons of the rights policy for every document: its first refusal would hide the second."""
    policy = config.rights
    opt_outs = pc.fill_null(pc.list_value_length(table["opt_out"]), 0).to_numpy() > 0
    licences = table["licence"]
    allowed = {name: policy.allows_licence(name) for name in pc.unique(licences).to_pylist()}
    barred = np.array([not allowed[name] for name in licences.to_pylist()], bool)
    opted_out = np.where(opt_outs & policy.honour_opt_outs, BIT["opt_out"], np.int64(0))
    bits: ReasonBits = np.bitwise_or(opted_out, np.where(barred, BIT["licence"], np.int64(0)))
    return bits


def make_keys(
    table: pa.Table, shard: int, passed: npt.NDArray[np.bool_], config: DecideConfig
) -> tuple[PackedRows, PackedRows]:
    """Content and address keys, rows (CONTENT_KEY) each, of the documents that passed the rules."""
    nodes = make_nodes(shard, table.num_rows)
    order = compute_survivor_order(table, config.prefer, newest=config.prefer_date == "newest")
    contents = make_key_rows(table["text_hash"].combine_chunks(), order, nodes, passed)
    urls = table["url_hash"].combine_chunks()
    has_url = urls.is_valid().to_numpy(zero_copy_only=False)
    used = passed & has_url & bool(config.url.max_documents)
    return contents, make_key_rows(urls, order, nodes, used)


def list_shard_bands(job: DecideJob, shard: int, copies: SortedPartition) -> Iterator[PackedRows]:
    """Rows (BAND) of the documents that passed the rules, have a signature and are no exact duplicates."""
    near = job.config.near
    keys = _drop_copies(read_shard_keys(job, shard).contents, copies)
    identified = keys[:, [ID_HALF, CONTENT_KEY.index("node")]]
    path = shard_path(job.documents, shard)
    column = pq.read_table(path, columns=["signature"])["signature"].combine_chunks()
    is_signed = column.is_valid().to_numpy(zero_copy_only=False)
    identified = identified[is_signed[get_shard_row(identified[:, 1])]]
    for part in np.array_split(identified, len(identified) // SIGNED_CHUNK_ROWS + 1):
        signatures = view_signature_matrix(column)[get_shard_row(part[:, 1])]
        yield make_band_rows(signatures, part, bands=near.bands, rows=near.rows)


def list_shard_addresses(
    job: DecideJob, shard: int, copies: SortedPartition
) -> Iterator[PackedRows]:
    """Address keys of the same documents: duplicates of one content count once among those of an address."""
    yield _drop_copies(read_shard_keys(job, shard).addresses, copies)


def _drop_copies(keys: PackedRows, copies: SortedPartition) -> PackedRows:
    """The keys of the documents that are no exact duplicates; `copies` are rows (EDGE) that start with one."""
    for rows in copies:
        keys = keys[~np.isin(CONTENT_KEY.column(keys, "node"), rows[:, 0])]
    return keys
