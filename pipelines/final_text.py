"""The text that leaves the corpus: repeated spans cut, personal data replaced by placeholders.

`final_text` says it for one text; `final_texts` does it for a column, by a kernel over Arrow's buffers.
"""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.edits import apply_edits

Ints = npt.NDArray[np.int64]

PLACEHOLDER = {
    "email": "<EMAIL>",
    "key": "<KEY>",
    "ip": "<IP>",
    "iban": "<IBAN>",
    "resident_id": "<ID>",
    "card": "<CARD>",
    "phone": "<PHONE>",
}
"""Typed and recognizable: a plausible-looking fake could be somebody's."""

PLACEHOLDER_ORDER = sorted(PLACEHOLDER, key=PLACEHOLDER.__getitem__)
"""Of two types for one span the first here is taken."""

CUT_PRIORITY = 0
PERSONAL_PRIORITY = 1
"""Of two edits that begin at one byte, a cut comes first."""

NO_PLACEHOLDER = -1
EDIT_COLUMNS = 5
"""Row, start, priority, end, number of the placeholder or NO_PLACEHOLDER for a cut."""

STRING_LIMIT = 1 << 31
"""Bytes at which the int32 offsets of an Arrow string column wrap."""


class Span(TypedDict):
    """A span of UTF-8 bytes, and what it is: the reason of a cut, or the type of personal data."""

    start: int
    end: int
    type: NotRequired[str]
    reason: NotRequired[str]


def final_text(text: str, cuts: Sequence[Span], personal: Sequence[Span], *, mask: bool) -> str:
    """Return `text` without `cuts`, and with `personal` spans masked where `mask`.

    Spans count UTF-8 bytes. A personal span that begins inside or with a cut goes with it as far as
    they overlap; what remains of it is masked.
    """
    edits = [(cut["start"], CUT_PRIORITY, cut["end"], b"") for cut in cuts]
    if mask:
        for span in personal:
            placeholder = PLACEHOLDER[span["type"]].encode()
            edits.append((span["start"], PERSONAL_PRIORITY, span["end"], placeholder))
    if not edits:
        return text
    raw = text.encode()
    parts: list[bytes] = []
    position = 0
    for start, _, end, replacement in sorted(edits):
        if end <= position:
            continue
        parts.append(raw[position : max(start, position)])
        parts.append(replacement)
        position = end
    parts.append(raw[position:])
    return b"".join(parts).decode()


def final_texts(table: pa.Table | pa.RecordBatch, *, mask: bool) -> pa.StringArray:
    """Return `final_text(...).strip()` of every row.

    Reads the columns `text`, `cuts` and, where `mask` and it is there, `personal`. Raises ValueError
    where the texts exceed 2 GiB: a split is far smaller.
    """
    text = combine_column(table["text"]).cast(pa.string())
    parts = [_list_edits(combine_column(table["cuts"]), CUT_PRIORITY)]
    if mask and "personal" in table.schema.names:
        parts.append(_list_edits(combine_column(table["personal"]), PERSONAL_PRIORITY))
    edits = np.concatenate(parts)
    if len(edits):
        by_all_columns = np.lexsort(edits.T[::-1])
        text = _edit_texts(text, edits[by_all_columns])
    return pc.utf8_trim_whitespace(text)


def count_cut_bytes(cuts: pa.ListArray) -> Ints:
    """int64 (rows,): how many bytes the spans of every row cover; shared bytes count once."""
    edits = _list_edits(cuts, CUT_PRIORITY)
    rows = edits[:, 0]
    starts = edits[:, 1]
    ends = edits[:, 3]
    order = np.lexsort((ends, starts, rows))
    # one axis for all rows: a text is shorter than 4 GiB
    row_base = rows[order] << 32
    covered_before = np.maximum.accumulate(np.r_[0, row_base + ends[order]])[:-1]
    uncovered_start = np.maximum(row_base + starts[order], covered_before)
    new_bytes = np.maximum(0, row_base + ends[order] - uncovered_start)
    return np.bincount(rows[order], new_bytes, len(cuts)).astype(np.int64)


def combine_column(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _list_edits(column: pa.ListArray, priority: int) -> Ints:
    """int64 (spans, EDIT_COLUMNS): the spans of every row."""
    rows = pc.list_parent_indices(column).to_numpy()
    spans = pc.list_flatten(column)
    if not len(spans):
        return np.zeros((0, EDIT_COLUMNS), np.int64)
    starts = pc.struct_field(spans, "start").to_numpy().astype(np.int64)
    ends = pc.struct_field(spans, "end").to_numpy().astype(np.int64)
    placeholders = np.full(len(spans), NO_PLACEHOLDER, np.int64)
    if priority == PERSONAL_PRIORITY:
        types = pc.struct_field(spans, "type").cast(pa.string())
        indices = pc.index_in(types, pa.array(PLACEHOLDER_ORDER))
        placeholders = indices.to_numpy(zero_copy_only=False).astype(np.int64)
    priorities = np.full(len(spans), priority)
    return np.column_stack([rows.astype(np.int64), starts, priorities, ends, placeholders])


def _edit_texts(text: pa.StringArray, edits: Ints) -> pa.StringArray:
    """Return the texts after `edits` (spans, EDIT_COLUMNS), which are sorted by all columns."""
    data, offsets = get_text_buffers(text)
    placeholders = pa.array([PLACEHOLDER[name] for name in PLACEHOLDER_ORDER], pa.string())
    placeholder_data, placeholder_offsets = get_text_buffers(placeholders)
    longest = int(np.diff(placeholder_offsets).max())
    capacity = int(offsets[-1] - offsets[0]) + longest * len(edits)
    if capacity >= STRING_LIMIT:
        raise ValueError(
            f"texts of {capacity} bytes do not fit a string column:"
            " make annotate.split_bytes smaller"
        )
    edited = np.empty(capacity, np.uint8)
    edited_offsets = np.zeros(len(text) + 1, np.int32)
    apply_edits(data, offsets, edits, placeholder_data, placeholder_offsets, edited, edited_offsets)
    return pa.StringArray.from_buffers(
        len(text), pa.py_buffer(edited_offsets), pa.py_buffer(edited[: edited_offsets[-1]])
    )
