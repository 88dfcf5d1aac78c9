"""How often documents of the training split are written, so that groups have the shares asked for.

A group's share is proportional to bytes ** (1 / temperature) x weight: with temperature 1 and no
weights it is what it is in the corpus, with a high temperature the same for all groups (Conneau et
al. 2020, XLM-R, section 3.1, with alpha = 1 / temperature). A document is written `times` times: the
whole part always, once more where a hash of its id lies below the fraction. So the choice does not
depend on other documents, except through `times`. No group is written more than `most` times: after
four repetitions more text is worth more than more repeats (Muennighoff et al. 2023, "Scaling
data-constrained language models").
"""

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from gristmill.errors import ConfigError, InputError
from pipelines.pack.config import MixtureConfig, QualityConfig

Floats = npt.NDArray[np.float64]

GROUPS_SHOWN = 20
"""Groups of a table for people; the manifest has all."""

UNKNOWN_QUALITY = "unknown"
"""The quality of a document whose signal is null or not a number."""


@dataclass(frozen=True, slots=True)
class MixtureGroup:
    """Documents with the same `key`, "lang=zh" or "source=wiki lang=zh", and what is planned."""

    key: str
    documents: int
    bytes: int
    natural: float
    """Its share of all bytes."""
    planned: float
    """Its share of the bytes of training."""
    times: float
    """How often each of its documents is written, on average."""


def plan_groups(sizes: Mapping[str, tuple[int, int]], config: MixtureConfig) -> list[MixtureGroup]:
    """Return the groups with how often they are written, by key.

    `sizes` maps a key to documents and bytes. Raises InputError where a weight names what no
    document is, or nothing would be written.
    """
    _refuse_idle_weights(sizes, config)
    keys = sorted(sizes)
    group_bytes = np.array([sizes[key][1] for key in keys], np.float64)
    weights = np.array([multiply_weights(key, config.weights) for key in keys])
    times = solve_times(group_bytes, weights, config)
    natural = _normalize(group_bytes)
    planned = _normalize(group_bytes * times)
    if group_bytes.sum() and not planned.sum():
        raise InputError(
            "this mixture writes nothing", {"groups": len(keys)}, "give some group a weight above 0"
        )
    groups: list[MixtureGroup] = []
    for number, key in enumerate(keys):
        documents, size = sizes[key]
        group = MixtureGroup(
            key=key,
            documents=documents,
            bytes=size,
            natural=float(natural[number]),
            planned=float(planned[number]),
            times=float(times[number]),
        )
        groups.append(group)
    return groups


def solve_times(sizes: Floats, weights: Floats, config: MixtureConfig) -> Floats:
    """float64 (groups,): how often groups of `sizes` bytes are written.

    What `most` cuts off from a group goes to the others, in proportion to what they want.
    """
    tempered = np.power(np.maximum(sizes, 1), 1 / config.temperature)
    targets = np.where(sizes > 0, tempered, 0) * weights
    times = np.zeros(len(sizes))
    unsettled = targets > 0
    budget = config.size * sizes.sum()
    # each round settles at least one group at `most`, so there are at most as many as groups
    while unsettled.any():
        # the order of these operations decides the last bit of `times`
        granted = budget * targets[unsettled] / targets[unsettled].sum()
        times[unsettled] = granted / sizes[unsettled]
        too_often = unsettled & (times > config.max_repeats)
        if not too_often.any():
            break
        times[too_often] = config.max_repeats
        budget -= config.max_repeats * sizes[too_often].sum()
        unsettled &= ~too_often
    return times


def _normalize(sizes: Floats) -> Floats:
    """Return shares of the sum; zeros stay zeros."""
    total = sizes.sum()
    return sizes / total if total else sizes


def multiply_weights(key: str, weights: Mapping[str, float]) -> float:
    """Return the product of all weights that name a part of the key."""
    parts = key.split("\t")
    return float(np.prod([weight for name, weight in weights.items() if name in parts]))


def _refuse_idle_weights(keys: Collection[str], config: MixtureConfig) -> None:
    """Refuse a weight that would do nothing: a misspelt name must not pass silently."""
    parts = {part for key in keys for part in key.split("\t")}
    idle = sorted(set(config.weights) - parts)
    if idle:
        known_parts = ", ".join(sorted(parts)[:GROUPS_SHOWN])
        raise InputError(
            "a weight names what no kept document is",
            {"pack.mixture.weights": idle[0], "there are": known_parts},
            "name one of those, or leave the weight out",
        )


def group_keys(table: pa.Table, config: MixtureConfig) -> pa.Array:
    """Return the key of every row of `table`, which has the columns of `list_group_columns`."""
    parts = [_format_key_part(table, name, config.quality) for name in config.by]
    return pc.binary_join_element_wise(*parts, "\t")


def list_group_columns(config: MixtureConfig) -> list[str]:
    """Return the columns of documents that tell their groups."""
    columns: list[str] = list(config.by)
    if config.quality and "quality" in columns:
        columns[columns.index("quality")] = config.quality.signal
    return columns


def _format_key_part(table: pa.Table, name: str, quality: QualityConfig | None) -> pa.Array:
    if name == "quality" and quality:
        return label_qualities(table[quality.signal], quality.bounds)
    column = table[name]
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.binary_join_element_wise(f"{name}=", values.cast(pa.string()), "")


def label_qualities(values: pa.ChunkedArray, bounds: Sequence[float]) -> pa.Array:
    """Say between which two bounds every value lies.

    For example "quality=<0.3", "quality=0.3-0.7" or "quality=>=0.7".
    """
    numbers = pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy()
    # not `:g`, which would give two near bounds one name
    edges = [np.format_float_positional(bound, trim="-") for bound in bounds]
    ranges = [f"{low}-{high}" for low, high in itertools.pairwise(edges)]
    labels = [f"<{edges[0]}", *ranges, f">={edges[-1]}", UNKNOWN_QUALITY]
    names = np.array([f"quality={label}" for label in labels])
    positions = np.searchsorted(np.array(bounds, np.float64), numbers, side="right")
    positions = np.where(np.isnan(numbers), len(names) - 1, positions)
    return pa.array(names[positions])


def count_groups(tables: Iterable[pa.Table], config: MixtureConfig) -> dict[str, tuple[int, int]]:
    """Return key -> documents and bytes of kept documents.

    The tables have `text_bytes` and `repeats` besides the groups' columns.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for table in tables:
        text_bytes = table["text_bytes"].cast(pa.int64())
        written_bytes = pc.multiply(text_bytes, table["repeats"].cast(pa.int64()))
        rows = pa.table({"key": group_keys(table, config), "bytes": written_bytes})
        sums = rows.group_by("key").aggregate([([], "count_all"), ("bytes", "sum")])
        for row in sums.to_pylist():
            documents, size = sizes.get(row["key"], (0, 0))
            sizes[row["key"]] = (documents + row["count_all"], size + row["bytes_sum"])
    return sizes


def draw_repeats(ids: Sequence[str], times: Floats) -> npt.NDArray[np.int64]:
    """int64 (n,): how often each document is written where it should be `times` (n,) on average."""
    hashes = [xxhash.xxh3_64_intdigest(f"times of {id}".encode()) for id in ids]
    draws = np.array(hashes, np.float64) / 2**64
    whole = np.floor(times)
    repeats: npt.NDArray[np.int64] = (whole + (draws < times - whole)).astype(np.int64)
    return repeats


def format_written_mixture(written: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a pack run's manifest says of its mixture, as a table for people."""
    groups = [
        MixtureGroup(**{name: row[name] for name in MixtureGroup.__slots__}) for row in written
    ]
    return format_groups(groups, {row["key"]: row["tokens"] for row in written})


def format_groups(
    groups: Sequence[MixtureGroup], tokens: Mapping[str, int] | None = None
) -> list[str]:
    """Return the plan as a table for people; with `tokens`, also what was written of each group."""
    head = ["group", "documents", "bytes", "share", "planned", "times"]
    if tokens:
        head += ["tokens", "of tokens"]
    rows = [head]
    ordered = sorted(groups, key=lambda group: (-group.planned, group.key))
    for group in ordered[:GROUPS_SHOWN]:
        row = [
            group.key.replace("\t", " "),
            f"{group.documents:,}",
            f"{group.bytes:,}",
            f"{group.natural:.1%}",
            f"{group.planned:.1%}",
            f"{group.times:.2f}",
        ]
        if tokens:
            written = tokens.get(group.key, 0)
            total = max(1, sum(tokens.values()))
            row += [f"{written:,}", f"{written / total:.1%}"]
        rows.append(row)
    lines = _align_columns(rows)
    if len(groups) > GROUPS_SHOWN:
        lines.append(f"  and {len(groups) - GROUPS_SHOWN} smaller groups")
    return lines


def _align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with the first column aligned to the left and the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def describe_left_out(groups: Sequence[MixtureGroup], size: float) -> list[str]:
    """Say what `times` below 1 means, and by which `size` nothing would be left out.

    Returns nothing where every document is written.
    """
    fewest = min((group.times for group in groups if group.times > 0), default=1.0)
    lost = sum(group.documents * (1 - group.times) for group in groups if group.times < 1)
    if lost < 1:
        return []
    documents = sum(group.documents for group in groups)
    line = f"  times below 1: about {lost:,.0f} of {documents:,} documents are left out"
    if fewest < 1:
        size_for_all = math.ceil(100 * size / fewest) / 100
        line += f"; pack.mixture.size={size_for_all} keeps all"
    return [line]


def check_quality(config: MixtureConfig, columns: Collection[str]) -> None:
    """Raise ConfigError where the quality's signal is not a numeric column of the documents."""
    if config.quality and config.quality.signal not in columns:
        raise ConfigError(
            "documents have no such number",
            {"pack.mixture.quality.signal": config.quality.signal},
            "`gristmill signals` lists what they have",
        )
