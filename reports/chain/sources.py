"""The sections on the origin of the text: sources, licences and opt-outs; languages and sources of what was kept.

In: the `ReportData` of a chain. Out: sections 1 and 3, laid out by `templates/chain/crawl.html.jinja` and
`templates/chain/languages.html.jinja`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_language,
    format_list,
    format_share,
    shorten,
)
from gristmill.runs.ledger import FATES, Entry
from reports.chain.report_data import CorpusSummary, LicenceCount, ReportData, RunSummary
from reports.drawing.inline import format_code, join_markup
from reports.drawing.stacks import StackedBar, draw_stacked_bars
from reports.drawing.tables import Cell, LongTable, Table, split_table
from reports.drawing.templates import render

PARTS = 6
"""Parts of a stacked bar, the last of which holds all others."""

MAX_FILES, MAX_FAILURES, MAX_FAILURE_LENGTH, MAX_EVIDENCE = 500, 50, 300, 8

KEPT_WORDS = {"pack": "in the shards, after cuts and masks", "decide": "kept by decide"}


@dataclass(frozen=True, slots=True)
class CrawlView:
    """One crawl: its sources, and why items were dropped or failed."""

    sources: Table
    policy: str
    reasons: Markup
    failures_summary: str
    failures: list[str]


@dataclass(frozen=True, slots=True)
class InputFilesView:
    """The input files of one annotate run; `files` is None where its manifest does not name them."""

    files: Table | None
    summary: str
    more: str
    ignored: str


@dataclass(frozen=True, slots=True)
class LicencesView:
    """Licences of the documents."""

    chart: Markup
    licences: LongTable


@dataclass(frozen=True, slots=True)
class RefusalsView:
    """Opt-outs (None without any), and personal data in a sentence."""

    opt_outs: Table | None
    personal_data: str


@dataclass(frozen=True, slots=True)
class SharesView:
    """Shares of documents and bytes by language or source."""

    title: str
    chart: Markup
    rows: LongTable


@dataclass(frozen=True, slots=True)
class LanguagesContext:
    """What the template of section 3 lays out."""

    note: str
    shares: list[SharesView]


def draw_crawl_section(report: ReportData) -> Markup:
    """Section 1: sources, their outcomes, licences, evidence, opt-outs."""
    files = sorted({name for run in report.runs if run.main for name in run.files_read})
    return render(
        "chain/crawl.html.jinja",
        crawls=[make_crawl_view(run) for run in report.of("crawl")],
        files=join_markup(", ", [format_code(name) for name in files]),
        inputs=[make_input_view(run) for run in report.of("annotate")],
        licences=make_licences_view(report.corpus) if report.corpus else None,
        refusals=make_refusals_view(report, report.corpus) if report.corpus else None,
    )


def make_crawl_view(run: RunSummary) -> CrawlView:
    """Count the outcomes of every source of a crawl."""
    outcomes = Counter[tuple[str, str]]()
    for entry in run.entries:
        outcomes[entry.source, entry.fate] += entry.documents
    fetched: Mapping[str, int] = run.details.get("fetched", {})
    names = sorted({*fetched, *(entry.source for entry in run.entries)})
    rows = []
    for name in names:
        counts = [format_count(outcomes[name, fate]) for fate in FATES]
        rows.append([name, format_count(fetched.get(name, 0)), *counts])
    totals = [sum(outcomes[name, fate] for name in names) for fate in FATES]
    total_cells = [format_count(total) for total in totals]
    rows.append(["All", format_count(sum(fetched.values())), *total_cells])
    failures = run.details.get("failures", ())
    head = ("source", "#answers stored", "#items kept", "#dropped", "#failed")
    return CrawlView(
        sources=Table(f"Sources of {run.id}", head, rows),
        policy=str(run.details.get("policy", "of its settings")),
        reasons=_count_reasons(run.entries),
        failures_summary=f"Failures: {format_counted(len(failures), 'line')}",
        failures=[shorten(str(line), MAX_FAILURE_LENGTH) for line in failures[:MAX_FAILURES]],
    )


def _count_reasons(entries: Sequence[Entry]) -> Markup:
    """Why items were dropped or failed, the most frequent reason first."""
    counts = Counter[str]()
    for entry in entries:
        if entry.reason:
            counts[entry.reason] += entry.documents
    if not counts:
        return Markup("none")
    reasons = [
        join_markup(" ", [format_code(name), format_count(number)])
        for name, number in counts.most_common()
    ]
    return join_markup(", ", reasons)


def make_input_view(run: RunSummary) -> InputFilesView:
    """The input files one by one, where the manifest names them."""
    files: Sequence[Mapping[str, Any]] = run.details.get("input_files") or ()
    rows = [
        (str(file["name"]), format_bytes(file["bytes"]), format_count(file["records"]))
        for file in files[:MAX_FILES]
    ]
    size = format_bytes(sum(file["bytes"] for file in files))
    more = len(files) - len(rows)
    ignored = [str(name) for name in run.details.get("passed_over") or ()]
    table = Table(f"Input files of {run.id}", ("file", "#size", "#records"), rows)
    return InputFilesView(
        files=table if rows else None,
        summary=f"{format_counted(len(files), 'input file')}, {size}",
        more=f"{format_counted(more, 'more file')}: in the manifest." if more else "",
        ignored=format_list(ignored, most=10),
    )


def make_licences_view(corpus: CorpusSummary) -> LicencesView:
    """Licences with their evidence, and the kept documents by licence."""
    kept = Counter[str]()
    for count in corpus.licences:
        kept[count.licence] += count.kept
    documents = "Kept documents" if corpus.decided else "Documents"
    title = f"{documents} by licence as stated by the input"
    head = (
        "source",
        "licence (as stated)",
        "#documents",
        "#kept",
        "~evidence (documents that show it)",
    )
    rows = [_write_licence_row(count) for count in corpus.licences]
    return LicencesView(
        chart=draw_share_bar(title, {"documents": kept}, str),
        licences=split_table(Table("Documents by source and licence", head, rows)),
    )


def _write_licence_row(count: LicenceCount) -> list[Cell]:
    order = sorted(count.evidence, key=lambda signal: (-count.evidence[signal], signal))
    evidence = [
        f"{signal} {format_count(count.evidence[signal])}" for signal in order[:MAX_EVIDENCE]
    ]
    documents, kept = format_count(count.documents), format_count(count.kept)
    return [count.source, count.licence, documents, kept, ", ".join(evidence) or "none found"]


def make_refusals_view(report: ReportData, corpus: CorpusSummary) -> RefusalsView:
    """Opt-outs by source and signal; personal data found in kept documents by type."""
    rows = [
        (source, signal, format_count(number))
        for (source, signal), number in corpus.opt_outs.items()
    ]
    title = "Documents whose source states an opt-out"
    table = Table(title, ("source", "opt-out", "#documents"), rows)
    return RefusalsView(table if rows else None, _describe_personal_data(report, corpus))


def _describe_personal_data(report: ReportData, corpus: CorpusSummary) -> str:
    spans = sum(corpus.personal.values())
    sentence = f"Personal data found by pattern in kept documents: {format_counted(spans, 'span')}"
    if not spans:
        return f"{sentence}."
    types = ", ".join(
        f"{name} {format_count(number)}" for name, number in sorted(corpus.personal.items())
    )
    pack = report.last("pack")
    outcome = "they are marked, and masked where text is shown here"
    if pack and pack.config.get("mask_personal"):
        outcome = "pack masked them"
    return f"{sentence} ({types}); {outcome}."


def draw_languages_section(report: ReportData) -> Markup:
    """Section 3: languages and sources of what was kept."""
    return render("chain/languages.html.jinja", languages=summarize_languages(report))


def summarize_languages(report: ReportData) -> LanguagesContext | None:
    """Shares of what the furthest step kept; None where the chain has no corpus."""
    run = report.last("pack") or report.last("decide") or report.last("annotate")
    if run is None:
        return None
    kept = [entry for entry in run.entries if entry.fate == "kept"]
    documents = format_counted(sum(entry.documents for entry in kept), "document")
    scope = KEPT_WORDS.get(run.step, "read")
    languages = make_shares_view(
        "Languages", "language", kept, lambda entry: entry.lang, format_language
    )
    sources = make_shares_view("Sources", "source", kept, lambda entry: entry.source, str)
    return LanguagesContext(
        note=f"{documents} {scope}; bytes count UTF-8 text.", shares=[languages, sources]
    )


def make_shares_view(
    title: str,
    name: str,
    kept: Sequence[Entry],
    part_of: Callable[[Entry], str],
    label: Callable[[str], str],
) -> SharesView:
    """Documents and bytes of each language or source, the one with most documents first."""
    documents, sizes = Counter[str](), Counter[str]()
    for entry in kept:
        documents[part_of(entry)] += entry.documents
        sizes[part_of(entry)] += entry.bytes
    order = sorted(documents, key=lambda part: (-documents[part], part))
    all_documents, all_bytes = documents.total(), sizes.total()
    rows = [
        (
            label(part),
            format_count(documents[part]),
            format_share(documents[part], all_documents),
            format_bytes(sizes[part]),
            format_share(sizes[part], all_bytes),
        )
        for part in order
    ]
    head = (name, "#documents", "#share", "#text", "#share")
    counters = {"documents": documents, "bytes": sizes}
    return SharesView(
        title=title,
        chart=draw_share_bar(f"Share of each {name}", counters, label),
        rows=split_table(Table(f"By {name}", head, rows)),
    )


def draw_share_bar(
    title: str, counters: Mapping[str, Counter[str]], label: Callable[[str], str]
) -> Markup:
    """Stacked bars over the same parts: the largest of the first counter, and all others together."""
    first = next(iter(counters.values()))
    order = sorted(first, key=lambda key: (-first[key], key))
    names = order if len(order) <= PARTS else order[: PARTS - 1]
    together = order[len(names) :]
    bars = []
    for unit, counter in counters.items():
        values = [counter[name] for name in names]
        if together:
            values.append(sum(counter[name] for name in together))
        bars.append(StackedBar(unit, values, _format_total(unit, counter)))
    parts = [label(name) for name in names]
    if together:
        parts.append(f"{len(together)} others")
    return draw_stacked_bars(title, parts, bars)


def _format_total(unit: str, counter: Counter[str]) -> str:
    total = counter.total()
    return format_bytes(total) if unit == "bytes" else f"n = {format_count(total)}"
