"""Plan JSON Lines: plain files by bytes, packed ones by the bytes of the slices they inflate to."""

import json
import os
from collections.abc import Iterator

from gristmill.errors import InputError
from gristmill.runs import storage
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.readers.compressed import inflate
from pipelines.annotate.readers.input_format import (
    NAME_THE_COLUMN,
    InputFile,
    iter_even_splits,
)
from pipelines.annotate.readers.records import Split

PEEK_BYTES, PEEK_LINES = 1 << 20, 100
"""How far into a file its text field is looked for before anything is read."""
SHOWN_FIELDS = 20
"""How many fields of a file an error message names."""


def plan_lines(file: InputFile, config: AnnotateConfig) -> Iterator[Split]:
    """The splits of a file that is not packed."""
    check_text_field(file.path, config.columns.text)
    yield from iter_even_splits(Split(0, "lines", file.path, 0, file.size), config.split_bytes)


def plan_packed_lines(file: InputFile, config: AnnotateConfig) -> Iterator[Split]:
    """The splits of a packed file, of its slices; where the stream breaks, a remainder follows."""
    slices, remainder = inflate(file.path, file.slice_stem, config.slice_bytes)
    if not slices and remainder is None:
        yield Split(0, "lines", file.path, 0, 0)
    if slices:
        check_text_field(slices[0].path, config.columns.text, file.path)
    for piece in slices:
        slice_split = Split(
            0, "lines", piece.path, 0, piece.size, origin=file.path, base=piece.start
        )
        yield from iter_even_splits(slice_split, config.split_bytes)
    if remainder is not None:
        note = f"{os.path.basename(file.path)}: {remainder.why}"
        yield Split(
            0,
            "remainder",
            file.path,
            remainder.offset,
            remainder.compressed_offset,
            expected=1,
            note=note,
        )


def check_text_field(path: str, text: str, origin: str = "") -> None:
    """Raise InputError where none of the first objects of a JSON Lines file has the field `text`."""
    with storage.open_input(path) as file:
        lines = file.read(PEEK_BYTES).splitlines()[:PEEK_LINES]
    values = [_parse_json(line) for line in lines]
    objects = [value for value in values if isinstance(value, dict)]
    if not objects or any(text in value for value in objects):
        return
    fields = sorted({str(key) for value in objects for key in value})
    where = {
        "file": origin or path,
        "wanted": text,
        "there are": ", ".join(fields[:SHOWN_FIELDS]),
    }
    raise InputError("the lines of this file have no text field", where, NAME_THE_COLUMN)


def _parse_json(line: bytes) -> object:
    """The value of a line, or None for what is not JSON: the reader quarantines each such line."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
