"""Read JSON Lines by byte ranges: a line belongs to the split in which it begins; a bad line costs only itself."""

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from gristmill.hashing import document_id
from gristmill.runs import storage
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers.fields import parse_moment, read_row_fields
from pipelines.annotate.readers.records import Item, Quarantined, Split, iter_batches

MAX_LINE = 64 << 20
"""Bytes of a line with its break; a longer one is a broken record, and is never held whole."""
STEP = 1 << 20


def read_lines(split: Split, columns: InputColumns) -> Iterator[Item]:
    """The records of a JSON Lines split."""
    return iter_batches(_iter_rows(split, columns))


def iter_lines(file: IO[bytes], start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of every line that begins in [start, stop); of one above MAX_LINE only the beginning."""
    file.seek(max(0, start - 1))
    if start > 0:
        _skip_line(file, stop)
    while (at := file.tell()) < stop and (line := file.readline(MAX_LINE + 1)):
        yield at, line
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            _skip_line(file, stop)


def _skip_line(file: IO[bytes], stop: int) -> None:
    """Move behind the next line break, or to `stop`, whichever is first, without holding what is passed."""
    while (room := stop - file.tell()) > 0 and (piece := file.readline(min(room, STEP))):
        if piece.endswith(b"\n"):
            return


def count_lines(split: Split) -> int:
    """How many lines that are not blank begin in the split: counted without parsing."""
    with storage.open_input(split.file) as file:
        return sum(1 for _, line in iter_lines(file, split.start, split.stop) if line.strip())


def _iter_rows(split: Split, columns: InputColumns) -> Iterator[Mapping[str, Any] | Quarantined]:
    file_name, source = split.input_name, split.source
    with storage.open_input(split.file) as file:
        for at, line in iter_lines(file, split.start, split.stop):
            if line.strip():
                yield _parse_row(line, file_name, source, split.base + at, columns)


def _parse_row(
    line: bytes, file: str, source: str, offset: int, columns: InputColumns
) -> Mapping[str, Any] | Quarantined:
    if len(line) > MAX_LINE:
        return Quarantined(
            file,
            offset,
            "long_line",
            f"more than {MAX_LINE} bytes without a line break",
            source=source,
        )
    try:
        value = json.loads(line.decode("utf-8" if offset else "utf-8-sig"))
        if not isinstance(value, dict):
            raise ValueError(f"a line must be a JSON object, not {type(value).__name__}")
        if not isinstance(value.get(columns.text), str):
            raise ValueError(f"no string `{columns.text}` in this line")
        return _make_record(value, file, source, offset, columns)
    except UnicodeDecodeError as error:
        return Quarantined(
            file,
            offset,
            "not_utf8",
            f"byte {error.start} of the line: {error.reason}",
            source=source,
        )
    except UnicodeEncodeError as error:
        return Quarantined(
            file, offset, "not_utf8", f"lone surrogate at character {error.start}", source=source
        )
    except (ValueError, RecursionError) as error:
        reason = "cut_line" if not line.endswith(b"\n") else "bad_json"
        return Quarantined(file, offset, reason, str(error)[:300], source=source)


def _make_record(
    value: Mapping[str, Any], file: str, source: str, offset: int, columns: InputColumns
) -> Mapping[str, Any]:
    text = value[columns.text]
    content = text.encode()
    fields = read_row_fields(value, columns, default_source=source)
    given = value.get(columns.id) or fields["url"] or f"{file}#{offset}"
    return {
        **fields,
        "id": document_id(fields["source"], str(given), content),
        "text": text,
        "published": parse_moment(value.get(columns.published)),
        "capture": {"file": file, "offset": offset, "item": 0},
        "media": "text",
    }
