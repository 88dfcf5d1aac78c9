"""How often documents of the training split are written, so that sources, languages or qualities have the shares one wants.

A group's share is proportional to bytes ** (1 / temperature) x weight: with temperature 1 and no weights what it is in the
corpus, with a high temperature the same for all (Conneau et al. 2020, XLM-R, section 3.1, with alpha = 1 / temperature).
A document is written `times` times: the whole part always, once more where a hash of its id lies below the rest, so the
choice does not depend on other documents but through `times`. No group is written more than `max_repeats` times: after four
repetitions more text is worth more than more repeats (Muennighoff et al. 2023, "Scaling data-constrained language models").
"""

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from gristmill.errors import ConfigError, InputError
from pipelines.pack.config import MixtureConfig, QualityConfig

SHOWN = 20
"""Groups of a table for people; the manifest has all."""
NOT_KNOWN = "unknown"
"""The quality of a document whose signal is null or not a number."""


@dataclass(frozen=True, slots=True)
class MixtureGroup:
    """Documents with the same `key`, "lang=zh" or "source=wiki lang=zh", and what is planned for them."""

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
    """The groups (key -> documents, bytes) with how often they are written, by key.

    Raises InputError where a weight names what no document is, or nothing would be written.
    """
    _refuse_idle_weights(sizes, config)
    keys = sorted(sizes)
    counted = np.array([sizes[key][1] for key in keys], np.float64)
    factors = np.array([multiply_weights(key, config.weights) for key in keys])
    times = solve_times(counted, factors, config)
    natural, planned = _shares(counted), _shares(counted * times)
    if counted.sum() and not planned.sum():
        raise InputError(
            "this mixture writes nothing", {"groups": len(keys)}, "give some group a weight above 0"
        )
    numbers = zip(keys, natural.tolist(), planned.tolist(), times.tolist(), strict=True)
    return [
        MixtureGroup(key, *sizes[key], before, after, each) for key, before, after, each in numbers
    ]


def solve_times(sizes: np.ndarray, weights: np.ndarray, config: MixtureConfig) -> np.ndarray:
    """float64 (groups,): how often groups of `sizes` bytes are written; what `max_repeats` cuts off goes to the others."""
    wanted = (
        np.where(sizes > 0, np.power(np.maximum(sizes, 1), 1 / config.temperature), 0) * weights
    )
    times, free, left = np.zeros(len(sizes)), wanted > 0, config.size * sizes.sum()
    while free.any():
        times[free] = left * wanted[free] / wanted[free].sum() / sizes[free]
        over = free & (times > config.max_repeats)
        if not over.any():
            break
        times[over] = config.max_repeats
        left -= config.max_repeats * sizes[over].sum()
        free &= ~over
    return times


def _shares(sizes: np.ndarray) -> np.ndarray:
    total = sizes.sum()
    return sizes / total if total else sizes


def multiply_weights(key: str, weights: Mapping[str, float]) -> float:
    """The product of all weights that name a part of the key."""
    parts = key.split("\t")
    return float(np.prod([weight for name, weight in weights.items() if name in parts]))


def _refuse_idle_weights(sizes: Collection[str], config: MixtureConfig) -> None:
    there = {part for key in sizes for part in key.split("\t")}
    if idle := sorted(set(config.weights) - there):
        where = {"pack.mixture.weights": idle[0], "there are": ", ".join(sorted(there)[:20])}
        raise InputError(
            "a weight names what no kept document is",
            where,
            "name one of those, or leave the weight out",
        )


def group_keys(table: pa.Table, config: MixtureConfig) -> pa.Array:
    """The key of every row of `table`, which has the columns that `columns_of` names."""
    parts = [_part(table, name, config.quality) for name in config.by]
    return pc.binary_join_element_wise(*parts, "\t")


def list_group_columns(config: MixtureConfig) -> list[str]:
    """The columns of documents that tell their groups."""
    return [
        config.quality.signal if name == "quality" and config.quality else name
        for name in config.by
    ]


def _part(table: pa.Table, name: str, quality: QualityConfig | None) -> pa.Array:
    if name == "quality" and quality:
        return label_qualities(table[quality.signal], quality.bounds)
    values = (
        table[name].combine_chunks() if isinstance(table[name], pa.ChunkedArray) else table[name]
    )
    return pc.binary_join_element_wise(f"{name}=", values.cast(pa.string()), "")


def label_qualities(values: pa.ChunkedArray, bounds: Sequence[float]) -> pa.Array:
    """Between which two bounds every value lies, "quality=<0.3", "quality=0.3-0.7" or "quality=>=0.7"."""
    numbers = pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy()
    edges = [
        np.format_float_positional(bound, trim="-") for bound in bounds
    ]  # `:g` gives near bounds one name
    middle = [f"{low}-{high}" for low, high in itertools.pairwise(edges)]
    names = np.array(
        [f"quality={name}" for name in (f"<{edges[0]}", *middle, f">={edges[-1]}", NOT_KNOWN)]
    )
    places = np.searchsorted(np.array(bounds, np.float64), numbers, side="right")
    return pa.array(names[np.where(np.isnan(numbers), len(names) - 1, places)])


def count_groups(tables: Iterable[pa.Table], config: MixtureConfig) -> dict[str, tuple[int, int]]:
    """Key -> documents and bytes of kept documents; tables have `text_bytes` and `repeats` besides the groups' columns."""
    found: dict[str, tuple[int, int]] = {}
    for table in tables:
        sizes = pc.multiply(table["text_bytes"].cast(pa.int64()), table["repeats"].cast(pa.int64()))
        rows = pa.table({"key": group_keys(table, config), "bytes": sizes})
        summed = rows.group_by("key").aggregate([([], "count_all"), ("bytes", "sum")])
        for row in summed.to_pylist():
            documents, size = found.get(row["key"], (0, 0))
            found[row["key"]] = (documents + row["count_all"], size + row["bytes_sum"])
    return found


def draw_repeats(ids: Sequence[str], times: np.ndarray) -> np.ndarray:
    """int64 (n,): how often each document is written where it should be `times` (n,) on average."""
    rest = (
        np.array([xxhash.xxh3_64_intdigest(f"times of {id}".encode()) for id in ids], np.float64)
        / 2**64
    )
    whole = np.floor(times)
    found: np.ndarray = (whole + (rest < times - whole)).astype(np.int64)
    return found


def format_written_mixture(written: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a pack run's manifest says of its mixture, as a table for people."""
    groups = [
        MixtureGroup(**{name: row[name] for name in MixtureGroup.__slots__}) for row in written
    ]
    return format_groups(groups, {row["key"]: row["tokens"] for row in written})


def format_groups(
    groups: Sequence[MixtureGroup], tokens: Mapping[str, int] | None = None
) -> list[str]:
    """The plan as a table for people; with `tokens`, what was written of each group."""
    head = [
        "group",
        "documents",
        "bytes",
        "share",
        "planned",
        "times",
        *(["tokens", "of tokens"] if tokens else []),
    ]
    total = max(1, sum((tokens or {}).values()))
    rows = [head]
    for group in sorted(groups, key=lambda group: (-group.planned, group.key))[:SHOWN]:
        name = group.key.replace("\t", " ")
        numbers = [
            f"{group.documents:,}",
            f"{group.bytes:,}",
            f"{group.natural:.1%}",
            f"{group.planned:.1%}",
        ]
        written = (tokens or {}).get(group.key, 0)
        told = [f"{written:,}", f"{written / total:.1%}"] if tokens else []
        rows.append([name, *numbers, f"{group.times:.2f}", *told])
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    more = [f"  and {len(groups) - SHOWN} smaller groups"] if len(groups) > SHOWN else []
    return ["  " + "  ".join(_padded(row, widths)).rstrip() for row in rows] + more


def describe_left_out(groups: Sequence[MixtureGroup], size: float) -> list[str]:
    """What `times` below 1 means, and by which `size` nothing would be left out; nothing where every document is written."""
    fewest = min((group.times for group in groups if group.times > 0), default=1.0)
    lost = sum(group.documents * (1 - group.times) for group in groups if group.times < 1)
    if lost < 1:
        return []
    keeps = (
        f"; pack.mixture.size={math.ceil(100 * size / fewest) / 100} keeps all"
        if fewest < 1
        else ""
    )
    return [
        f"  times below 1: about {lost:,.0f} of {sum(g.documents for g in groups):,} documents are left out{keeps}"
    ]


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        row[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
    ]


def check_quality(config: MixtureConfig, columns: Collection[str]) -> None:
    """Raise ConfigError where the quality's signal is no numeric column of the documents."""
    if config.quality and config.quality.signal not in columns:
        where = {"pack.mixture.quality.signal": config.quality.signal}
        raise ConfigError(
            "documents have no such number", where, "`gristmill signals` lists what they have"
        )
