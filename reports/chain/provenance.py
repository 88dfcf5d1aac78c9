"""The end of the page: how to follow a number back to its files, and the limits of it all."""

import json
from collections.abc import Iterator
from typing import Any

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_day,
    format_seconds,
)
from reports.chain.report_data import ReportData, RunSummary
from reports.drawing.blocks import bullets, code, folded, note, paragraph, part, section, table
from reports.drawing.glossary import term
from reports.drawing.markup import Html, content, tag

LIMITS = (
    "Licences are what pages and interfaces state. A stated licence can be wrong, and `unknown` is not a permission.",
    "Languages, quality signals and personal data are found by programs that err; names and handles of people are not masked.",
    "Duplicates are found by estimated similarity: some pairs near the threshold are missed, and some dropped texts differ in what matters.",
    "The samples are few and chosen by id. They show what a reason looks like, not how often it is right.",
    "Small models trained for few steps show that the chain works, not what a model of this corpus can do.",
    "The report repeats what the runs recorded. It did not recompute the hashes of the files: the commands above do.",
)


def draw_provenance_section(facts: ReportData) -> Html:
    """Section 8: ids, hashes, versions, timings, commands."""
    verify = [f"gristmill runs verify {facts.folder}/{run.id}" for run in facts.runs]
    return section(
        "trail",
        "Following a number back",
        paragraph(
            "Every run is a folder named by what determines its content: settings, source code, libraries and inputs. Each ",
            term("manifest"),
            " names the manifests it was made from, so the last one seals all before it.",
        ),
        table(
            "Runs",
            ("run", "made from", "#files", "#size", "#time", "#peak memory", "sealed"),
            map(_run_row, facts.runs),
        ),
        part(
            "Check that the files are as sealed",
            note("From the folder above ", code(f"{facts.folder}/"), ":"),
            _commands(verify),
        ),
        part("From here to a document", bullets(_steps(facts))),
        part(
            "Hashes and versions",
            table(
                "Identities",
                ("run", "version", "source code", "sha256 of the manifest"),
                map(_identity_row, facts.runs),
            ),
            *(
                folded(
                    f"Settings of {run.id}",
                    tag(
                        "pre", json.dumps(run.config, indent=1, ensure_ascii=False, sort_keys=True)
                    ),
                )
                for run in facts.runs
                if run.config
            ),
        ),
    )


def _run_row(run: RunSummary) -> list[object]:
    sources = [*run.parents, *run.files_read]
    peak = run.telemetry.get("peak_memory_mb")
    return [
        code(run.id),
        [content(tag("br") if i else None, code(name)) for i, name in enumerate(sources)]
        or "the web",
        format_count(run.files),
        format_bytes(run.bytes),
        _time(run.telemetry),
        f"{format_count(int(peak))} MB" if peak else "–",
        format_day(run.telemetry.get("sealed")),
    ]


def _time(telemetry: Any) -> str:
    return format_seconds(float(telemetry["seconds"])) if "seconds" in telemetry else "–"


def _identity_row(run: RunSummary) -> list[object]:
    return [code(run.id), run.version, code(run.code[:16] or "–"), code(run.manifest)]


def _commands(lines: list[str]) -> Html:
    return tag("pre", "\n".join(lines), class_="commands")


def _steps(facts: ReportData) -> Iterator[Html]:
    annotate, decide, pack = (facts.last(step) for step in ("annotate", "decide", "pack"))
    if decide:
        yield content(
            "A reason in the funnel: ",
            code(f"{decide.id}/decisions/"),
            " has one row a document; bit i of ",
            code("reasons"),
            " is reason i of ",
            code("details.reasons"),
            " in the manifest.",
        )
    if annotate:
        yield content(
            "A document: the same row of the file of the same name in ",
            code(f"{annotate.id}/documents/"),
            " has its text, licence, evidence and signals. By id:",
            _commands([write_lookup_command(facts.folder, annotate.id, choose_example(facts))]),
        )
    for crawl in facts.of("crawl"):
        yield content(
            "Its source: the column ",
            code("capture"),
            " names file, offset and item in ",
            code(f"{crawl.id}/captures/"),
            ", where request, response and rights evidence lie as they were received.",
        )
    if pack:
        yield content(
            "A token: every row of the shards of ",
            code(pack.id),
            " carries the id of its document.",
        )
    for training in facts.trainings:
        yield content("A loss: ", code(f"{training.run}/metrics.jsonl"), " has one line a step.")
    for audit in facts.audits:
        yield content(
            "A preference: ", code(f"{audit.run}/pairs/"), " has both scores of every pair."
        )


def write_lookup_command(folder: str, annotate: str, id: str) -> str:
    """A command that prints one document."""
    return (
        'python -c "import pyarrow.parquet as pq; '
        f"print(pq.read_table('{folder}/{annotate}/documents', filters=[('id', '=', '{id}')]).to_pylist())\""
    )


def choose_example(facts: ReportData) -> str:
    """The id of some document that the page shows, so that the command can be tried."""
    found = (
        [s.id for reason in facts.corpus.reasons for s in reason.samples if s.text is not None]
        if facts.corpus
        else []
    )
    return min(found, default="ID")


def draw_limits_section(facts: ReportData) -> Html:
    """Section 9."""
    absent = [
        f"This chain has no {name}: what it would tell is missing above, not zero."
        for name, there in (
            ("crawl", facts.of("crawl")),
            ("documents beside it", facts.corpus),
            ("pack run", facts.tokens),
            ("pretrain run", facts.trainings),
            ("audit", facts.audits),
        )
        if not there
    ]
    other = [run.id for run in facts.runs if not run.main]
    if other:
        absent.append(
            f"The tokenizer was trained on another corpus: its chain ({format_counted(len(other), 'run')}) is listed, not told of."
        )
    return section("limits", "Limits", bullets([*LIMITS, *absent]))
