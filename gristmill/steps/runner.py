"""Run a step: name its run folder, hold the lock, resume, reuse what is finished, seal.

Every step of every room goes through `run_step`, so all of them resume, refuse and report alike.
"""

from collections.abc import Mapping
from pathlib import Path

from gristmill.progress import say
from gristmill.runs import receipts
from gristmill.runs.finished import FinishedRun
from gristmill.runs.run import Run, seal_from_receipts, start_run
from gristmill.steps.code_identity import digest_code
from gristmill.steps.step import Step


def run_step(step: Step, *, out: Path, force: bool = False) -> FinishedRun:
    """Return the sealed run of `step` below `out`, doing what of its work is not done yet.

    A run of the same settings, code and inputs that is finished is returned as it is; `force` throws
    it away first. Raises UserError where settings or inputs cannot be used, Stopped where a signal or
    a dead worker ended the work: the same call continues it.
    """
    declaration = step.declaration
    inputs = step.list_inputs()
    with start_run(
        declaration.name,
        out=out,
        config=step.hashed_config(),
        inputs=inputs,
        code=digest_code(*declaration.entry_modules),
        force=force,
    ) as run:
        if run.finished:
            say(f"{declaration.name}  finished before: {run.path}")
            return run.finished
        stages = step.plan(run)
        report_reused(run, stages)
        telemetry = step.build(run)
        sealing = step.finalize(run)
        if sealing.ledger_stage is None:
            return run.finish(counts=sealing.counts, details=sealing.details, telemetry=telemetry)
        return seal_from_receipts(
            run,
            stages,
            ledger_stage=sealing.ledger_stage,
            details=sealing.details,
            counts=sealing.counts,
            extra_files=sealing.extra_files,
            telemetry=telemetry,
        )


def report_reused(run: Run, stages: Mapping[str, int]) -> None:
    """Say how many work splits of each stage an earlier attempt has finished."""
    for stage, total in stages.items():
        reused = len(receipts.load_receipts(run.path, stage))
        if reused:
            say(
                f"{run.step}  {reused} of {total} splits of `{stage}` were done before"
                " and are reused"
            )
