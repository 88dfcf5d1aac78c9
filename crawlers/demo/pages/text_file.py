"""Reads any Parquet or JSONL file with a text column as pages of the demo news site."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crawlers.demo.pages.article import Article
from gristmill.errors import InputError

TEXT_COLUMNS = ("text", "content", "body", "article", "document")


def _iter_rows(path: Path) -> Iterator[dict[str, Any]]:
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
                    "a line of this file is not JSON",
                    {"file": path, "line": number, "problem": error},
                ) from None
            if not isinstance(row, dict):
                raise InputError(
                    "a line of this file is not a JSON object", {"file": path, "line": number}
                )
            yield row


def read_articles(path: Path) -> list[Article]:
    """Read one article a row; the text column is the first of `text`, `content`, `body`, `article`, `document`."""
    if not path.is_file():
        raise InputError("file not found", {"file": path}, "give a .parquet or .jsonl file")
    return [_make_article(path, number, row) for number, row in enumerate(_iter_rows(path), 1)]


def _make_article(path: Path, number: int, row: dict[str, Any]) -> Article:
    text = _get_text(path, row)
    paragraphs = tuple(part.strip() for part in text.split("\n") if part.strip())
    first_words = paragraphs[0][:60] if paragraphs else f"Page {number}"
    lang = str(row.get("lang") or row.get("language") or "en")
    return Article(
        path=f"/text/{number:07}.html",
        title=str(row.get("title") or first_words),
        lang="zh" if lang.startswith("zh") else "en",  # the site speaks these two
        published="2026-06-01T00:00:00+00:00",
        paragraphs=paragraphs,
        author="from a file",
        section="Text",
        licence=str(row.get("licence") or row.get("license") or ""),
    )


def _get_text(path: Path, row: dict[str, Any]) -> str:
    for name in TEXT_COLUMNS:
        text = row.get(name)
        if isinstance(text, str):
            return text
    raise InputError(
        "this file has no text column",
        {"file": path, "columns": ", ".join(sorted(row)) or "none"},
        f"name it one of {', '.join(TEXT_COLUMNS)}",
    )
