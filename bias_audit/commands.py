"""The room's command: `gristmill audit`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from bias_audit.config import AuditConfig
from gristmill import cli, config
from gristmill.errors import GateFailed, MissingExtra, RunError
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun, list_runs, open_parents, open_run
from gristmill.runs.run import Run, start_run

ModelsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--model", help="Pretrain run, its export, or any Hugging Face folder; repeatable."
    ),
]

STEPS = ("pretrain", "pack", "decide", "annotate")


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
    Without --in and --model, that is the pack of the newest pretrain run, or else the newest run before it.

    Example: gristmill audit --in runs/pack-e41a0c7d9f52 --model runs/pretrain-4c3309136629
    """
    settings = config.load(AuditConfig, config_file, overrides or ())
    ends = [open_run(name) for name in source or ()]
    if not models:
        ends = add_trained_models(ends or [_newest(out)], chosen=bool(source))
    run = audit_runs(ends, models or [], settings, out, force=force)
    cli.conclude(run, _summary(run), as_json=as_json, extra={"headlines": run.details["headlines"]})


def add_trained_models(ends: Sequence[FinishedRun], *, chosen: bool) -> list[FinishedRun]:
    """Add every model trained on the packs among `ends`; a pretrain run that nobody chose stands for its pack."""
    if not chosen:
        ends = [pack for run in ends for pack in open_parents(run) if pack.step == "pack"] or ends
    if any(run.step == "pretrain" for run in ends):
        return list(ends)
    found = {run.id: run for run in ends}
    for pack in [run for run in ends if run.step == "pack"]:
        models = [
            run
            for run in list_runs(pack.path.resolve().parent, "pretrain")
            if _trained_on(run, pack)
        ]
        names = (f"  {model.id}" for model in models)
        cli.say(
            f"audit  {pack.id}: {len(models)} finished pretrain runs were trained on it", *names
        )
        found |= {run.id: run for run in models}
    return list(found.values())


def _trained_on(run: FinishedRun, pack: FinishedRun) -> bool:
    """Whether `run` read this very pack, not one of the same name that has been redone since."""
    return pack.as_input().record() in run.manifest["inputs"]


def _newest(out: Path) -> FinishedRun:
    for step in STEPS:
        found = [run for run in list_runs(out) if run.step == step]
        if found:
            return found[-1]
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
    from bias_audit import audit as room

    subject = room.find_subject(ends, models)
    if subject.models:
        _prepare_torch()
    with start_run(
        "audit",
        out=out,
        config=settings,
        inputs=subject.inputs(),
        code=["bias_audit", "reports/drawing/charts.py"],
        libraries=["numpy", "torch", "transformers"] if subject.models else ["numpy"],
        force=force,
    ) as run:
        if run.finished is not None:
            return run.finished
        return write_run(run, *room.perform_audit(subject, settings))


def write_run(
    run: Run, result: dict[str, Any], scores: dict[str, list[dict[str, Any]]]
) -> FinishedRun:
    """audit.json first; the page and the Markdown are drawn from what was written."""
    from reports.audit import markdown as summary
    from reports.audit import page as report

    for name, rows in scores.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        storage.commit_bytes(run.path / "pairs" / f"{name}.jsonl", lines.encode())
    storage.commit_json(run.path / "audit.json", result)
    read = storage.read_json(run.path / "audit.json")
    storage.commit_bytes(run.path / "audit.html", report.page(read).encode())
    storage.commit_bytes(run.path / "audit.md", summary.markdown(read).encode())
    counts = {
        "documents": read["corpus"]["documents"] if read["corpus"] else 0,
        "rules_compared": len(read["rules"]["rows"]) if read["rules"] else 0,
        "models": len(read["models"]),
        "pairs_scored": sum(map(len, scores.values())),
    }
    failed = not all(gate["passed"] for gate in read["gates"])
    details = {"headlines": summary.headlines(read), "schema": read["schema"]}
    return run.finish(
        counts=counts, details=details, exit_code=GateFailed.exit_code if failed else 0
    )


def _summary(run: FinishedRun) -> list[str]:
    heads = [f"  {line}" for line in run.details["headlines"]]
    return [
        "audit",
        *heads,
        f"  report  {run.path / 'audit.html'}",
        f"next: gristmill report {run.path}",
    ]


def _prepare_torch() -> None:
    """Check that torch is there, and let its idle threads sleep: spinning, they make a shared machine far slower."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is first imported
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingExtra(package, "audit")
