"""The room's command: `gristmill audit`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bias_audit.config import AuditConfig
from bias_audit.contract.headlines import write_headlines
from bias_audit.contract.result import AuditDetails, AuditResult
from gristmill import cli, config
from gristmill.errors import GateFailed, MissingExtra, RunError
from gristmill.pages import load_page
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun, list_runs, open_parents, open_run
from gristmill.runs.run import Run, start_run
from gristmill.steps.code_identity import digest_code

if TYPE_CHECKING:
    from bias_audit.audit import AuditOutput

ModelsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--model", help="Pretrain run, its export, or any Hugging Face folder; repeatable."
    ),
]

SCORING = ("bias_audit.preference", "bias_audit.scorers.load", "bias_audit.word_order")
"""The modules that only an audit of models runs."""

STEPS = ("pretrain", "pack", "decide", "annotate")
"""Steps whose newest run is audited where none is named, in this order."""


def register(app: typer.Typer) -> None:
    """Add the room's command to the command line."""
    app.command("audit")(audit)


def audit(
    source: cli.InOption = None,
    models: ModelsOption = None,
    config_file: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    out: cli.OutOption = Path("runs"),
    force: cli.ForceOption = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Audit a corpus, the rules applied to it, and models trained on it: any of them, or all.

    --in takes annotate, decide, pack and pretrain runs; what lies behind them is found by itself.
    Without --model, a pack run is audited with every finished pretrain run that was trained on it.
    Without --in and --model, that is the pack of the newest pretrain run, or else the newest run
      before it.

    Example: gristmill audit --in runs/pack-e41a0c7d9f52 --model runs/pretrain-4c3309136629
    """
    settings = config.load(AuditConfig, config_file, overrides or ())
    ends = [open_run(name) for name in source or ()]
    if not models:
        ends = add_trained_models(ends or [_find_newest_run(out)], chosen=bool(source))
    run = audit_runs(ends, models or [], settings, out, force=force)
    headlines = list(AuditDetails.from_json(run.details).headlines)
    cli.conclude(
        run, _write_summary(run, headlines), as_json=as_json, extra={"headlines": headlines}
    )


def add_trained_models(ends: Sequence[FinishedRun], *, chosen: bool) -> list[FinishedRun]:
    """Add every model trained on the packs among `ends`; a pretrain run that nobody chose stands
    for its pack.
    """
    if not chosen:
        ends = _list_packs_behind(ends) or ends
    if any(run.step == "pretrain" for run in ends):
        return list(ends)
    runs = {run.id: run for run in ends}
    for pack in [run for run in ends if run.step == "pack"]:
        models = _list_models_trained_on(pack)
        cli.say(
            f"audit  {pack.id}: {len(models)} finished pretrain runs were trained on it",
            *(f"  {model.id}" for model in models),
        )
        runs |= {run.id: run for run in models}
    return list(runs.values())


def _list_packs_behind(ends: Sequence[FinishedRun]) -> list[FinishedRun]:
    parents = [parent for run in ends for parent in open_parents(run)]
    return [parent for parent in parents if parent.step == "pack"]


def _list_models_trained_on(pack: FinishedRun) -> list[FinishedRun]:
    """Pretrain runs beside a pack that read this very pack, not one of the same name that was
    redone since.
    """
    record = pack.as_input().record()
    runs = list_runs(pack.path.resolve().parent, "pretrain")
    return [run for run in runs if record in run.manifest["inputs"]]


def _find_newest_run(out: Path) -> FinishedRun:
    for step in STEPS:
        runs = [run for run in list_runs(out) if run.step == step]
        if runs:
            return runs[-1]
    raise RunError(
        "there is no run to audit",
        {"folder": out},
        "run `gristmill prepare` first, or give --in or --model",
    )


def audit_runs(
    ends: Sequence[FinishedRun],
    models: Sequence[Path],
    settings: AuditConfig,
    out: Path,
    *,
    force: bool,
) -> FinishedRun:
    """Audit into a run folder; a finished one is returned as it is."""
    from bias_audit.audit import perform_audit
    from bias_audit.subject import find_subject

    subject = find_subject(ends, models)
    if subject.models:
        _prepare_torch()
    with start_run(
        "audit",
        out=out,
        config=settings,
        inputs=subject.inputs(),
        code=_digest_code(with_models=bool(subject.models)),
        force=force,
    ) as run:
        if run.finished is not None:
            return run.finished
        return write_run(run, perform_audit(subject, settings))


def _digest_code(*, with_models: bool) -> str:
    """The digest of the code that measures, and that draws the page and the summary."""
    # Without a model nothing is scored: such an audit is the same with and without torch.
    unreachable = () if with_models else SCORING
    return digest_code(
        "bias_audit.audit", "reports.audit.page", "reports.audit.markdown", without=unreachable
    )


def write_run(run: Run, output: AuditOutput) -> FinishedRun:
    """audit.json first; the page and the Markdown are drawn from what was written."""
    for name, records in output.pairs.items():
        lines = "".join(record.to_line() for record in records)
        storage.commit_bytes(run.path / "pairs" / f"{name}.jsonl", lines.encode())
    storage.commit_json(run.path / "audit.json", output.result.to_json())
    written = storage.read_json(run.path / "audit.json")
    draw_pages = load_page("audit")
    html, markdown = draw_pages(written)
    storage.commit_bytes(run.path / "audit.html", html.encode())
    storage.commit_bytes(run.path / "audit.md", markdown.encode())
    result = AuditResult.from_json(written)
    counts = {
        "documents": result.corpus.documents if result.corpus else 0,
        "rules_compared": len(result.rules.rows) if result.rules else 0,
        "models": len(result.models),
        "pairs_scored": sum(len(records) for records in output.pairs.values()),
    }
    details = AuditDetails(headlines=tuple(write_headlines(result)), schema=result.schema)
    failed = not all(gate.passed for gate in result.gates)
    exit_code = GateFailed.exit_code if failed else 0
    return run.finish(counts=counts, details=details.to_json(), exit_code=exit_code)


def _write_summary(run: FinishedRun, headlines: Sequence[str]) -> list[str]:
    return [
        "audit",
        *(f"  {line}" for line in headlines),
        f"  report  {run.path / 'audit.html'}",
        f"next: gristmill report {run.path}",
    ]


def _prepare_torch() -> None:
    """Check that torch is there, and let its idle threads sleep: spinning, they make a shared
    machine far slower.
    """
    # Read once, when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingExtra(package, "audit")
