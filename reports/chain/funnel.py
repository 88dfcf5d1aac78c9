"""The funnel: what became of every record, for which reasons, with samples of what was dropped and what could not be read."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_language,
    format_share,
    shorten,
)
from gristmill.runs.ledger import FATES, Entry
from reports.chain.reasons import DropCondition, explain_reason, explain_units, list_conditions
from reports.chain.report_data import ReasonCount, ReportData, RunSummary
from reports.chain.sources import long_table
from reports.drawing.blocks import (
    bullets,
    chart,
    code,
    folded,
    missing,
    note,
    paragraph,
    part,
    sample,
    section,
    table,
)
from reports.drawing.charts import ChartBar, draw_bar_chart
from reports.drawing.glossary import term
from reports.drawing.markup import Content, Html, content, tag
from reports.drawing.stacks import StackedBar, draw_stacked_bars

STEPS = ("crawl", "annotate", "decide", "pack")
FOLLOWED = "decided"
"""What pack calls the documents that decide dropped before: not a new loss."""
REASONS_SHOWN, ROWS_SHOWN = 5, 12


def draw_funnel_section(facts: ReportData) -> Html:
    """Section 2."""
    runs = [run for step in STEPS for run in facts.of(step) if run.entries]
    if not runs:
        return section(
            "funnel",
            "The funnel",
            missing("a step with a ledger.", "Make one with ", code("gristmill prepare"), "."),
        )
    return section(
        "funnel",
        "The funnel: what became of every record",
        chart(
            draw_bar_chart(
                "Kept by each step, and its share of what it read", [_bar(run) for run in runs]
            )
        ),
        table(
            "What each step read, and what became of it",
            ("step", "~what it counts", "#read", "#kept", "#dropped", "#failed"),
            map(_row, runs),
        ),
        note(
            "In every row read = kept + dropped + failed. Dropped: a rule, a refusal or a licence stood against it. Failed: it could not be "
            "fetched or read; what annotate could not read is in ",
            term("quarantine"),
            ".",
        ),
        part("Why the numbers of two steps differ", bullets(explain_units(facts))),
        *_dropped(runs),
        *_around(runs),
        *_rules(facts),
        *_parts(facts),
        part("Samples of what was dropped", *_samples(facts)),
        part("What could not be read", *_quarantine(facts, runs)),
    )


COUNTED = {
    "crawl": "items: pages, and articles or posts in answers of interfaces",
    "annotate": "records: items of stored answers or of files, and listings",
    "decide": "documents",
    "pack": "documents",
}
UNITS = {"crawl": "item", "annotate": "record"}


def _unit(step: str, number: int) -> str:
    return UNITS.get(step, "document") + ("" if number == 1 else "s")


def _bar(run: RunSummary) -> ChartBar:
    kept, read = run.counts["kept"], run.counts["read"]
    return ChartBar(
        run.step,
        kept,
        f"of {format_count(read)} {_unit(run.step, read)} ({format_share(kept, read)})",
    )


def _row(run: RunSummary) -> list[str]:
    fates = [format_count(run.counts.get(fate, 0)) for fate in FATES]
    return [run.step, COUNTED[run.step], format_count(run.counts["read"]), *fates]


@dataclass(frozen=True, slots=True)
class Loss:
    """What one reason of one step cost, beside all that the step read."""

    step: str
    fate: str
    reason: str
    number: int
    bytes: int
    read: int

    @property
    def part(self) -> str:
        """Its share of what the step read."""
        return format_share(self.number, self.read)


def count_losses(runs: Sequence[RunSummary]) -> list[Loss]:
    """Every reason of every step, the most first; what pack only repeats of decide is left out."""
    numbers, sizes = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    for run in runs:
        for entry in run.entries:
            if entry.reason and (run.step, entry.reason) != ("pack", FOLLOWED):
                numbers[run.step, entry.fate, entry.reason] += entry.documents
                sizes[run.step, entry.fate, entry.reason] += entry.bytes
    read = {
        run.step: sum(one.counts["read"] for one in runs if one.step == run.step) for run in runs
    }
    order = sorted(numbers, key=lambda key: (-numbers[key], key))
    return [Loss(*key, numbers[key], sizes[key], read[key[0]]) for key in order]


def _dropped(runs: Sequence[RunSummary]) -> Iterator[Html]:
    """The reasons that weigh most as bars, those of the steps around decide in a table with their meaning."""
    found = count_losses(runs)
    bars = [
        ChartBar(
            f"{one.step}: {one.reason}", one.number, f"{_unit(one.step, one.number)} ({one.part})"
        )
        for one in found
        if one.fate == "dropped"
    ]
    if not bars:
        yield paragraph("Nothing was dropped.")
        return
    yield chart(
        draw_bar_chart(
            "Why records were dropped, and their share of what the step read", bars[:ROWS_SHOWN]
        )
    )
    if rest := bars[ROWS_SHOWN:]:
        number = format_counted(int(sum(bar.value for bar in rest)), "record")
        yield note(f"{format_counted(len(rest), 'more reason')}, {number}: in the tables.")


def _around(runs: Sequence[RunSummary]) -> Iterator[Html]:
    """The reasons of the steps around decide, with their meaning."""
    rows = [
        (
            code(one.reason),
            one.step,
            one.fate.replace("quarantined", "failed"),
            explain_reason(one.reason) or "–",
            f"{format_count(one.number)} {_unit(one.step, one.number)}",
            one.part,
            format_bytes(one.bytes),
        )
        for one in count_losses(runs)
        if one.step != "decide"
    ]
    if rows:
        columns = ("reason", "step", "fate", "~what it means", "#number", "#share of read", "#text")
        yield from long_table("Reasons of the steps around decide", columns, rows)


RULE_COLUMNS = (
    "rule",
    "#order",
    "#dropped",
    "~drops a document if",
    "~laid down in",
    "#holds for",
    "#holds alone",
)


def _rules(facts: ReportData) -> Iterator[Html]:
    """Every rule of decide: its condition as it was applied, where it comes from, and what it cost."""
    decide = facts.last("decide")
    if decide is None:
        return
    rules = list_conditions(decide, facts.corpus.signals if facts.corpus else {})
    rows = [_rule_row(rule, facts, decide) for rule in rules]
    used, idle = (
        [row for row in rows if bool({row[2], *row[5:]} - {"0", "–"}) is cost]
        for cost in (True, False)
    )
    yield tag("h3", "The rules of decide")
    yield note(
        "A document is counted as dropped by the first rule in this order that holds, so the column “dropped” adds up. "
        "“Holds for” counts all documents a rule holds for; “holds alone” those that no other rule would have dropped, about what "
        "the corpus would gain without it. Which ",
        term("preset"),
        " judges a document depends on its kind of source. Thresholds are "
        "changed in the configuration, ",
        code("[decide.thresholds]"),
        "; ",
        code("gristmill prepare"),
        " then repeats decide and pack only.",
    )
    if "rules" not in decide.details:
        yield note(
            "This decide run was made by a version that did not record thresholds: those of presets are not shown."
        )
    yield (
        table("Rules that hold for a document", RULE_COLUMNS, used)
        if used
        else paragraph("No rule dropped a document.")
    )
    if idle:
        yield folded(
            f"{format_counted(len(idle), 'rule')} that hold for no document",
            table("Rules that hold for none", RULE_COLUMNS, idle),
        )


def _rule_row(rule: DropCondition, facts: ReportData, decide: RunSummary) -> tuple[Content, ...]:
    """A rule with its costs; only the documents' own decisions tell what it holds for."""
    dropped = sum(entry.documents for entry in decide.entries if entry.reason == rule.name)
    held = ["–", "–"]
    if facts.corpus:
        one = next((reason for reason in facts.corpus.reasons if reason.name == rule.name), None)
        held = [format_count(one.any), format_count(one.alone)] if one else ["0", "0"]
    condition = content(rule.drops_if, tag("small", rule.signal) if rule.signal else None)
    return code(rule.name), str(rule.place), format_count(dropped), condition, rule.origin, *held


def _parts(facts: ReportData) -> Iterator[Html]:
    if decide := facts.last("decide"):
        yield from by_part(decide, "source", lambda entry: entry.source, str)
        yield from by_part(decide, "language", lambda entry: entry.lang, format_language)


def by_part(
    run: RunSummary, name: str, key: Callable[[Entry], str], shown: Callable[[str], str]
) -> Iterator[Html]:
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
        StackedBar(
            shown(n),
            [
                cells[n, "kept"],
                *(cells[n, r] for r in first),
                *([sum(cells[n, r] for r in rest)] if rest else []),
            ],
            f"n = {format_count(totals[n])}",
        )
        for n in names[:ROWS_SHOWN]
    ]
    parts = ["kept", *first, *([f"{len(rest)} other reasons"] if rest else [])]
    yield chart(draw_stacked_bars(f"Kept and dropped by {name} ({run.step})", parts, stacks))
    rows = [
        (
            shown(n),
            format_count(totals[n]),
            format_count(cells[n, "kept"]),
            format_share(cells[n, "kept"], totals[n]),
            *(_cell(cells[n, r]) for r in top),
        )
        for n in names
    ]
    head = (name, "#read", "#kept", "#share kept", *(f"#{reason}" for reason in top))
    yield folded(
        f"Every reason by {name}",
        table(f"Documents of {run.id} by {name} and first reason", head, rows),
    )


def _cell(number: int) -> str:
    return format_count(number) if number else "·"


def _samples(facts: ReportData) -> Iterator[Html]:
    if facts.corpus is None or not facts.corpus.decided:
        yield missing(
            "a decide run beside its documents.", "Keep the annotate and decide runs in one folder."
        )
        return
    shown = [reason for reason in facts.corpus.reasons if reason.samples]
    yield note(
        "Of every reason the documents with the smallest ids: chosen by rule, not by taste. Personal data found by pattern is "
        "masked; names, handles and addresses of pages in the text are not. Texts that were taken down, or whose rights do not allow it, "
        "are not shown. What annotate drops is not kept as text."
    )
    yield from map(_reason, shown)


def _reason(reason: ReasonCount) -> Html:
    title = content(
        code(reason.name),
        f" – dropped {format_counted(reason.first, 'document')}, holds for {format_count(reason.any)}",
    )
    return tag("details", tag("summary", title), *map(sample, reason.samples))


def _quarantine(facts: ReportData, runs: Sequence[RunSummary]) -> Iterator[Html]:
    total = sum(run.counts.get("quarantined", 0) for run in runs if run.step != "crawl")
    if not total:
        yield paragraph("Every record that lay there could be read.")
        return
    rows = [
        (
            q.step,
            q.file,
            format_count(q.offset),
            code(q.reason),
            explain_reason(q.reason) or "–",
            shorten(q.error, 200),
        )
        for q in facts.quarantined
    ]
    yield from long_table(
        "Quarantined records",
        ("step", "file", "#offset", "reason", "~what it means", "error"),
        rows,
    )
    rest = (
        f" {format_counted(total - len(rows), 'more record')}: `gristmill quarantine RUN` prints all."
        if total > len(rows)
        else ""
    )
    yield note(
        f"n = {format_counted(total, 'record')}; the offset counts bytes, or rows of a table.{rest}"
    )
