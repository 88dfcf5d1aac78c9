"""The section on tokens: splits, tokens by language and source, lengths of documents, the tokenizer.

In: the `ReportData` of a chain. Out: section 5, laid out by `templates/chain/tokens.html.jinja`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_language,
    format_share,
)
from reports.chain.report_data import ReportData, RunSummary, TokenCounts, TokenSlice
from reports.chain.tokens import SPLITS
from reports.drawing.charts import ChartBar, draw_bar_chart
from reports.drawing.inline import format_code
from reports.drawing.tables import Cell, LongTable, Table, split_table
from reports.drawing.templates import render


@dataclass(frozen=True, slots=True)
class TokensContext:
    """What the template lays out."""

    splits: Table
    languages: LongTable
    sources: LongTable
    lengths: Markup
    documents: str
    tokenizer: Table


@dataclass(frozen=True, slots=True)
class SliceTotal:
    """Sums over some slices."""

    documents: int
    tokens: int
    bytes: int


def draw_tokens_section(report: ReportData) -> Markup:
    """Section 5."""
    tokens = None
    if report.tokens is not None:
        tokens = summarize_tokens(report.tokens, report.last("tokenizer"))
    return render("chain/tokens.html.jinja", tokens=tokens)


def summarize_tokens(counts: TokenCounts, tokenizer: RunSummary | None) -> TokensContext:
    """The tables and the chart of the section."""
    by_language = make_fertility_table(counts, "language", lambda part: part.lang, format_language)
    by_source = make_fertility_table(counts, "source", lambda part: part.source, str)
    return TokensContext(
        splits=make_split_table(counts),
        languages=by_language,
        sources=by_source,
        lengths=draw_lengths(counts),
        documents=format_counted(sum(counts.lengths), "document"),
        tokenizer=make_tokenizer_table(counts, tokenizer),
    )


def sum_slices(slices: Sequence[TokenSlice]) -> SliceTotal:
    """Documents, tokens and bytes of some slices together."""
    return SliceTotal(
        documents=sum(part.documents for part in slices),
        tokens=sum(part.tokens for part in slices),
        bytes=sum(part.bytes for part in slices),
    )


def make_split_table(counts: TokenCounts) -> Table:
    """Documents and tokens of every split."""
    total = sum_slices(counts.slices)
    rows = []
    for split in SPLITS:
        own = sum_slices([part for part in counts.slices if part.split == split])
        share = format_share(own.tokens, total.tokens)
        documents, tokens = format_count(own.documents), format_count(own.tokens)
        rows.append((split, documents, tokens, share, format_bytes(own.bytes)))
    return Table("Splits", ("split", "#documents", "#tokens", "#share of tokens", "#text"), rows)


def make_fertility_table(
    counts: TokenCounts,
    name: str,
    part_of: Callable[[TokenSlice], str],
    label: Callable[[str], str],
) -> LongTable:
    """Documents, tokens and tokens per byte for each language or source."""
    slices: dict[str, list[TokenSlice]] = {}
    for part in counts.slices:
        slices.setdefault(part_of(part), []).append(part)
    totals = {key: sum_slices(parts) for key, parts in slices.items()}
    all_tokens = sum(total.tokens for total in totals.values())
    order = sorted(totals, key=lambda key: (-totals[key].tokens, key))
    rows = [
        (
            label(key),
            format_count(totals[key].documents),
            format_count(totals[key].tokens),
            format_share(totals[key].tokens, all_tokens),
            format_bytes(totals[key].bytes),
            _format_ratio(totals[key].tokens, totals[key].bytes),
            _format_ratio(totals[key].bytes, totals[key].tokens),
        )
        for key in order
    ]
    head = (
        name,
        "#documents",
        "#tokens",
        "#share",
        "#text",
        "#tokens per byte",
        "#bytes per token",
    )
    return split_table(Table(f"Tokens by {name}", head, rows))


def _format_ratio(part: int, total: int) -> str:
    return f"{part / total:.3f}" if total else "–"


def draw_lengths(counts: TokenCounts) -> Markup:
    """Documents by powers of two of their tokens, from the shortest document on."""
    occupied = [power for power, documents in enumerate(counts.lengths) if documents]
    first = occupied[0] if occupied else 0
    bars = [
        ChartBar(_name_lengths(power), counts.lengths[power])
        for power in range(first, len(counts.lengths))
    ]
    return draw_bar_chart("Documents by number of tokens", bars)


def _name_lengths(power: int) -> str:
    return f"{format_count(1 << power)} to {format_count((1 << power + 1) - 1)} tokens"


def make_tokenizer_table(counts: TokenCounts, run: RunSummary | None) -> Table:
    """Properties of the tokenizer; where it was trained only if its run is in the chain."""
    rows: list[tuple[Cell, Cell]] = [
        ("pieces", format_count(counts.vocabulary)),
        ("kind", "sentencepiece BPE with byte fallback: no text is unknown"),
        ("sha256 of the model", format_code(counts.tokenizer)),
    ]
    if run:
        if "sample_bytes" in run.details:
            documents = format_counted(int(run.details["sample_documents"]), "document")
            size = format_bytes(int(run.details["sample_bytes"]))
            rows.append(("trained on", f"{documents}, {size}"))
        if "character_coverage" in run.config:
            rows.append(("character coverage", str(run.config["character_coverage"])))
        rows.append(("run", format_code(run.id)))
    return Table("The tokenizer", ("property", "value"), rows)
