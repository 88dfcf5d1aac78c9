"""What a reader in a hurry must know: does every record have a fate, could all be read, what needs a look."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gristmill.formatting import format_count, format_counted, format_list, format_share
from gristmill.rights.policy import UNKNOWN
from reports.chain.reasons import format_failures
from reports.chain.report_data import ReportData, RunSummary

Level = Literal["good", "look", "wrong"]


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One line of the verdict."""

    level: Level
    words: str


def check_health(facts: ReportData) -> list[HealthCheck]:
    """All lines, in reading order."""
    return [
        *_balance(facts),
        *_quarantine(facts),
        *_rights(facts),
        *_models(facts),
        *_audits(facts),
    ]


def find_imbalances(facts: ReportData) -> list[str]:
    """Every count that should agree with another and does not; empty = the ledger balances."""
    found = [
        f"{run.id} read {format_count(run.counts['read'])} records, but {format_count(total)} have a fate"
        for run in _with_ledger(facts)
        if (total := sum(entry.documents for entry in run.entries)) != run.counts.get("read")
    ]
    annotate, decide, pack = (facts.last(step) for step in ("annotate", "decide", "pack"))
    for reader, source in ((decide, annotate), (pack, annotate)):
        if reader and source and reader.counts.get("read") != source.counts.get("kept"):
            found.append(f"{reader.id} did not read what {source.id} kept")
    return [*found, *_recount(facts, decide), *_recount_shards(facts, pack)]


def _recount(facts: ReportData, decide: RunSummary | None) -> Iterator[str]:
    """The ledger of decide against the decision files themselves."""
    if facts.corpus is None or decide is None:
        return
    ledger = Counter[str]()
    for entry in decide.entries:
        ledger[entry.reason] += entry.documents
    for reason in facts.corpus.reasons:
        if reason.first != ledger[reason.name]:
            files, book = format_count(reason.first), format_count(ledger[reason.name])
            yield f"{reason.name} decided {files} documents in the files of {decide.id}, but {book} in its ledger"


def _recount_shards(facts: ReportData, pack: RunSummary | None) -> Iterator[str]:
    """The ledger of pack against the rows of the shards; where a mixture repeats documents, what was counted when they were written."""
    if not facts.tokens or not pack:
        return
    rows, book = sum(part.documents for part in facts.tokens.slices), pack.counts.get("kept", 0)
    if pack.details.get("mixture") or _repeats(facts):
        book = sum(split["documents"] for split in pack.details["splits"].values())
    if rows != book:
        yield f"the shards of {pack.id} hold {format_count(rows)} documents, its ledger {format_count(book)}"


def _repeats(facts: ReportData) -> bool:
    """Whether survivors of large clusters were to be written several times."""
    decide = facts.last("decide")
    return bool(decide and decide.config.get("upweight"))


def _with_ledger(facts: ReportData) -> list[RunSummary]:
    return [run for run in facts.runs if run.entries and run.main]


def _balance(facts: ReportData) -> Iterator[HealthCheck]:
    books = _with_ledger(facts)
    if wrong := find_imbalances(facts):
        yield HealthCheck("wrong", f"The ledger does not balance: {'; '.join(wrong)}.")
    elif books:
        steps = format_list([run.step for run in books], most=6)
        recount = (
            " An independent count over the decision files agrees."
            if facts.corpus and facts.corpus.decided
            else ""
        )
        yield HealthCheck(
            "good", f"The ledger balances: read = kept + dropped + quarantined in {steps}.{recount}"
        )


def _quarantine(facts: ReportData) -> Iterator[HealthCheck]:
    books = _with_ledger(facts)
    found = [(run, run.counts.get("quarantined", 0)) for run in books]
    total = sum(number for _, number in found)
    over = [run.id for run in books if run.exit_code == 3]
    if over:
        yield HealthCheck(
            "wrong",
            f"More records were quarantined than the error budget allows in {format_list(over)}.",
        )
    for run, number in found:
        if number and run.step == "crawl":
            yield HealthCheck(
                "look",
                f"{format_counted(number, 'item')} could not be fetched or came broken in crawl ({format_failures(run)}).",
            )
        elif number:
            named = f"{format_counted(number, 'record')} could not be read in {run.step} ({format_failures(run)}): each is named below."
            yield HealthCheck("look", named)
    if books and not total:
        yield HealthCheck(
            "good",
            "Nothing was lost on the way: every item could be fetched, and every record read.",
        )


def _rights(facts: ReportData) -> Iterator[HealthCheck]:
    if facts.corpus is None:
        return
    kept = sum(row.kept for row in facts.corpus.licences)
    unknown = sum(row.kept for row in facts.corpus.licences if row.licence == UNKNOWN)
    what = "kept documents" if facts.corpus.decided else "documents"
    if unknown:
        yield HealthCheck(
            "look",
            f"The input states no licence that we know for {format_count(unknown)} of {format_count(kept)} {what} ({format_share(unknown, kept)}).",
        )
    elif kept:
        yield HealthCheck(
            "good", f"All {format_count(kept)} {what} have a licence, as stated by the input."
        )
    decide = facts.last("decide")
    if (
        decide
        and facts.corpus.opt_outs
        and not decide.config.get("rights", {}).get("honour_opt_outs", True)
    ):
        yield HealthCheck(
            "look",
            "Opt-outs stated by the sources were not honoured: the settings of decide say so.",
        )


def _models(facts: ReportData) -> Iterator[HealthCheck]:
    for run in facts.trainings:
        name = next((name for name in run.last if name.endswith("bits_per_byte")), None)
        if name and name in run.first and run.last[name] >= run.first[name]:
            yield HealthCheck(
                "look",
                f"{run.run} did not learn: {name} went from {run.first[name]:.3f} to {run.last[name]:.3f}.",
            )


def _audits(facts: ReportData) -> Iterator[HealthCheck]:
    failed = [run.id for run in facts.of("audit") if run.exit_code == 4]
    if failed:
        yield HealthCheck("wrong", f"A gate of the audit failed in {format_list(failed)}.")
    if not facts.audits:
        return
    models = [model for audit in facts.audits for model in audit.content.get("models", ())]
    axes = [row for model in models for row in model["rows"] if row["axis"] != "(all)"]
    silent = sum(not row.get("verdict", {}).get("measurable", False) for row in axes)
    if silent:
        yield HealthCheck(
            "look",
            f"{silent} of {len(axes)} preferences of the models (by language and axis) are not measurable: a model too weak, "
            "or one word that wins in every context. A value near 0.5 is no finding there.",
        )
    elif not failed:
        gated = any(
            audit.content.get("gate", {}).get("measurable") is not None for audit in facts.audits
        )
        yield (
            HealthCheck("good", "The audit ran, and no gate failed.")
            if gated
            else HealthCheck(
                "look",
                "The audit ran with no gate set, so none could fail: its numbers are to be read.",
            )
        )
