"""The border between Arrow and the kernels: a string array as (bytes, offsets) without copying."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def get_text_buffers(text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint8 data and int32 offsets (n + 1) of a `string` array; a null reads as an empty document.

    Sliced arrays are handled: offsets stay absolute, so the data buffer is shared.
    """
    if text.type != pa.string():
        raise TypeError(f"kernels take `string`, not {text.type}")
    if text.null_count:  # what lies under a null may have a length
        text = pc.fill_null(text, "")
    _, offsets, data = text.buffers()
    cuts = (
        np.frombuffer(offsets, np.int32, len(text) + 1, text.offset * 4)
        if offsets
        else np.zeros(1, np.int32)
    )
    values = np.frombuffer(data, np.uint8) if data and data.size else np.zeros(0, np.uint8)
    values.flags.writeable = (
        False  # as mapped files are: kernels are compiled for one kind of array only
    )
    return values, cuts
