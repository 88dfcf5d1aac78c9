"""The takedown list: which documents must go, told by id, URL, domain or author, with the reason and the date.

A CSV file (UTF-8, header `kind,value,reason,date`) that a spreadsheet can edit. Every step that touches documents
honours it, so a rebuild cannot bring a document back.
"""

import csv
import datetime
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gristmill import storage
from gristmill.errors import InputError

KINDS = ("id", "url", "domain", "author")
HEADER = ["kind", "value", "reason", "date"]


@dataclass(frozen=True, slots=True, order=True)
class Takedown:
    """One row: documents whose `kind` is `value` (a domain covers its subdomains) go, for `reason`, since `date`."""

    kind: str
    value: str
    reason: str
    date: datetime.date


class TakedownList:
    """A set of takedowns with constant-time look-ups."""

    def __init__(self, rows: Iterable[Takedown] = ()) -> None:
        self.rows = tuple(sorted(set(rows)))
        self._values = {kind: {row.value for row in self.rows if row.kind == kind} for kind in KINDS}

    def __len__(self) -> int:
        return len(self.rows)

    def covers(self, *, id: str, url: str | None = None, author: str | None = None) -> bool:
        """Whether a document with this id, URL and author must go."""
        if id in self._values["id"] or (author and author in self._values["author"]):
            return True
        return bool(url) and (normalize_url(str(url)) in self._values["url"] or self._covers_domain(str(url)))

    def mask(self, ids: Sequence[str], urls: Sequence[str | None], authors: Sequence[str | None]) -> list[bool]:
        """`covers`, for columns of one batch."""
        if not self.rows:
            return [False] * len(ids)
        return [self.covers(id=i, url=u, author=a) for i, u, a in zip(ids, urls, authors, strict=True)]

    def _covers_domain(self, url: str) -> bool:
        labels = host_of(url).split(".")
        return any(".".join(labels[start:]) in self._values["domain"] for start in range(len(labels)))


def read_takedowns(path: str | Path | None) -> TakedownList:
    """Read a list; None gives the empty one. Raises InputError naming the file and the line that is wrong."""
    if path is None:
        return TakedownList()
    try:
        text = storage.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("a takedown list must be UTF-8", {"file": path, "problem": error}) from None
    lines = csv.reader(io.StringIO(text, newline=""))
    if next(lines, None) != HEADER:
        raise InputError("not a takedown list", {"file": path}, f"its first line must be {','.join(HEADER)}")
    return TakedownList(_read_row(row, f"{path}, line {lines.line_num}") for row in lines if row)


def write_takedowns(path: str | Path, rows: Iterable[Takedown]) -> None:
    """Write a list that `read_takedowns` reads back, sorted, atomically."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([row.kind, row.value, row.reason, row.date.isoformat()] for row in sorted(set(rows)))
    storage.commit_bytes(path, out.getvalue().encode())


def normalize_url(url: str) -> str:
    """A URL as the list compares it: scheme and host in lower case, no fragment, no trailing slash, https for http."""
    parts = urlsplit(url.strip())
    path = parts.path.rstrip("/")
    query = f"?{parts.query}" if parts.query else ""
    return f"https://{parts.netloc.lower()}{path}{query}"


def host_of(url: str) -> str:
    """The host of a URL in lower case, without port; empty where there is none."""
    try:
        return (urlsplit(url).hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


def _read_row(row: Sequence[str], where: str) -> Takedown:
    if len(row) != len(HEADER):
        raise InputError("a takedown row must have four fields", {"at": where, "row": ",".join(row)})
    kind, value, reason, day = (field.strip() for field in row)
    if kind not in KINDS or not value or not reason:
        raise InputError(f"a takedown needs a kind of {', '.join(KINDS)}, a value and a reason", {"at": where})
    try:
        date = datetime.date.fromisoformat(day)
    except ValueError:
        raise InputError("a takedown's date must look like 2026-11-23", {"at": where, "given": day}) from None
    return Takedown(kind, _normalize(kind, value), reason, date)


def _normalize(kind: str, value: str) -> str:
    if kind == "url":
        return normalize_url(value)
    return value.lower().rstrip(".") if kind == "domain" else value
