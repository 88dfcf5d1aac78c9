"""What needs a reader's attention: whether every record has an outcome, all could be read, and models learned.

In: the `ReportData` of a chain. Out: the lines of the verdict.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bias_audit.contract.model_rows import count_measurable
from gristmill.errors import GateFailed
from gristmill.formatting import format_count, format_counted, format_list, format_share
from gristmill.rights.policy import UNKNOWN
from reports.chain.reasons import format_failures
from reports.chain.report_data import ReportData, RunSummary

Level = Literal["good", "look", "wrong"]

OVER_ERROR_BUDGET = 3
"""The exit code of a run that quarantined more records than its error budget allows."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One line of the verdict."""

    level: Level
    words: str


def check_health(report: ReportData) -> list[HealthCheck]:
    """All lines, in reading order."""
    return [
        *_check_balance(report),
        *_check_quarantine(report),
        *_check_rights(report),
        *_check_models(report),
        *_check_audits(report),
    ]


def find_imbalances(report: ReportData) -> list[str]:
    """Every count that should agree with another and does not; empty if the ledger balances."""
    annotate, decide, pack = (report.last(step) for step in ("annotate", "decide", "pack"))
    return [
        *_check_ledgers(report),
        *_compare_with_annotate(annotate, decide),
        *_compare_with_annotate(annotate, pack),
        *_recount_decisions(report, decide),
        *_recount_shards(report, pack),
    ]


def _check_ledgers(report: ReportData) -> Iterator[str]:
    """Every run whose records read are not those with an outcome."""
    for run in _list_ledgers(report):
        total = sum(entry.documents for entry in run.entries)
        if total != run.counts.get("read"):
            read = format_count(run.counts["read"])
            yield f"{run.id} read {read} records, but {format_count(total)} have a fate"


def _compare_with_annotate(annotate: RunSummary | None, reader: RunSummary | None) -> Iterator[str]:
    """decide and pack read exactly what annotate kept."""
    if annotate and reader and reader.counts.get("read") != annotate.counts.get("kept"):
        yield f"{reader.id} did not read what {annotate.id} kept"


def _recount_decisions(report: ReportData, decide: RunSummary | None) -> Iterator[str]:
    """The ledger of decide against the decision files themselves."""
    if report.corpus is None or decide is None:
        return
    ledger = Counter[str]()
    for entry in decide.entries:
        ledger[entry.reason] += entry.documents
    for reason in report.corpus.reasons:
        if reason.first != ledger[reason.name]:
            in_files, in_ledger = format_count(reason.first), format_count(ledger[reason.name])
            yield (
                f"{reason.name} decided {in_files} documents in the files of {decide.id}, "
                f"but {in_ledger} in its ledger"
            )


def _recount_shards(report: ReportData, pack: RunSummary | None) -> Iterator[str]:
    """The ledger of pack against the rows of the shards.

    Where documents are repeated the ledger counts each once: the counts of the splits, made while the shards were
    written, are compared instead.
    """
    if not report.tokens or not pack:
        return
    rows = sum(part.documents for part in report.tokens.slices)
    expected = pack.counts.get("kept", 0)
    if pack.details.get("mixture") or _has_repeats(report):
        expected = sum(split["documents"] for split in pack.details["splits"].values())
    if rows != expected:
        in_shards, in_ledger = format_count(rows), format_count(expected)
        yield f"the shards of {pack.id} hold {in_shards} documents, its ledger {in_ledger}"


def _has_repeats(report: ReportData) -> bool:
    """Whether survivors of large clusters were to be written several times."""
    decide = report.last("decide")
    return bool(decide and decide.config.get("upweight"))


def _list_ledgers(report: ReportData) -> list[RunSummary]:
    return [run for run in report.runs if run.entries and run.main]


def _check_balance(report: ReportData) -> Iterator[HealthCheck]:
    ledgers = _list_ledgers(report)
    imbalances = find_imbalances(report)
    if imbalances:
        yield HealthCheck("wrong", f"The ledger does not balance: {'; '.join(imbalances)}.")
    elif ledgers:
        steps = format_list([run.step for run in ledgers], most=6)
        line = f"The ledger balances: read = kept + dropped + quarantined in {steps}."
        if report.corpus and report.corpus.decided:
            line += " An independent count over the decision files agrees."
        yield HealthCheck("good", line)


def _check_quarantine(report: ReportData) -> Iterator[HealthCheck]:
    ledgers = _list_ledgers(report)
    over_budget = [run.id for run in ledgers if run.exit_code == OVER_ERROR_BUDGET]
    if over_budget:
        line = "More records were quarantined than the error budget allows in"
        yield HealthCheck("wrong", f"{line} {format_list(over_budget)}.")
    quarantined = 0
    for run in ledgers:
        number = run.counts.get("quarantined", 0)
        quarantined += number
        if number:
            yield HealthCheck("look", _describe_quarantine(run, number))
    if ledgers and not quarantined:
        yield HealthCheck(
            "good",
            "Nothing was lost on the way: every item could be fetched, and every record read.",
        )


def _describe_quarantine(run: RunSummary, number: int) -> str:
    failures = format_failures(run)
    if run.step == "crawl":
        items = format_counted(number, "item")
        return f"{items} could not be fetched or came broken in crawl ({failures})."
    records = format_counted(number, "record")
    return f"{records} could not be read in {run.step} ({failures}): each is named below."


def _check_rights(report: ReportData) -> Iterator[HealthCheck]:
    if report.corpus is None:
        return
    kept = sum(count.kept for count in report.corpus.licences)
    unknown = sum(count.kept for count in report.corpus.licences if count.licence == UNKNOWN)
    documents = "kept documents" if report.corpus.decided else "documents"
    if unknown:
        yield HealthCheck(
            "look",
            f"The input states no licence that we know for {format_count(unknown)} of "
            f"{format_count(kept)} {documents} ({format_share(unknown, kept)}).",
        )
    elif kept:
        line = f"All {format_count(kept)} {documents} have a licence, as stated by the input."
        yield HealthCheck("good", line)
    decide = report.last("decide")
    if decide and report.corpus.opt_outs:
        rights = decide.config.get("rights", {})
        if not rights.get("honour_opt_outs", True):
            yield HealthCheck(
                "look",
                "Opt-outs stated by the sources were not honoured: the settings of decide say so.",
            )


def _check_models(report: ReportData) -> Iterator[HealthCheck]:
    for run in report.trainings:
        names = [name for name in run.last if name.endswith("bits_per_byte")]
        if not names or names[0] not in run.first:
            continue
        name = names[0]
        first, last = run.first[name], run.last[name]
        if last >= first:
            line = f"{run.run} did not learn: {name} went from {first:.3f} to {last:.3f}."
            yield HealthCheck("look", line)


def _check_audits(report: ReportData) -> Iterator[HealthCheck]:
    failed = [run.id for run in report.of("audit") if run.exit_code == GateFailed.exit_code]
    if failed:
        yield HealthCheck("wrong", f"A gate of the audit failed in {format_list(failed)}.")
    results = [audit.result for audit in report.audits if audit.result is not None]
    if not results:
        return
    rows = [row for result in results for model in result.models for row in model.rows]
    count = count_measurable(rows)
    unmeasurable = count.axes - count.measurable
    if unmeasurable:
        yield HealthCheck(
            "look",
            f"{unmeasurable} of {count.axes} preferences of the models (by language and axis) are "
            "not measurable: a model too weak, or one word that wins in every context. "
            "A value near 0.5 is no finding there.",
        )
    elif failed:
        return
    elif any(result.gates for result in results):
        yield HealthCheck("good", "The audit ran, and no gate failed.")
    else:
        yield HealthCheck(
            "look",
            "The audit ran with no gate set, so none could fail: its numbers are to be read.",
        )
