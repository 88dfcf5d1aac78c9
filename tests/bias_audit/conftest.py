"""Small annotate and decide runs, written the way the pipelines write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill import runs
from gristmill.config import Config
from gristmill.runs import FinishedRun

LEGEND = ("too_short", "blocked_word", "duplicate")

Row = tuple[str, str, str, int]
"""text, source, lang, reasons (bit set; 0 keeps the document)"""


class Settings(Config):
    """What tells one written run from another."""

    name: str = "plain"


def write(folder: Path, name: str, columns: dict[str, pa.Array]) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / name)


def finish(step: str, out: Path, name: str, inputs: Sequence[FinishedRun], files: dict[str, dict[str, pa.Array]],
           details: dict | None = None) -> FinishedRun:  # fmt: skip
    sources = [run.as_input() for run in inputs]
    with runs.start(step, out=out, config=Settings(name=name), inputs=sources) as run:
        for path, columns in files.items():
            write(run.path / Path(path).parent, Path(path).name, columns)
        return run.finish(details=details)


@pytest.fixture
def prepared(tmp_path) -> Callable[..., tuple[FinishedRun, FinishedRun]]:
    """Write an annotate run and the decide run over it from rows; several lists of rows become several files."""

    def build(*parts: Sequence[Row], out: Path | None = None, name: str = "plain") -> tuple[FinishedRun, FinishedRun]:
        folder = out or tmp_path / "runs"
        documents, decisions = {}, {}
        for number, rows in enumerate(parts):
            texts, sources, langs, reasons = zip(*rows, strict=True)
            part = f"part-{number:05d}.parquet"
            documents[f"documents/{part}"] = {
                "id": pa.array([f"{number}-{i}" for i in range(len(rows))]),
                "text": pa.array(texts), "source": pa.array(sources), "lang": pa.array(langs),
            }  # fmt: skip
            decisions[f"decisions/{part}"] = {
                "keep": pa.array([bits == 0 for bits in reasons]), "reasons": pa.array(reasons, pa.uint64()),
            }  # fmt: skip
        annotate = finish("annotate", folder, name, [], documents)
        decide = finish("decide", folder, name, [annotate], decisions, {"reasons": list(LEGEND)})
        return annotate, decide

    return build
