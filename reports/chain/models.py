"""Read the results of a pretraining run: its curves, its first and last measures, and samples of its text."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gristmill.errors import RunError
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun
from reports.chain.report_data import TrainingSummary

MAX_POINTS = 300
"""Points of a curve: more cannot be seen at the width of a chart."""

Point = tuple[float, float]


def read_training(run: FinishedRun) -> TrainingSummary:
    """One pretrain run, from metrics.jsonl, samples.json and the manifest."""
    lines = storage.read_bytes(run.file("metrics.jsonl")).decode(errors="replace")
    samples = storage.read_json(run.file("samples.json"))
    return TrainingSummary(
        run=run.id,
        objective=str(run.details["objective"]),
        counts=run.counts,
        settings=run.manifest["config"],
        curves=collect_curves(parse_metrics(lines, run.id)),
        first=keep_finite(run.details["first_validation"]),
        last=keep_finite(run.details["last_validation"]),
        export=run.details.get("export", {}),
        samples_kind=str(samples["kind"]),
        samples=tuple(samples["samples"]),
    )


def parse_metrics(lines: str, name: str) -> list[dict[str, float]]:
    """The rows of a metrics file; RunError where a line is not a JSON object."""
    try:
        return [keep_finite(json.loads(line)) for line in lines.splitlines() if line.strip()]
    except (ValueError, AttributeError):
        raise RunError(
            "the metrics of this run cannot be read",
            {"run": name},
            "run `gristmill pretrain` again",
        ) from None


def keep_finite(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a row."""
    return {
        name: value
        for name, value in row.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def collect_curves(rows: Iterable[Mapping[str, float]]) -> dict[str, Sequence[Point]]:
    """Every loss over the steps, thinned to what a chart can show; training first, totals before parts."""
    curves: dict[str, list[Point]] = {}
    for row in rows:
        for name, value in row.items():
            if name.endswith("loss") and "step" in row:
                curves.setdefault(name, []).append((row["step"], value))
    return {name: thin_points(curves[name]) for name in sorted(curves, key=_rank_curve)}


def _rank_curve(name: str) -> tuple[bool, bool, str]:
    is_part = name not in ("loss", "validation_loss")
    return "validation" in name, is_part, name


def thin_points(points: Sequence[Point]) -> list[Point]:
    """At most about MAX_POINTS points at even distances, always the first and the last."""
    step = math.ceil(len(points) / MAX_POINTS)
    if step <= 1:
        return list(points)
    return [*points[:-1:step], points[-1]]
