"""`gristmill shards inspect`: what is in the shards of a run or in one file, as numbers a person likes to read."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.shards import open_shard, token_view
from gristmill.runs.finished import FinishedRun, open_run
from reports.shards.checks import SPLITS

QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Content:
    """The sums of some shards: tokens of every document, and by source and language (documents, tokens, bytes)."""

    name: str
    shards: int
    lengths: np.ndarray
    groups: dict[tuple[str, str], tuple[int, int, int]]
    used: np.ndarray
    """int64 (highest id + 1,): how often every id stands there."""
    metadata: Mapping[str, str]
    """What the shards say of themselves: format, tokenizer; the type of ids."""

    def record(self, vocabulary: int | None = None) -> dict[str, Any]:
        """The content as JSON; how many ids are never used is known where the vocabulary is."""
        size = sum(group[2] for group in self.groups.values())
        tokens = int(self.lengths.sum())
        return {
            "split": self.name,
            "shards": self.shards,
            "documents": len(self.lengths),
            "tokens": tokens,
            "bytes": size,
            "bytes_per_token": round(size / tokens, 3) if tokens else None,
            "tokens_per_document": dict(zip(map(str, QUANTILES), self.quantiles(), strict=False)),
            "ids_used": count_used(self.used),
            "ids_never_used": vocabulary - count_used(self.used) if vocabulary else None,
            "metadata": dict(self.metadata),
            "groups": [
                {
                    "source": source,
                    "lang": lang,
                    "documents": documents,
                    "tokens": count,
                    "share": round(count / max(1, tokens), 6),
                    "bytes": held,
                }
                for (source, lang), (documents, count, held) in sorted(
                    self.groups.items(), key=lambda item: (-item[1][1], item[0])
                )
            ],
        }

    def quantiles(self) -> list[int]:
        """Tokens of a document at QUANTILES."""
        return (
            np.quantile(self.lengths, QUANTILES, method="lower").astype(int).tolist()
            if len(self.lengths)
            else []
        )


def count_used(used: np.ndarray) -> int:
    """How many ids stand anywhere."""
    return int((used > 0).sum())


def content_of(
    name: str, paths: Sequence[Path], told: Callable[[int], None] = lambda _: None
) -> Content:
    """The sums of some shards; raises InputError where one is cut. `told` hears the bytes of every shard that was counted."""
    lengths, groups, used = (
        [np.zeros(0, np.int64)],
        Counter[tuple[str, str, int]](),
        np.zeros(0, np.int64),
    )
    metadata = dict[str, str]()
    for path in paths:
        table = open_shard(path)
        for values, offsets in token_view(table):
            lengths.append(np.diff(offsets).astype(np.int64))
            used = _added(used, np.bincount(values[offsets[0] : offsets[-1]]))
        groups.update(_counted(table))
        metadata |= metadata_of(table.schema)
        told(path.stat().st_size)
    keys = {(source, lang) for source, lang, _ in groups}
    return Content(
        name,
        len(paths),
        np.concatenate(lengths),
        {key: (groups[(*key, 0)], groups[(*key, 1)], groups[(*key, 2)]) for key in keys},
        used,
        metadata,
    )


def metadata_of(schema: pa.Schema) -> dict[str, str]:
    """What a shard says of itself, with the type of its ids."""
    said = {
        key.decode(): value.decode(errors="replace")
        for key, value in (schema.metadata or {}).items()
    }
    return {**said, "input_ids": str(schema.field("input_ids").type.value_type)}


def _counted(table: pa.Table) -> Counter[tuple[str, str, int]]:
    """Documents (0), tokens (1) and bytes (2) by source and language."""
    counts = pc.list_value_length(table["input_ids"])
    rows = pa.table(
        {
            "source": table["source"],
            "lang": table["lang"],
            "tokens": counts,
            "bytes": table["bytes"],
        }
    )
    summed = rows.group_by(["source", "lang"]).aggregate(
        [([], "count_all"), ("tokens", "sum"), ("bytes", "sum")]
    )
    found = Counter[tuple[str, str, int]]()
    for row in summed.to_pylist():
        for number, name in enumerate(("count_all", "tokens_sum", "bytes_sum")):
            found[row["source"], row["lang"], number] += int(row[name])
    return found


def _added(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    longer = longer.copy()
    longer[: len(shorter)] += shorter
    return longer


def contents(
    place: Path, told: Callable[[int], None] = lambda _: None
) -> tuple[FinishedRun | None, list[Content]]:
    """What is in a pack run, by split, or in one shard."""
    if place.is_file():
        return None, [content_of(place.name, [place], told)]
    run = open_run(place, step="pack")
    paths = {
        split: [path for path in run.files(f"{split}/") if path.suffix == ".arrow"]
        for split in SPLITS
    }
    return run, [content_of(split, found, told) for split, found in paths.items() if found]


def size_of(place: Path) -> int:
    """The bytes of the shards that `contents` reads."""
    if place.is_file():
        return place.stat().st_size
    return sum(
        file.bytes
        for file in open_run(place, step="pack").data_files()
        if file.path.endswith(".arrow")
    )


def as_lines(found: Sequence[Content], vocabulary: int | None) -> list[str]:
    """The contents as lines for people: what the shards say of themselves, the vocabulary's use, then every split."""
    return [
        *_head_lines(found, vocabulary),
        *(line for content in found for line in _content_lines(content)),
    ]


def _head_lines(found: Sequence[Content], vocabulary: int | None) -> list[str]:
    said = {name: value for content in found for name, value in content.metadata.items()}
    used = np.zeros(0, np.int64)
    for content in found:
        used = _added(used, content.used)
    count = count_used(used)
    of = f" of {vocabulary:,} | {vocabulary - count:,} never" if vocabulary else ""
    rows = [*sorted(said.items()), ("ids used", f"{count:,}{of}")]
    width = max(len(name) for name, _ in rows)
    return [f"{name.ljust(width)}  {value}" for name, value in rows]


def _content_lines(content: Content) -> list[str]:
    record = content.record()
    quantiles = (
        f"{_quantile(q)} {n:,}" for q, n in zip(QUANTILES, content.quantiles(), strict=False)
    )
    return [
        "",
        f"{content.name}  {record['documents']:,} documents, {record['tokens']:,} tokens in {content.shards} shards"
        f" | {record['bytes_per_token'] or 0:.2f} bytes a token | {record['ids_used']:,} ids used",
        "  tokens a document  " + "  ".join(quantiles),
        *_group_lines(record["groups"]),
    ]


SHOWN = 15
"""Sources and languages of a split that are shown; `--json` has all."""


def _group_lines(groups: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        [
            row["source"],
            row["lang"],
            f"{row['documents']:,}",
            f"{row['tokens']:,}",
            f"{row['share']:.1%}",
        ]
        for row in groups[:SHOWN]
    ]
    head = ["source", "lang", "documents", "tokens", "share"]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    more = [f"  and {len(groups) - SHOWN} more"] if len(groups) > SHOWN else []
    return ["  " + _row(row, widths) for row in [head, *rows]] + more


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    words = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
    return "  ".join(
        [*words, *(cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True))]
    ).rstrip()


def _quantile(share: float) -> str:
    return {0.0: "least", 0.5: "median", 1.0: "most"}.get(share, f"{share:.0%}")
