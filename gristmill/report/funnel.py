"""The funnel: what became of every record, for which reasons, with samples of what was dropped and what could not be read."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from gristmill.ledger import FATES, Entry
from gristmill.report.blocks import chart, code, folded, missing, note, paragraph, part, sample, section, table
from gristmill.report.charts import Bar, bar_chart
from gristmill.report.facts import Facts, Reason, RunFacts
from gristmill.report.markup import Html, content, tag
from gristmill.report.origins import long_table
from gristmill.report.stacks import Stack, stacked_bars
from gristmill.report.words import count, counted, language, share, shortened, size

STEPS = ("crawl", "annotate", "decide", "pack")
FOLLOWED = "decided"
"""What pack calls the documents that decide dropped before: not a new loss."""
REASONS_SHOWN, ROWS_SHOWN = 5, 12


def funnel(facts: Facts) -> Html:
    """Section 2."""
    runs = [run for step in STEPS for run in facts.of(step) if run.entries]
    if not runs:
        return section(
            "funnel", "The funnel", missing("a step with a ledger.", "Make one with ", code("gristmill prepare"), ".")
        )
    return section(
        "funnel", "The funnel: what became of every record",
        chart(bar_chart("Kept by each step, and its share of what the step read", [_bar(run) for run in runs])),
        table("Records by step and fate", ("step", "what is counted", "#read", "#kept", "#dropped", "#quarantined"), map(_row, runs)),
        note("In every row read = kept + dropped + quarantined. Crawl counts items as it meets them, annotate the records "
             "of its input (robots.txt and listings among them): these two need not agree. Documents that decide dropped are read once "
             f"more by pack, and stand there as “{FOLLOWED}”."),
        *_dropped(facts, runs),
        part("Samples of what was dropped", *_samples(facts)),
        part("What could not be read", *_quarantine(facts, runs)),
    )  # fmt: skip


COUNTED = {
    "crawl": "items of pages and interfaces",
    "annotate": "records of the input",
    "decide": "documents",
    "pack": "documents",
}


def _bar(run: RunFacts) -> Bar:
    return Bar(run.step, run.counts["kept"], f"({share(run.counts['kept'], run.counts['read'])})")


def _row(run: RunFacts) -> list[str]:
    fates = [count(run.counts.get(fate, 0)) for fate in FATES]
    return [run.step, COUNTED[run.step], count(run.counts["read"]), *fates]


def _dropped(facts: Facts, runs: Sequence[RunFacts]) -> Iterator[Html]:
    """Reasons of every step, then decide's by source and language."""
    reasons = Counter[tuple[str, str]]()
    bytes_ = Counter[tuple[str, str]]()
    for run in runs:
        for entry in run.entries:
            if entry.fate == "dropped" and (run.step, entry.reason) != ("pack", FOLLOWED):
                reasons[run.step, entry.reason] += entry.documents
                bytes_[run.step, entry.reason] += entry.bytes
    if not reasons:
        yield paragraph("Nothing was dropped.")
        return
    order = sorted(reasons, key=lambda key: (-reasons[key], key))
    read = {run.step: run.counts["read"] for run in runs}
    bars = [
        Bar(f"{step}: {name}", reasons[step, name], f"({share(reasons[step, name], read[step])})")
        for step, name in order
    ]
    head, tail = bars[:ROWS_SHOWN], bars[ROWS_SHOWN:]
    yield chart(bar_chart("Why records were dropped, share of what the step read", head))
    if tail:
        yield note(
            f"{counted(len(tail), 'more reason')}, {counted(int(sum(bar.value for bar in tail)), 'record')}: in the table."
        )
    holds = {reason.name: reason.any for reason in facts.corpus.reasons} if facts.corpus else {}
    yield from long_table(
        "Every reason to drop",
        ("reason", "step", "#documents", "#share of read", "#text", "#holds for"),
        [
            (code(name), step, count(reasons[step, name]), share(reasons[step, name], read[step]), size(bytes_[step, name]),
             count(holds[name]) if step == "decide" and name in holds else "–")
            for step, name in order
        ],
    )  # fmt: skip
    yield note("A document is counted under the first reason that holds, in the order of the rules' legend, so the column adds up. "
               "“Holds for” counts all documents a reason holds for: what a rule would drop on its own.")  # fmt: skip
    decide = next((run for run in reversed(runs) if run.step == "decide"), None)
    if decide:
        yield from by_part(decide, "source", lambda entry: entry.source, str)
        yield from by_part(decide, "language", lambda entry: entry.lang, language)


def by_part(run: RunFacts, name: str, key: Callable[[Entry], str], shown: Callable[[str], str]) -> Iterator[Html]:
    """One step's fates and reasons for each source or language: bars of shares, and the whole matrix."""
    totals, cells, reasons = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    for entry in run.entries:
        label = entry.reason or entry.fate
        totals[key(entry)] += entry.documents
        cells[key(entry), label] += entry.documents
        if entry.reason:
            reasons[entry.reason] += entry.documents
    top = [reason for reason, _ in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]
    names = sorted(totals, key=lambda found: (-totals[found], found))
    first = top[: REASONS_SHOWN - 1] if len(top) > REASONS_SHOWN else top
    rest = top[len(first) :]
    stacks = [
        Stack(
            shown(n),
            [cells[n, "kept"], *(cells[n, r] for r in first), *([sum(cells[n, r] for r in rest)] if rest else [])],
            f"n = {count(totals[n])}",
        )
        for n in names[:ROWS_SHOWN]
    ]
    parts = ["kept", *first, *([f"{len(rest)} other reasons"] if rest else [])]
    yield chart(stacked_bars(f"Kept and dropped by {name} ({run.step})", parts, stacks))
    rows = [
        (
            shown(n),
            count(totals[n]),
            count(cells[n, "kept"]),
            share(cells[n, "kept"], totals[n]),
            *(_cell(cells[n, r]) for r in top),
        )
        for n in names
    ]
    head = (name, "#read", "#kept", "#share kept", *(f"#{reason}" for reason in top))
    yield folded(f"Every reason by {name}", table(f"Documents of {run.id} by {name} and first reason", head, rows))


def _cell(number: int) -> str:
    return count(number) if number else "·"


def _samples(facts: Facts) -> Iterator[Html]:
    if facts.corpus is None or not facts.corpus.decided:
        yield missing("a decide run beside its documents.", "Keep the annotate and decide runs in one folder.")
        return
    shown = [reason for reason in facts.corpus.reasons if reason.samples]
    yield note("Of every reason the documents with the smallest ids: chosen by rule, not by taste. Personal data found by pattern is "
               "masked; names, handles and addresses of pages in the text are not. Texts that were taken down, or whose rights do not allow it, "
               "are not shown. What annotate drops is not kept as text.")  # fmt: skip
    yield from map(_reason, shown)


def _reason(reason: Reason) -> Html:
    title = content(code(reason.name), f" – {counted(reason.first, 'document')}, holds for {count(reason.any)}")
    return tag("details", tag("summary", title), *map(sample, reason.samples))


def _quarantine(facts: Facts, runs: Sequence[RunFacts]) -> Iterator[Html]:
    total = sum(run.counts.get("quarantined", 0) for run in runs if run.step != "crawl")
    if not total:
        yield paragraph("Every record of the input could be read.")
        return
    rows = [(q.step, q.file, count(q.offset), code(q.reason), shortened(q.error, 200)) for q in facts.quarantined]
    yield from long_table("Quarantined records", ("step", "file", "#offset", "reason", "error"), rows)
    rest = f" {counted(total - len(rows), 'more record')}: in the run's folder quarantine." if total > len(rows) else ""
    yield note(f"n = {counted(total, 'record')}; the offset counts bytes, or rows of a table.{rest}")
