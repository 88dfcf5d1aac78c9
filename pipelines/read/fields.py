"""Map the columns of somebody's JSON or Parquet onto ours: source, kind, licence, dates."""

import datetime
from collections.abc import Mapping
from typing import Any

from gristmill.document import KINDS
from gristmill.rights import normalize_licence
from pipelines.config import Columns

KIND_WORDS = (
    ("wiki", ("wiki", "encyclop")),
    ("news", ("news",)),
    ("social", ("social", "tweet", "chat", "forum", "post")),
    ("book", ("book", "poetry", "novel", "fiction")),
    ("legal", ("law", "legal")),
    ("speech", ("speech", "transcript")),
    ("docs", ("doc", "manual", "manpage")),
    ("web", ("web", "html", "page")),
)
"""Words by which the type a data set states is recognized as one of our kinds; the first that fits wins."""


def kind_of(stated: object) -> str:
    """One of document.KINDS for whatever a data set calls the type of a record."""
    word = str(stated or "").lower()
    if word in KINDS:
        return word
    return next((kind for kind, parts in KIND_WORDS if any(part in word for part in parts)), "other")


def moment(value: object) -> datetime.datetime | None:
    """A date or time as UTC, or None for what is not one."""
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e11:
        return datetime.datetime.fromtimestamp(value, datetime.UTC)
    if not isinstance(value, str):
        return None
    try:
        return moment(datetime.datetime.fromisoformat(value.strip()))
    except ValueError:
        return None


def row_fields(row: Mapping[str, Any], columns: Columns, *, default_source: str) -> dict[str, Any]:
    """The fields of a record that are read from plain columns by name."""
    stated = row.get(columns.licence)
    licence = normalize_licence(stated if isinstance(stated, str) else None)
    return {
        "title": _text(row.get(columns.title)),
        "url": _text(row.get(columns.url)),
        "source": _text(row.get(columns.source)) or default_source,
        "kind": kind_of(row.get(columns.kind)),
        "fetched": None,
        "licence": licence,
        "evidence": [{"signal": columns.licence, "value": clean(str(stated))}] if stated else [],
        "opt_out": [],
        "author": None,
    }


def clean(text: str) -> str:
    """`text` without lone surrogates, which JSON can hold and UTF-8 cannot: a bad title costs no document."""
    return text.encode("utf-8", "replace").decode()


def _text(value: object) -> str | None:
    return clean(str(value)) if value not in (None, "") else None
