"""Read a chain of run folders into the facts of the report: manifests and ledgers whole, data files by columns."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from gristmill.errors import UserError
from gristmill.runs import storage
from gristmill.runs.finished import (
    TELEMETRY,
    FinishedRun,
    all_entries,
    ancestors,
    corpus_lineage,
    manifest_digest,
)
from reports.chain.corpus import scan_corpus
from reports.chain.models import read_training
from reports.chain.report_data import AuditSummary, QuarantinedRecord, ReportData, RunSummary
from reports.chain.tokens import read_tokens

ONE_EACH = ("annotate", "decide", "pack")
MOST_QUARANTINED = 100
SECRET = ("key", "secret", "token", "password")
AUDIT_FILES = ("audit.html", "audit.md", "audit.json")


def collect_report(ends: Sequence[FinishedRun], page: Path) -> ReportData:
    """All that can be told of the runs that lead to `ends`; `page` is where the report will lie, for its links.

    Raises UserError where they come from several corpora: one report tells of one.
    """
    chain = ancestors(*ends)
    line = corpus_lineage(*ends)
    documents, decisions, packed = (single(step, line) for step in ONE_EACH)
    return ReportData(
        folder=ends[0].path.resolve().parent.name,
        ends=tuple(dict.fromkeys(end.id for end in ends)),
        runs=tuple(summarize_runs(chain, {run.id for run in line})),
        corpus=None if documents is None else scan_corpus(documents, decisions),
        quarantined=tuple(read_quarantine(line)),
        tokens=None if packed is None else read_tokens(packed),
        trainings=tuple(read_training(run) for run in line if run.step == "pretrain"),
        audits=tuple(read_audit(run, page) for run in line if run.step == "audit"),
    )


def single(step: str, line: Sequence[FinishedRun]) -> FinishedRun | None:
    """The run of a step; None where there is none. Raises UserError where there are several."""
    found = [run for run in line if run.step == step]
    if len(found) > 1:
        raise UserError(
            "these runs come from several corpora, and one report tells of one",
            {f"runs of {step}": ", ".join(run.id for run in found)},
            "give runs of one corpus; several models and audits of it are welcome",
        )
    return found[0] if found else None


def summarize_runs(chain: Sequence[FinishedRun], main: set[str]) -> Iterator[RunSummary]:
    """Every run of a chain, with how many runs deep it lies."""
    depths: dict[str, int] = {}
    known = {run.id for run in chain}
    for run in chain:
        names = [str(record["name"]) for record in run.manifest["inputs"]]
        parents = tuple(name for name in names if name in known)
        depths[run.id] = 1 + max((depths[name] for name in parents), default=-1)
        place = run.path / TELEMETRY
        yield RunSummary(
            id=run.id,
            step=run.step,
            version=str(run.manifest["version"]),
            code=str(run.manifest["code"]),
            parents=parents,
            files_read=tuple(name for name in names if name not in known),
            depth=depths[run.id],
            main=run.id in main,
            counts=run.counts,
            details=run.details,
            config=withhold_secrets(run.manifest["config"]),
            entries=tuple(all_entries(run)),
            files=len(run.data_files()),
            bytes=sum(file.bytes for file in run.data_files()),
            manifest=manifest_digest(run),
            exit_code=run.exit_code,
            telemetry=storage.read_json(place) if place.is_file() else {},
        )


def withhold_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without what must stay secret, such as the key that authors are hashed with."""
    return {
        name: "(withheld)" if _is_secret(name, value) else _inside(value)
        for name, value in config.items()
    }


def _is_secret(name: str, value: object) -> bool:
    return isinstance(value, str) and any(word in name.lower().split("_") for word in SECRET)


def _inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return withhold_secrets(value)
    return [_inside(one) for one in value] if isinstance(value, list) else value


def read_quarantine(line: Iterable[FinishedRun]) -> Iterator[QuarantinedRecord]:
    """The first rows of every run's quarantine, in order; folders of the machine are left out of file names."""
    for run in line:
        left = MOST_QUARANTINED
        for path in run.files("quarantine/"):
            for batch in pq.ParquetFile(path).iter_batches(
                min(left, 1000) or 1, columns=QUARANTINE_COLUMNS
            ):
                for row in batch.to_pylist()[:left]:
                    yield QuarantinedRecord(
                        run.step,
                        _file_name(row["file"]),
                        row["offset"],
                        row["reason"],
                        row["error"],
                    )
                left -= min(left, batch.num_rows)
                if not left:
                    break


QUARANTINE_COLUMNS = ["file", "offset", "reason", "error"]


def _file_name(recorded: str) -> str:
    path = PurePosixPath(recorded)
    return path.name if path.is_absolute() or "://" in recorded else recorded


def read_audit(run: FinishedRun, page: Path) -> AuditSummary:
    """An audit's content, and links to its own files as seen from the report."""
    known = {file.path for file in run.data_files()}
    start = page.resolve().parent
    links = [
        (name, os.path.relpath(run.path.resolve() / name, start))
        for name in AUDIT_FILES
        if name in known
    ]
    return AuditSummary(
        run=run.id,
        content=storage.read_json(run.file("audit.json")),
        headlines=tuple(map(str, run.details.get("headlines", ()))),
        links=tuple((name, Path(link).as_posix()) for name, link in links),
    )
