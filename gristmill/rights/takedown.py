"""The takedown list: which documents must go, told by id, URL, domain or author, with the reason
and the date.

A CSV file (UTF-8, header `kind,value,reason,date`) that a spreadsheet can edit. Every step that
touches documents honours it, so a rebuild cannot bring a document back.
"""

import csv
import datetime
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from gristmill.errors import InputError
from gristmill.runs import storage

NAME = "takedown.csv"
"""The list that lies in a run: of a crawl what is gone or refuses since, of a decide run what it
heeded.
"""
KINDS = ("id", "url", "domain", "author")
HEADER = ["kind", "value", "reason", "date"]


@dataclass(frozen=True, slots=True, order=True)
class Takedown:
    """One row: documents whose `kind` is `value` (a domain covers its subdomains) go, for `reason`,
    since `date`.

    The value is kept in the form in which it is compared; ValueError where it could never match.
    """

    kind: str
    value: str
    reason: str
    date: datetime.date

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _normalize(self.kind, self.value))


class TakedownList:
    """A set of takedowns with constant-time look-ups."""

    def __init__(self, rows: Iterable[Takedown] = ()) -> None:
        self.rows = tuple(sorted(set(rows)))
        self._values = {
            kind: {row.value for row in self.rows if row.kind == kind} for kind in KINDS
        }

    def __len__(self) -> int:
        return len(self.rows)

    def as_rows(self) -> list[list[str]]:
        """The rows as plain values, sorted: what identifies the list."""
        return [[row.kind, row.value, row.reason, row.date.isoformat()] for row in self.rows]

    def covers(self, *, id: str, url: str | None = None, author: str | None = None) -> bool:
        """Whether a document with this id, URL and author must go."""
        if id in self._values["id"] or (author and author in self._values["author"]):
            return True
        return bool(url) and (
            normalize_url(str(url)) in self._values["url"] or self._covers_domain(str(url))
        )

    def mask(
        self, ids: Sequence[str], urls: Sequence[str | None], authors: Sequence[str | None]
    ) -> list[bool]:
        """`covers`, for columns of one batch."""
        if not self.rows:
            return [False] * len(ids)
        return [
            self.covers(id=i, url=u, author=a) for i, u, a in zip(ids, urls, authors, strict=True)
        ]

    def _covers_domain(self, url: str) -> bool:
        labels = host_of(url).split(".")
        return any(
            ".".join(labels[start:]) in self._values["domain"] for start in range(len(labels))
        )


def read_takedowns(path: str | Path | None) -> TakedownList:
    """Read a list; None gives the empty one. Raises InputError naming the file and the line that is
    wrong.
    """
    return TakedownList(() if path is None else (_sound(row) for _, row in read_lines(path)))


def read_lines(path: str | Path) -> Iterator[tuple[int, Takedown | InputError]]:
    """Every row of a list with the number of its line, a wrong one as the error that tells what is
    wrong.

    Raises InputError where the file is no list at all.
    """
    try:
        text = storage.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "a takedown list must be UTF-8",
            {"file": path, "problem": error},
            "save it as CSV in UTF-8",
        ) from None
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        if next(lines, None) != HEADER:
            raise InputError(
                "not a takedown list", {"file": path}, f"its first line must be {','.join(HEADER)}"
            )
        yield from (
            (lines.line_num, _read_row(row, f"{path}, line {lines.line_num}"))
            for row in lines
            if row
        )
    except csv.Error as error:
        raise InputError(
            "a takedown list must be CSV",
            {"at": f"{path}, line {lines.line_num}", "problem": error},
            "mend or remove this line",
        ) from None


def _sound(row: Takedown | InputError) -> Takedown:
    if isinstance(row, InputError):
        raise row
    return row


def why_never_met(row: Takedown) -> str | None:
    """Why no document could be met by a row, or None: ids and pseudonyms are 32 hex digits."""
    if row.kind not in ("id", "author") or re.fullmatch("[0-9a-f]{32}", row.value):
        return None
    if row.kind == "author":
        return f"documents carry pseudonyms: give what `gristmill pseudonym {row.value}` prints"
    return f"an id has 32 hex digits in lower case, as documents carry it ({row.value})"


def write_takedowns(path: str | Path, rows: Iterable[Takedown]) -> None:
    """Write a list that `read_takedowns` reads back, sorted, atomically."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(
        [row.kind, row.value, row.reason, row.date.isoformat()] for row in sorted(set(rows))
    )
    storage.commit_bytes(path, out.getvalue().encode())


def normalize_url(url: str) -> str:
    """A URL as the list compares it: https for http, host in lower case and punycode, no default
    port, no user, no fragment, no trailing slash, and one way of percent-encoding. What is no URL
    is compared as it stands.
    """
    try:
        parts = _split(url)
        host, port = _ascii(parts.hostname or ""), parts.port
        path = "/".join(_encode(part) for part in parts.path.split("/")).rstrip("/")
        query = "".join(
            part if part in "&=+;" else _encode(part) for part in re.split("([&=+;])", parts.query)
        )
    except ValueError:
        return url.strip()
    authority = f"[{host}]" if ":" in host else host
    if port not in (None, 80, 443):
        authority = f"{authority}:{port}"
    question = f"?{query}" if query else ""
    return f"https://{authority}{path}{question}"


def host_of(url: str) -> str:
    """The host of a URL (its scheme may be missing) in lower case and punycode, without port; empty
    where it has none.
    """
    try:
        return _ascii(_split(url).hostname or "")
    except ValueError:
        return ""


def _split(url: str) -> SplitResult:
    text = url.strip()
    return urlsplit(text if re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*:)?//", text) else f"//{text}")


def _ascii(host: str) -> str:
    """A host in lower case; in punycode where it has one, so that both spellings of a
    name are one.
    """
    if re.search(r"\s", host):
        raise ValueError(f"a host cannot hold a space: {host!r}")
    host = host.lower().strip(".")
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii").lower().strip(".")
    except UnicodeError:
        return host


def _encode(part: str) -> str:
    """One piece of a path or query, percent-encoded in one way whatever it came in; encoded
    separators stay encoded.
    """
    return quote(unquote_to_bytes(part), safe="!$'()*,:@~")


def _read_row(row: Sequence[str], where: str) -> Takedown | InputError:
    if len(row) != len(HEADER):
        shape = f"write {','.join(HEADER)}, and put quotes around a value that holds a comma"
        return InputError(
            "a takedown row must have four fields", {"at": where, "given": ",".join(row)}, shape
        )
    kind, value, reason, day = (field.strip() for field in row)
    if kind not in KINDS or not value or not reason:
        what = f"a takedown needs a kind of {', '.join(KINDS)}, a value and a reason"
        return InputError(
            what,
            {"at": where, "given": ",".join(row)},
            "fill in what is missing, or remove the line",
        )
    try:
        date = datetime.date.fromisoformat(day)
    except ValueError:
        what = "a takedown's date must look like 2026-11-23"
        return InputError(
            what,
            {"at": where, "given": day},
            "write year-month-day; a spreadsheet may have changed it",
        )
    try:
        return Takedown(kind, value, reason, date)
    except ValueError as error:
        return InputError(
            str(error), {"at": where, "given": value}, "write a domain like example.org"
        )


def _normalize(kind: str, value: str) -> str:
    if kind == "url":
        return normalize_url(value)
    if kind != "domain":
        return value.strip()
    name = _ascii(value.strip().removeprefix("*."))
    if not name or re.search(r"[\s/:@*?#]", name):
        raise ValueError(f"this domain could never match a host: {value!r}")
    return name
