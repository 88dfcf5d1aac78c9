"""Read JSON Lines by byte ranges: a line belongs to the split in which it begins; a bad line costs only itself."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import IO, Any

from gristmill import storage
from gristmill.hashing import document_id
from pipelines.config import Columns
from pipelines.read.fields import moment, row_fields
from pipelines.read.records import Broken, Item, Split, batches_of

MAX_LINE = 64 << 20


def read_lines(split: Split, columns: Columns) -> Iterator[Item]:
    """The records of a JSON Lines split."""
    return batches_of(_rows(split, columns))


def lines_of(file: IO[bytes], start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of every line that begins in [start, stop), without its line break."""
    file.seek(max(0, start - 1))
    if start > 0 and file.read(1) != b"\n":
        file.readline()
    at = file.tell()
    while at < stop and (line := file.readline(MAX_LINE)):
        yield at, line
        at += len(line)


def count_lines(split: Split) -> int:
    """How many lines that are not blank begin in the split: counted without parsing."""
    with storage.open_input(split.file) as file:
        return sum(1 for _, line in lines_of(file, split.start, split.stop) if line.strip())


def _rows(split: Split, columns: Columns) -> Iterator[Mapping[str, Any] | Broken]:
    origin = os.path.basename(split.origin or split.file)
    with storage.open_input(split.file) as file:
        for at, line in lines_of(file, split.start, split.stop):
            if line.strip():
                yield _row(line, origin, split.base + at, columns)


def _row(line: bytes, file: str, offset: int, columns: Columns) -> Mapping[str, Any] | Broken:
    source = file.split(".")[0]
    try:
        value = json.loads(line.decode("utf-8" if offset else "utf-8-sig"))
        if not isinstance(value, dict):
            raise ValueError(f"a line must be a JSON object, not {type(value).__name__}")
        if not isinstance(value.get(columns.text), str):
            raise ValueError(f"no string `{columns.text}` in this line")
        value[columns.text].encode()
    except UnicodeDecodeError as error:
        return Broken(file, offset, "not_utf8", f"byte {error.start} of the line: {error.reason}", source=source)
    except UnicodeEncodeError as error:
        return Broken(file, offset, "not_utf8", f"lone surrogate at character {error.start}", source=source)
    except (ValueError, RecursionError) as error:
        reason = "cut_line" if not line.endswith(b"\n") else "bad_json"
        return Broken(file, offset, reason, str(error)[:300], source=source)
    fields = row_fields(value, columns, default_source=source)
    given = value.get(columns.id) or fields["url"] or f"{file}#{offset}"
    text = value[columns.text]
    return {
        **fields,
        "id": document_id(fields["source"], str(given), text.encode()),
        "text": text,
        "published": moment(value.get(columns.published)),
        "capture": {"file": file, "offset": offset, "item": 0},
        "media": "text",
    }
