"""Shards: Arrow IPC stream files of token ids that anybody can open, written atomically and
verified when opened.

The layout is what Hugging Face `datasets` reads: folders of `data-00000-of-00010.arrow`,
uncompressed, with `state.json` and `dataset_info.json` beside them. `datasets` drops schema
metadata, so the manifest repeats it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from gristmill.errors import InputError
from gristmill.runs import storage

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""Continuation marker and zero length. A stream cut at a message boundary reads as fewer rows
without any error.
"""

DATASET_DICT = "dataset_dict.json"
"""Beside the folders of the splits, never in one."""

REDO = (
    "copy the run of this shard again from where it is whole, "
    "or remove the run's folder and pack again"
)


def shard_schema(vocab_size: int, metadata: Mapping[str, str]) -> pa.Schema:
    """The columns of a shard: one row a document, ids as uint16 where the vocabulary allows it."""
    ids = pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()
    return pa.schema(
        [
            pa.field("input_ids", pa.list_(ids), nullable=False),
            pa.field("sentences", pa.list_(pa.uint32()), nullable=False),
            pa.field("id", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("lang", pa.string(), nullable=False),
            pa.field("bytes", pa.uint32(), nullable=False),
        ],
        metadata={"gristmill.format": "shards/1", **metadata},
    )


def shard_name(number: int, count: int) -> str:
    """The file name of shard `number` of `count`."""
    return f"data-{number:05d}-of-{count:05d}.arrow"


def write_shard(path: str | Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Write one shard atomically; returns its rows."""
    rows = 0
    with storage.open_for_commit(path) as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
        if not rows:  # `datasets` cannot open a stream without any batch
            writer.write_batch(pa.RecordBatch.from_pylist([], schema))
    return rows


def open_shard(path: str | Path, *, rows: int | None = None, size: int | None = None) -> pa.Table:
    """Open a local shard memory-mapped, without copying its buffers.

    Raises InputError where the size or the rows differ from those given (the manifest's), or the
    end-of-stream marker is missing, as in a file that was cut.
    """
    actual = Path(path).stat().st_size if Path(path).is_file() else -1
    if actual < 0:
        raise InputError("there is no such shard", {"shard": path}, REDO)
    if size is not None and actual != size:
        raise InputError(
            "a shard has another size than its manifest says",
            {"shard": path, "bytes": f"{actual}, not {size}"},
            REDO,
        )
    source = pa.memory_map(str(path))
    try:
        if (
            actual < len(END_OF_STREAM)
            or source.read_at(len(END_OF_STREAM), actual - len(END_OF_STREAM)) != END_OF_STREAM
        ):
            raise InputError(
                "a shard is cut off: its end-of-stream marker is missing", {"shard": path}, REDO
            )
        table = pa.ipc.open_stream(source).read_all()
        # Cheap; without it a view of buffers shorter than their offsets say reads foreign memory.
        table.validate()
        # Something may follow: Arrow would read the first of two streams and be content.
        if source.tell() != actual:
            raise InputError("a shard does not end where its stream ends", {"shard": path}, REDO)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            "a shard cannot be read as an Arrow stream", {"shard": path, "problem": error}, REDO
        ) from None
    if rows is not None and table.num_rows != rows:
        raise InputError(
            "a shard has another number of rows than its manifest says",
            {"shard": path, "rows": table.num_rows},
            REDO,
        )
    return table


def token_view(table: pa.Table) -> list[tuple[np.ndarray, np.ndarray]]:
    """The ids of a shard without copying: per batch (values, offsets), document i being
    values[offsets[i]:offsets[i+1]].
    """
    views = []
    for chunk in table["input_ids"].chunks:
        views.append(
            (
                chunk.values.to_numpy(zero_copy_only=True),
                chunk.offsets.to_numpy(zero_copy_only=True),
            )
        )
    return views


def write_dataset_files(folder: Path, names: Sequence[str], *, fingerprint: str) -> None:
    """Write the two small files that make `datasets.load_from_disk` open a folder of shards."""
    state: dict[str, object] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": fingerprint[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": folder.name,
    }
    storage.commit_json(folder / "state.json", state)
    storage.commit_json(folder / "dataset_info.json", {})


def write_dataset_dict(folder: Path, splits: Sequence[str]) -> None:
    """Write the file that makes `datasets.load_from_disk` open a folder of splits as a
    DatasetDict.
    """
    storage.commit_json(folder / DATASET_DICT, {"splits": list(splits)})
