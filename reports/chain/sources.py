"""Where the text came from: what was crawled, under which licences and opt-outs, and its languages and sources."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

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
from reports.chain.report_data import LicenceCount, ReportData, RunSummary
from reports.drawing.blocks import (
    chart,
    code,
    folded,
    missing,
    note,
    paragraph,
    part,
    quoted,
    section,
    table,
)
from reports.drawing.glossary import term
from reports.drawing.markup import Content, Html, content
from reports.drawing.stacks import StackedBar, draw_stacked_bars

MOST_ROWS = 20
PARTS = 6
"""Parts of a stacked bar, the last of which holds all others."""


def draw_crawl_section(facts: ReportData) -> Html:
    """Section 1: sources, their fate, licences, evidence, opt-outs."""
    crawls = facts.of("crawl")
    return section(
        "crawl",
        "What was read, and under which licences",
        *(map(_crawl, crawls) if crawls else [_files(facts)]),
        part("Licences", *licence_parts(facts)),
        part("Opt-outs and personal data", *refusal_parts(facts)),
    )


def _files(facts: ReportData) -> Html:
    names = sorted({name for run in facts.runs if run.main for name in run.files_read})
    told = (
        [paragraph("The corpus was read from files: ", *_joined(map(code, names)), ".")]
        if names
        else []
    )
    lists = [_listed(run) for run in facts.of("annotate")]
    return content(
        *told,
        *lists,
        missing(
            "a crawl.", "To see fetches and failures, start from ", code("gristmill crawl"), "."
        ),
    )


MOST_FILES = 500


def _listed(run: RunSummary) -> Html:
    """The input files one by one, where the manifest names them."""
    files: Sequence[Mapping[str, Any]] = run.details.get("input_files") or ()
    rows = [
        (str(one["name"]), format_bytes(one["bytes"]), format_count(one["records"]))
        for one in files[:MOST_FILES]
    ]
    if not rows:
        return _passed_over(run)
    rest = len(files) - len(rows)
    return content(
        folded(
            f"{format_counted(len(files), 'input file')}, {format_bytes(sum(one['bytes'] for one in files))}",
            table(f"Input files of {run.id}", ("file", "#size", "#records"), rows),
            note(f"{format_counted(rest, 'more file')}: in the manifest.") if rest else None,
        ),
        _passed_over(run),
    )


def _passed_over(run: RunSummary) -> Html:
    names = [str(name) for name in run.details.get("passed_over") or ()]
    return note(f"Passed over as no input: {format_list(names, most=10)}.") if names else Html()


def _joined(items: Iterable[Html]) -> list[Content]:
    return [content(", " if place else "", item) for place, item in enumerate(items)]


def _crawl(run: RunSummary) -> Html:
    fates = Counter[tuple[str, str]]()
    for entry in run.entries:
        fates[entry.source, entry.fate] += entry.documents
    fetched: Mapping[str, int] = run.details.get("fetched", {})
    names = sorted({*fetched, *(entry.source for entry in run.entries)})
    rows = [
        (
            name,
            format_count(fetched.get(name, 0)),
            *(format_count(fates[name, fate]) for fate in FATES),
        )
        for name in names
    ]
    total = (
        "All",
        format_count(sum(fetched.values())),
        *(format_count(sum(fates[n, f] for n in names)) for f in FATES),
    )
    failures = [shorten(str(line), 300) for line in run.details.get("failures", ())]
    return content(
        table(
            f"Sources of {run.id}",
            ("source", "#answers stored", "#items kept", "#dropped", "#failed"),
            [*rows, total],
        ),
        note(
            "An answer of a server is stored as it came (a ",
            term("capture"),
            "), robots.txt, feeds and listings included. An ",
            term("item"),
            " is one page, or one article or post: one answer of an interface (API) holds many. "
            f"Rights were judged by the policy {run.details.get('policy', 'of its settings')}. "
            "Dropped and failed by reason: ",
            _reasons(run.entries),
            ".",
        ),
        folded(f"Failures: {format_counted(len(failures), 'line')}", *map(quoted, failures[:50]))
        if failures
        else None,
    )


def _reasons(entries: Sequence[Entry]) -> Html:
    found = Counter[str]()
    for entry in entries:
        if entry.reason:
            found[entry.reason] += entry.documents
    return (
        content(
            _joined(content(code(name), " ", format_count(n)) for name, n in found.most_common())
        )
        if found
        else content("none")
    )


def licence_parts(facts: ReportData) -> Iterator[Html]:
    """The table of licences with their evidence, and the kept documents by licence."""
    if facts.corpus is None:
        yield missing(
            "the documents.",
            "Keep the annotate run beside the others to see licences and evidence.",
        )
        return
    by_licence = Counter[str]()
    for row in facts.corpus.licences:
        by_licence[row.licence] += row.kept
    what = "Kept documents" if facts.corpus.decided else "Documents"
    yield chart(
        draw_share_bar(f"{what} by licence as stated by the input", {"documents": by_licence}, str)
    )
    rows = [_licence_row(row) for row in facts.corpus.licences]
    head = (
        "source",
        "licence (as stated)",
        "#documents",
        "#kept",
        "~evidence (documents that show it)",
    )
    yield from long_table("Documents by source and licence", head, rows)
    yield note(
        "A licence is a claim of the source: nobody has checked it. ",
        term("evidence", "Evidence"),
        " is what it was read from: page markup, headers or the record's own field. It stays with every document.",
    )


def _licence_row(row: LicenceCount) -> list[Content]:
    order = sorted(row.evidence.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} {format_count(n)}" for name, n in order[:8]) or "none found"
    return [row.source, row.licence, format_count(row.documents), format_count(row.kept), shown]


def refusal_parts(facts: ReportData) -> Iterator[Html]:
    """Opt-outs by source and signal; personal data found in kept documents by type."""
    if facts.corpus is None:
        return
    rows = [(source, name, format_count(n)) for (source, name), n in facts.corpus.opt_outs.items()]
    if rows:
        yield table(
            "Documents whose source states an opt-out", ("source", "opt-out", "#documents"), rows
        )
    else:
        yield paragraph("No document states an opt-out.")
    spans = sum(facts.corpus.personal.values())
    kinds = ", ".join(
        f"{name} {format_count(n)}" for name, n in sorted(facts.corpus.personal.items())
    )
    pack = facts.last("pack")
    fate = (
        "pack masked them"
        if pack and pack.config.get("mask_personal")
        else "they are marked, and masked where text is shown here"
    )
    yield paragraph(
        f"Personal data found by pattern in kept documents: {format_counted(spans, 'span')}"
        + (f" ({kinds}); {fate}." if spans else ".")
    )


def draw_languages_section(facts: ReportData) -> Html:
    """Section 3: languages and sources of what was kept."""
    run = next((run for step in ("pack", "decide", "annotate") if (run := facts.last(step))), None)
    if run is None:
        return section(
            "languages",
            "Languages and sources",
            missing("a corpus.", "Make one with ", code("gristmill prepare"), "."),
        )
    kept = [entry for entry in run.entries if entry.fate == "kept"]
    shown = {"pack": "in the shards, after cuts and masks", "decide": "kept by decide"}.get(
        run.step, "read"
    )
    return section(
        "languages",
        "Languages and sources",
        note(
            f"{format_counted(sum(e.documents for e in kept), 'document')} {shown}; bytes count UTF-8 text."
        ),
        part("Languages", *_shares(kept, "language", lambda e: e.lang, format_language)),
        part("Sources", *_shares(kept, "source", lambda e: e.source, str)),
        note("Languages are named by an identifier that errs on short and mixed text."),
    )


def _shares(
    kept: Sequence[Entry], name: str, key: Callable[[Entry], str], shown: Callable[[str], str]
) -> Iterator[Html]:
    documents, sizes = Counter[str](), Counter[str]()
    for entry in kept:
        documents[key(entry)] += entry.documents
        sizes[key(entry)] += entry.bytes
    order = sorted(documents, key=lambda found: (-documents[found], found))
    all_documents, all_bytes = sum(documents.values()), sum(sizes.values())
    yield chart(
        draw_share_bar(f"Share of each {name}", {"documents": documents, "bytes": sizes}, shown)
    )
    rows = [
        (
            shown(k),
            format_count(documents[k]),
            format_share(documents[k], all_documents),
            format_bytes(sizes[k]),
            format_share(sizes[k], all_bytes),
        )
        for k in order
    ]
    yield from long_table(f"By {name}", (name, "#documents", "#share", "#text", "#share"), rows)


def draw_share_bar(
    title: str, bars: Mapping[str, Counter[str]], shown: Callable[[str], str]
) -> str:
    """Stacked bars over the same parts: the largest of the first bar, and the rest together."""
    first = next(iter(bars.values()))
    order = sorted(first, key=lambda key: (-first[key], key))
    names = order if len(order) <= PARTS else order[: PARTS - 1]
    rest = set(order) - set(names)
    rows = [
        StackedBar(
            label,
            [found[k] for k in names] + ([sum(found[k] for k in rest)] if rest else []),
            _total(label, found),
        )
        for label, found in bars.items()
    ]
    return draw_stacked_bars(
        title, [*map(shown, names), *([f"{len(rest)} others"] if rest else [])], rows
    )


def _total(label: str, found: Counter[str]) -> str:
    total = sum(found.values())
    return format_bytes(total) if label == "bytes" else f"n = {format_count(total)}"


def long_table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Content]]
) -> Iterator[Html]:
    """A table whose rows beyond the first are folded away."""
    yield table(caption, head, rows[:MOST_ROWS])
    if rest := rows[MOST_ROWS:]:
        yield folded(
            format_counted(len(rest), "more row"), table(f"{caption}, continued", head, rest)
        )
