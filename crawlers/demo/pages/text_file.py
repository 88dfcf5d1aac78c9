"""Reads any Parquet or JSONL file with a text column as pages of the demo news site."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crawlers.demo.pages.article import Article
from gristmill.errors import InputError

TEXT_COLUMNS = ("text", "content", "body", "article", "document")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(path).iter_batches(batch_size=500):
            yield from batch.to_pylist()
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(
                    "a line of this file is no JSON",
                    {"file": path, "line": number, "problem": error},
                ) from None
            if not isinstance(row, dict):
                raise InputError(
                    "a line of this file is no JSON object", {"file": path, "line": number}
                )
            yield row


def read_articles(path: Path) -> list[Article]:
    """One article a row; the text column is the first of `text`, `content`, `body`, `article`, `document`."""
    if not path.is_file():
        raise InputError("there is no such file", {"file": path}, "give a .parquet or .jsonl file")
    out = []
    for number, row in enumerate(_rows(path), 1):
        column = next((name for name in TEXT_COLUMNS if isinstance(row.get(name), str)), None)
        if column is None:
            columns = ", ".join(sorted(row)) or "none"
            raise InputError(
                "this file has no text column",
                {"file": path, "columns": columns},
                f"name it one of {', '.join(TEXT_COLUMNS)}",
            )
        paragraphs = tuple(part.strip() for part in row[column].split("\n") if part.strip())
        title = str(row.get("title") or (paragraphs[0][:60] if paragraphs else f"Page {number}"))
        licence = str(row.get("licence") or row.get("license") or "")
        lang = (
            "zh" if str(row.get("lang") or row.get("language") or "en").startswith("zh") else "en"
        )
        out.append(
            Article(
                f"/text/{number:07}.html",
                title,
                lang,
                "2026-06-01T00:00:00+00:00",
                paragraphs,
                "from a file",
                "Text",
                licence,
            )
        )
    return out
