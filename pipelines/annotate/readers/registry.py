"""The registry of input formats: which reader plans a file and reads its splits.

To add a format: write a module with its planner and its reader (see `input_format.InputFormat`),
declare it in `FORMATS`, and test it.
"""

from collections.abc import Iterator

from gristmill.errors import InputError
from gristmill.runs import storage
from pipelines.annotate.config import AnnotateConfig, InputColumns
from pipelines.annotate.readers.arrow import plan_arrow, read_arrow, read_arrow_schema
from pipelines.annotate.readers.dump import read_dump
from pipelines.annotate.readers.dump_pages import plan_dump
from pipelines.annotate.readers.input_format import InputFile, InputFormat, check_text_column
from pipelines.annotate.readers.lines import count_lines, read_lines
from pipelines.annotate.readers.lines_plan import plan_lines, plan_packed_lines
from pipelines.annotate.readers.parquet_plan import plan_parquet
from pipelines.annotate.readers.records import Item, Quarantined, Split
from pipelines.annotate.readers.table import read_table
from pipelines.annotate.readers.warc import read_warc
from pipelines.annotate.readers.warc_survey import iter_split_ranges

REMAINDER = "remainder"
"""The kind of a split that stands for what follows the place where an input breaks off."""


def _plan_arrow_file(file: InputFile, config: AnnotateConfig) -> Iterator[Split]:
    check_text_column(read_arrow_schema(file.path), file.path, config.columns.text)
    yield from plan_arrow(file.path, config.split_bytes)


def _plan_dump_file(file: InputFile, config: AnnotateConfig) -> Iterator[Split]:
    yield from plan_dump(
        file.path, file.size, config.split_bytes, config.slice_bytes, file.slice_stem
    )


def _plan_warc_file(file: InputFile, config: AnnotateConfig) -> Iterator[Split]:
    ranges = [(0, file.size)]
    is_large = file.size > config.split_bytes
    if is_large:
        with storage.open_input(file.path) as source:
            ranges = list(iter_split_ranges(source, file.size, config.split_bytes))
    is_indivisible = is_large and len(ranges) == 1
    note = "its records cannot be read apart: one split" if is_indivisible else ""
    for start, stop in ranges:
        yield Split(0, "warc", file.path, start, stop, note=note)


FORMATS = (
    InputFormat(
        name="parquet",
        suffixes=(".parquet",),
        split_kinds=("parquet",),
        plan=plan_parquet,
        read=read_table,
    ),
    InputFormat(
        name="lines",
        suffixes=(".jsonl", ".ndjson", ".json"),
        split_kinds=("lines",),
        plan=plan_lines,
        read=read_lines,
        count=count_lines,
    ),
    InputFormat(
        name="packed",
        suffixes=(
            ".jsonl.gz",
            ".jsonl.zst",
            ".ndjson.gz",
            ".ndjson.zst",
            ".json.gz",
            ".json.zst",
        ),
        # Its slices are JSON Lines, and are read as such.
        split_kinds=(),
        plan=plan_packed_lines,
        read=read_lines,
    ),
    InputFormat(
        name="arrow",
        suffixes=(".arrow",),
        split_kinds=("arrow",),
        plan=_plan_arrow_file,
        read=read_arrow,
    ),
    InputFormat(
        name="warc",
        suffixes=(".warc", ".warc.gz", ".warc.lz4", ".warc.zst", ".wet", ".wet.gz"),
        split_kinds=("warc",),
        plan=_plan_warc_file,
        read=lambda split, _: read_warc(split),
    ),
    InputFormat(
        name="dump",
        suffixes=(".xml", ".xml.bz2", ".xml.gz", ".xml.xz", ".xml.zst", ".bz2"),
        split_kinds=("dump", "streams"),
        plan=_plan_dump_file,
        read=lambda split, _: read_dump(split),
    ),
)

_BY_SPLIT_KIND = {kind: format for format in FORMATS for kind in format.split_kinds}


def list_suffixes() -> list[str]:
    """All suffixes of files that have a reader, sorted."""
    return sorted({suffix for format in FORMATS for suffix in format.suffixes})


def find_input_format(path: str) -> InputFormat:
    """The format of a file, by its name. Raises InputError for a name that no format has."""
    name = path.lower()
    for format in FORMATS:
        if name.endswith(format.suffixes):
            return format
    fix = f"give one of {' '.join(list_suffixes())}"
    raise InputError("no reader for this kind of file", {"file": path}, fix)


def read_split(split: Split, columns: InputColumns) -> Iterator[Item]:
    """The items of a split, by the reader of its kind."""
    if split.kind == REMAINDER:
        return iter([_quarantine_remainder(split)])
    return _BY_SPLIT_KIND[split.kind].read(split, columns)


def count_expected(split: Split) -> int:
    """How many records a split must have, counted without its reader; -1 where nothing tells."""
    format = _BY_SPLIT_KIND.get(split.kind)
    if format is None or format.count is None:
        return split.expected
    return format.count(split)


def _quarantine_remainder(split: Split) -> Quarantined:
    return Quarantined(
        split.input_name,
        split.start,
        "unknown_remainder",
        f"what follows is unknown: {split.note}",
        split.stop,
        split.source,
    )
