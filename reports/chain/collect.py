"""Read a chain of run folders into the data of the report.

In: the last runs of a chain. Out: `ReportData`. Manifests and ledgers are read entirely, data files by columns.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from bias_audit.contract.result import SCHEMA, AuditResult
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

MAX_QUARANTINED = 100
"""Rows of a run's quarantine that the report shows."""

QUARANTINE_COLUMNS = ["file", "offset", "reason", "error"]

SECRET_WORDS = ("key", "secret", "token", "password")
"""A setting whose name has one of these words, between underscores, is withheld."""

AUDIT_FILES = ("audit.html", "audit.md", "audit.json")


def collect_report(ends: Sequence[FinishedRun], page: Path) -> ReportData:
    """Read all runs that lead to `ends`; `page` is where the report will lie, for its links.

    Raises UserError where they come from several corpora: one report tells of one.
    """
    chain = ancestors(*ends)
    line = corpus_lineage(*ends)
    annotate, decide, pack = (single(step, line) for step in ("annotate", "decide", "pack"))
    return ReportData(
        folder=ends[0].path.resolve().parent.name,
        ends=tuple(dict.fromkeys(end.id for end in ends)),
        runs=tuple(summarize_runs(chain, {run.id for run in line})),
        corpus=None if annotate is None else scan_corpus(annotate, decide),
        quarantined=tuple(read_quarantine(line)),
        tokens=None if pack is None else read_tokens(pack),
        trainings=tuple(read_training(run) for run in line if run.step == "pretrain"),
        audits=tuple(read_audit(run, page) for run in line if run.step == "audit"),
    )


def single(step: str, line: Sequence[FinishedRun]) -> FinishedRun | None:
    """The run of a step; None where there is none. Raises UserError where there are several."""
    runs = [run for run in line if run.step == step]
    if len(runs) > 1:
        raise UserError(
            "these runs come from several corpora, and one report tells of one",
            {f"runs of {step}": ", ".join(run.id for run in runs)},
            "give runs of one corpus; several models and audits of it are welcome",
        )
    return runs[0] if runs else None


def summarize_runs(chain: Sequence[FinishedRun], main: set[str]) -> Iterator[RunSummary]:
    """Every run of a chain, parents first, with the longest way from its first run as depth."""
    depths: dict[str, int] = {}
    run_ids = {run.id for run in chain}
    for run in chain:
        inputs = [str(record["name"]) for record in run.manifest["inputs"]]
        parents = tuple(name for name in inputs if name in run_ids)
        depths[run.id] = 1 + max((depths[name] for name in parents), default=-1)
        telemetry = run.path / TELEMETRY
        data_files = run.data_files()
        yield RunSummary(
            id=run.id,
            step=run.step,
            version=str(run.manifest["version"]),
            code=str(run.manifest["code"]),
            parents=parents,
            files_read=tuple(name for name in inputs if name not in run_ids),
            depth=depths[run.id],
            main=run.id in main,
            counts=run.counts,
            details=run.details,
            config=withhold_secrets(run.manifest["config"]),
            entries=tuple(all_entries(run)),
            files=len(data_files),
            bytes=sum(file.bytes for file in data_files),
            manifest=manifest_digest(run),
            exit_code=run.exit_code,
            telemetry=storage.read_json(telemetry) if telemetry.is_file() else {},
        )


def withhold_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that must stay secret, such as the key that authors are hashed with."""
    shown = {}
    for name, value in config.items():
        shown[name] = "(withheld)" if _is_secret(name, value) else _withhold_inside(value)
    return shown


def _is_secret(name: str, value: object) -> bool:
    words = name.lower().split("_")
    return isinstance(value, str) and any(word in words for word in SECRET_WORDS)


def _withhold_inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return withhold_secrets(value)
    if isinstance(value, list):
        return [_withhold_inside(item) for item in value]
    return value


def read_quarantine(line: Iterable[FinishedRun]) -> Iterator[QuarantinedRecord]:
    """The first rows of every run's quarantine, in order."""
    for run in line:
        rows = _iter_quarantine(run)
        for _, row in zip(range(MAX_QUARANTINED), rows, strict=False):
            file, offset = _name_file(row["file"]), row["offset"]
            yield QuarantinedRecord(run.step, file, offset, row["reason"], row["error"])


def _iter_quarantine(run: FinishedRun) -> Iterator[dict[str, Any]]:
    for path in run.files("quarantine/"):
        batches = pq.ParquetFile(path).iter_batches(MAX_QUARANTINED, columns=QUARANTINE_COLUMNS)
        for batch in batches:
            yield from batch.to_pylist()


def _name_file(recorded: str) -> str:
    """The name of a file without the folders of the machine that read it."""
    path = PurePosixPath(recorded)
    return path.name if path.is_absolute() or "://" in recorded else recorded


def read_audit(run: FinishedRun, page: Path) -> AuditSummary:
    """An audit's content, and links to its own files as seen from the report."""
    names = {file.path for file in run.data_files()}
    folder = page.resolve().parent
    links = []
    for name in AUDIT_FILES:
        if name in names:
            link = Path(os.path.relpath(run.path.resolve() / name, folder))
            links.append((name, link.as_posix()))
    content = storage.read_json(run.file("audit.json"))
    is_readable = content.get("schema") == SCHEMA
    return AuditSummary(
        run=run.id,
        content=content,
        headlines=tuple(map(str, run.details.get("headlines", ()))),
        links=tuple(links),
        result=AuditResult.from_json(content) if is_readable else None,
    )
