"""The end of the page: how to follow a number back to its files, and the limits of it all.

In: the `ReportData` of a chain. Out: sections 8 and 9, laid out by `templates/chain/provenance.html.jinja` and
`templates/chain/limits.html.jinja`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_day,
    format_seconds,
)
from reports.chain.report_data import ReportData, RunSummary
from reports.drawing.inline import format_code
from reports.drawing.tables import Cell, Table
from reports.drawing.templates import render

LIMITS = (
    "Licences are what pages and interfaces state. A stated licence can be wrong, and `unknown` is not a permission.",
    "Languages, quality signals and personal data are found by programs that err; names and handles of people are not masked.",
    "Duplicates are found by estimated similarity: some pairs near the threshold are missed, and some dropped texts differ in what matters.",
    "The samples are few and chosen by id. They show what a reason looks like, not how often it is right.",
    "Small models trained for few steps show that the chain works, not what a model of this corpus can do.",
    "The report repeats what the runs recorded. It did not recompute the hashes of the files: the commands above do.",
)

CODE_DIGITS = 16
"""Hexadecimal digits of the digest of the source code that the page shows."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The configuration of one run as indented JSON."""

    run: str
    settings: str


@dataclass(frozen=True, slots=True)
class DocumentPath:
    """The runs by which a number leads to a document; empty names where the chain has no such run."""

    decide: str
    annotate: str
    lookup: str
    crawls: list[str]
    pack: str
    trainings: list[str]
    audits: list[str]


def draw_provenance_section(report: ReportData) -> Markup:
    """Section 8: ids, hashes, versions, timings, commands."""
    runs = Table(
        "Runs",
        ("run", "made from", "#files", "#size", "#time", "#peak memory", "sealed"),
        [_write_run_row(run) for run in report.runs],
    )
    identities = Table(
        "Identities",
        ("run", "version", "source code", "sha256 of the manifest"),
        [_write_identity_row(run) for run in report.runs],
    )
    return render(
        "chain/provenance.html.jinja",
        folder=report.folder,
        runs=runs,
        commands=[f"gristmill runs verify {report.folder}/{run.id}" for run in report.runs],
        path=trace_path(report),
        identities=identities,
        settings=[
            RunSettings(run.id, _write_json(run.config)) for run in report.runs if run.config
        ],
    )


def _write_json(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=1, ensure_ascii=False, sort_keys=True)


def _write_run_row(run: RunSummary) -> list[Cell]:
    inputs = [format_code(name) for name in (*run.parents, *run.files_read)]
    peak = run.telemetry.get("peak_memory_mb")
    return [
        format_code(run.id),
        Markup("<br>").join(inputs) or "the web",
        format_count(run.files),
        format_bytes(run.bytes),
        _format_duration(run.telemetry),
        f"{format_count(int(peak))} MB" if peak else "–",
        format_day(run.telemetry.get("sealed")),
    ]


def _format_duration(telemetry: Mapping[str, Any]) -> str:
    return format_seconds(float(telemetry["seconds"])) if "seconds" in telemetry else "–"


def _write_identity_row(run: RunSummary) -> list[Cell]:
    code = format_code(run.code[:CODE_DIGITS] or "–")
    return [format_code(run.id), run.version, code, format_code(run.manifest)]


def trace_path(report: ReportData) -> DocumentPath:
    """Name the run folders that lead from a number to a document."""
    annotate, decide, pack = (report.last(step) for step in ("annotate", "decide", "pack"))
    lookup = ""
    if annotate:
        lookup = write_lookup_command(report.folder, annotate.id, choose_example(report))
    return DocumentPath(
        decide=decide.id if decide else "",
        annotate=annotate.id if annotate else "",
        lookup=lookup,
        crawls=[crawl.id for crawl in report.of("crawl")],
        pack=pack.id if pack else "",
        trainings=[training.run for training in report.trainings],
        audits=[audit.run for audit in report.audits],
    )


def write_lookup_command(folder: str, annotate: str, id: str) -> str:
    """A command that prints one document."""
    documents = f"{folder}/{annotate}/documents"
    read = f"pq.read_table('{documents}', filters=[('id', '=', '{id}')])"
    return f'python -c "import pyarrow.parquet as pq; print({read}.to_pylist())"'


def choose_example(report: ReportData) -> str:
    """The id of some document that the page shows, so that the command can be tried."""
    if report.corpus is None:
        return "ID"
    samples = [sample for reason in report.corpus.reasons for sample in reason.samples]
    return min((sample.id for sample in samples if sample.text is not None), default="ID")


def draw_limits_section(report: ReportData) -> Markup:
    """Section 9."""
    return render("chain/limits.html.jinja", limits=[*LIMITS, *list_missing_parts(report)])


def list_missing_parts(report: ReportData) -> list[str]:
    """What this chain does not tell because a run is missing."""
    parts = (
        ("crawl", bool(report.of("crawl"))),
        ("documents beside it", report.corpus is not None),
        ("pack run", report.tokens is not None),
        ("pretrain run", bool(report.trainings)),
        ("audit", bool(report.audits)),
    )
    lines = [
        f"This chain has no {name}: what it would tell is missing above, not zero."
        for name, exists in parts
        if not exists
    ]
    foreign = [run.id for run in report.runs if not run.main]
    if foreign:
        runs = format_counted(len(foreign), "run")
        lines.append(
            "The tokenizer was trained on another corpus: "
            f"its chain ({runs}) is listed, not told of."
        )
    return lines
