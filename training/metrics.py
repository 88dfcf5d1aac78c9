"""`metrics.jsonl`: one JSON object of numbers a line, in step order, without any clock in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gristmill.runs import storage


class MetricsFile:
    """The metrics of one run, appended line by line, and cut back when a run resumes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: dict[str, float]) -> None:
        """Add one line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def sync(self) -> None:
        """Flush the lines to disk; a checkpoint relies on those before it."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())

    def cut_after(self, step: int) -> None:
        """Drop what a killed process wrote beyond its last checkpoint, a half line included."""
        lines: list[bytes] = []
        if self.path.exists() and step:
            lines = self.path.read_bytes().splitlines(keepends=True)
        complete = [line for line in lines if line.endswith(b"\n")]
        before = [line for line in complete if json.loads(line)["step"] <= step]
        storage.commit_bytes(self.path, b"".join(before))


def read_metrics(path: Path) -> list[dict[str, float]]:
    """All lines of a metrics file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
