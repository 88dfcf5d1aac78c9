"""Cut and replace spans of many texts in one pass over Arrow's buffers.

In: the bytes of a batch and a sorted list of edits. Out: the bytes of the edited texts and where
each ends.
"""

from numba import int64

from pipelines.kernels.arrays import Bytes, Int32s, Int64s
from pipelines.kernels.compile import compile_kernel, inline_kernel

# Columns of an edit.
ROW, START, END, REPLACEMENT = 0, 1, 3, 4


@inline_kernel
def _copy_bytes(data: Bytes, start: int, stop: int, out: Bytes, written: int) -> int:
    """Append data[start:stop] to out[:written]; returns the bytes written then."""
    if stop <= start:
        return written
    out[written : written + stop - start] = data[start:stop]
    return written + stop - start


@compile_kernel
def apply_edits(
    data: Bytes,
    cuts: Int32s,
    edits: Int64s,
    replacements: Bytes,
    replacement_cuts: Int32s,
    out: Bytes,
    offsets: Int32s,
) -> None:
    """Write the texts of `data` (cut at `cuts`) to `out` and where they end to `offsets` (texts +
    1,).

    `edits` (n, 5), sorted: row, start, any, end in bytes of the row's text, and the number of
    the text in `replacements` (cut at `replacement_cuts`) that is put there, -1 for none. An
    edit that ends inside an earlier one is skipped: its text is gone already. Reference:
    `tests/pipelines/test_final_text.py`.
    """
    edit = 0
    written = int64(0)
    for row in range(cuts.shape[0] - 1):
        begin = int64(cuts[row])
        stop = int64(cuts[row + 1])
        copied = begin
        while edit < edits.shape[0] and edits[edit, ROW] == row:
            start = begin + edits[edit, START]
            end = begin + edits[edit, END]
            replacement = edits[edit, REPLACEMENT]
            edit += 1
            if end <= copied:
                continue
            written = _copy_bytes(data, copied, start, out, written)
            if replacement >= 0:
                first = replacement_cuts[replacement]
                last = replacement_cuts[replacement + 1]
                written = _copy_bytes(replacements, first, last, out, written)
            copied = end
        written = _copy_bytes(data, copied, stop, out, written)
        offsets[row + 1] = written
