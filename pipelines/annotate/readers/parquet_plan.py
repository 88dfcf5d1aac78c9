"""Plan Parquet files: ranges of rows from their row groups, read from the footer alone."""

import itertools
import math
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.errors import InputError
from gristmill.runs import storage
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.readers.input_format import InputFile, check_text_column
from pipelines.annotate.readers.records import Split


def plan_parquet(file: InputFile, config: AnnotateConfig) -> Iterator[Split]:
    """The splits of a Parquet file. Raises InputError where it is damaged or has no text column."""
    path = file.path
    with storage.open_input(path) as source:
        try:
            table = pq.ParquetFile(source)
            schema, metadata = table.schema_arrow, table.metadata
        except (pa.ArrowInvalid, OSError) as error:
            where = {"file": path, "problem": error}
            raise InputError("this is no readable Parquet file", where) from None
    check_text_column(schema, path, config.columns.text)
    if not metadata.num_rows:
        yield Split(0, "parquet", path, 0, 0, expected=0)
    row_groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = [(group.num_rows, group.total_byte_size) for group in row_groups]
    for start, stop in iter_row_ranges(sizes, config.split_bytes):
        yield Split(0, "parquet", path, start, stop, expected=stop - start)


def iter_row_ranges(
    groups: Sequence[tuple[int, int]], split_bytes: int
) -> Iterator[tuple[int, int]]:
    """Ranges of rows of about `split_bytes`, from the (rows, bytes) of each row group.

    Small row groups are joined, large ones are cut evenly.
    """
    start = stop = held_bytes = 0
    for rows, size in groups:
        if start < stop and held_bytes + size > split_bytes:
            yield start, stop
            start, held_bytes = stop, 0
        stop += rows
        held_bytes += size
        # More than a split is held: it is this one group, which began at `start`.
        if held_bytes > split_bytes:
            count = math.ceil(held_bytes / split_bytes)
            bounds = [start + (stop - start) * number // count for number in range(count + 1)]
            for low, high in itertools.pairwise(bounds):
                if high > low:
                    yield low, high
            start, held_bytes = stop, 0
    if start < stop:
        yield start, stop
