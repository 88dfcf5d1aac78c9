"""Read what a pretraining run left behind: its curves, its last numbers, and what the model says."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gristmill.errors import RunError
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun
from reports.chain.report_data import TrainingSummary

MOST_POINTS = 300
Point = tuple[float, float]


def read_training(run: FinishedRun) -> TrainingSummary:
    """One pretrain run, from metrics.jsonl, samples.json and the manifest."""
    rows = parse_metrics(
        storage.read_bytes(run.file("metrics.jsonl")).decode(errors="replace"), run.id
    )
    said = storage.read_json(run.file("samples.json"))
    return TrainingSummary(
        run=run.id,
        objective=str(run.details["objective"]),
        counts=run.counts,
        settings=run.manifest["config"],
        curves=collect_curves(rows),
        first=keep_finite(run.details["first_validation"]),
        last=keep_finite(run.details["last_validation"]),
        export=run.details.get("export", {}),
        samples_kind=str(said["kind"]),
        samples=tuple(said["samples"]),
    )


def parse_metrics(lines: str, name: str) -> list[dict[str, float]]:
    """The rows of a metrics file."""
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
    """Every loss over the steps: training first, each thinned to what a chart can show."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        for name, value in row.items():
            if name.endswith("loss") and "step" in row:
                found.setdefault(name, []).append((row["step"], value))
    order = sorted(
        found,
        key=lambda name: ("validation" in name, name != "loss" and name != "validation_loss", name),
    )
    return {name: thin_points(found[name]) for name in order}


def thin_points(points: Sequence[Point]) -> list[Point]:
    """At most about MOST_POINTS points at even distances, always the first and the last."""
    step = -(-len(points) // MOST_POINTS)
    return list(points) if step <= 1 else [*points[:-1:step], points[-1]]
