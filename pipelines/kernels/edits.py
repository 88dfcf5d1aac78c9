"""Cut and replace spans of many texts in one pass over Arrow's buffers."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, inline="always")
def _copy(data, start, stop, out, written):  # type: ignore[no-untyped-def]
    if stop <= start:
        return written
    out[written : written + stop - start] = data[start:stop]
    return written + stop - start


@njit(nogil=True, cache=True)
def apply_edits(data, cuts, edits, instead, marks, out, offsets):  # type: ignore[no-untyped-def]
    """Write the texts of `data` (cut at `cuts`) to `out` and where they end to `offsets` (texts + 1,).

    `edits` (n, 5), sorted: row, start, any, end in bytes of the row's text, and which of the texts of `instead` (cut at
    `marks`) stands there then, -1 for none. What ends inside an earlier edit has gone with it.
    """
    edit, written = 0, np.int64(0)
    for row in range(cuts.shape[0] - 1):
        begin, stop = np.int64(cuts[row]), np.int64(cuts[row + 1])
        at = begin
        while edit < edits.shape[0] and edits[edit, 0] == row:
            start, end, kind = begin + edits[edit, 1], begin + edits[edit, 3], edits[edit, 4]
            edit += 1
            if end <= at:
                continue
            written = _copy(data, at, start, out, written)
            if kind >= 0:
                written = _copy(instead, marks[kind], marks[kind + 1], out, written)
            at = end
        written = _copy(data, at, stop, out, written)
        offsets[row + 1] = written
