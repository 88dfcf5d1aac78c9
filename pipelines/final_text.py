"""The text that leaves the corpus: repeated spans cut, personal data replaced by typed placeholders.

`final_text` says it for one text; `final_texts` does it for a column, by a kernel over Arrow's buffers.
"""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.edits import apply_edits

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
ORDERED = sorted(PLACEHOLDER, key=PLACEHOLDER.__getitem__)
"""Of two types for one span the first here is taken."""


class Span(TypedDict):
    """A span of UTF-8 bytes, and what it is: the reason of a cut, or the type of personal data."""

    start: int
    end: int
    type: NotRequired[str]
    reason: NotRequired[str]


def final_text(text: str, cuts: Sequence[Span], personal: Sequence[Span], *, mask: bool) -> str:
    """`text` without `cuts`, and with `personal` spans masked where `mask`; spans count UTF-8 bytes.

    A personal span that begins inside or with a cut goes with it as far as they overlap; what is left is masked.
    """
    if not cuts and not (mask and personal):
        return text
    raw = text.encode()
    edits = [(cut["start"], 0, cut["end"], b"") for cut in cuts]
    if mask:
        edits += [
            (span["start"], 1, span["end"], PLACEHOLDER[span["type"]].encode()) for span in personal
        ]
    pieces, at = [], 0
    for start, _, end, instead in sorted(edits):
        if end <= at:
            continue
        pieces += [raw[at : max(start, at)], instead]
        at = end
    pieces.append(raw[at:])
    return b"".join(pieces).decode()


def final_texts(table: pa.Table | pa.RecordBatch, *, mask: bool) -> pa.StringArray:
    """`final_text(...).strip()` of every row, by the columns `text`, `cuts` and, where `mask` and looked for, `personal`.

    Raises ValueError where the texts exceed 2 GiB: a split is far smaller.
    """
    text = combine_column(table["text"]).cast(pa.string())
    edits = [_spans(combine_column(table["cuts"]), 0)]
    if mask and "personal" in table.schema.names:
        edits.append(_spans(combine_column(table["personal"]), 1))
    rows = np.concatenate(edits)
    if len(rows):
        text = _edited(text, rows[np.lexsort(rows.T[::-1])])
    return pc.utf8_trim_whitespace(text)


def count_cut_bytes(cuts: pa.ListArray) -> np.ndarray:
    """int64 (rows,): how many bytes the spans of every row cover; what two of them share counts once."""
    rows, start, _, end, _ = _spans(cuts, 0).T
    order = np.lexsort((end, start, rows))
    base = rows[order] << 32  # one axis for all rows: a text is shorter than 4 GiB
    covered = np.maximum.accumulate(np.r_[0, base + end[order]])
    new = np.maximum(0, base + end[order] - np.maximum(base + start[order], covered[:-1]))
    return np.bincount(rows[order], new, len(cuts)).astype(np.int64)


def combine_column(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _spans(column: pa.ListArray, order: int) -> np.ndarray:
    """int64 (spans, 5): row, start, `order`, end, number of the placeholder or -1 for a cut."""
    rows, spans = pc.list_parent_indices(column).to_numpy(), pc.list_flatten(column)
    if not len(spans):
        return np.zeros((0, 5), np.int64)
    starts, ends = (
        pc.struct_field(spans, name).to_numpy().astype(np.int64) for name in ("start", "end")
    )
    kinds = np.full(len(spans), -1, np.int64)
    if order:
        names = pc.struct_field(spans, "type").cast(pa.string())
        kinds = (
            pc.index_in(names, pa.array(ORDERED)).to_numpy(zero_copy_only=False).astype(np.int64)
        )
    return np.column_stack([rows.astype(np.int64), starts, np.full(len(spans), order), ends, kinds])


def _edited(text: pa.StringArray, edits: np.ndarray) -> pa.StringArray:
    """The texts after `edits`, which are sorted."""
    data, cuts = get_text_buffers(text)
    instead, marks = get_text_buffers(
        pa.array([PLACEHOLDER[name] for name in ORDERED], pa.string())
    )
    size = int(cuts[-1] - cuts[0]) + int(np.diff(marks).max()) * len(edits)
    if size >= 1 << 31:
        raise ValueError(
            f"texts of {size} bytes do not fit a string column: make annotate.split_bytes smaller"
        )
    out, offsets = np.empty(size, np.uint8), np.zeros(len(text) + 1, np.int32)
    apply_edits(data, cuts, edits, instead, marks, out, offsets)
    return pa.StringArray.from_buffers(
        len(text), pa.py_buffer(offsets), pa.py_buffer(out[: offsets[-1]])
    )
