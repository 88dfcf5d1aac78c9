"""nanoGPT: `train.bin`, `val.bin`, `test.bin`, nothing but ids, each with a `.meta.json` of what nanoGPT takes for granted."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gristmill.runs import storage
from reports.shards.formats.documents import Batch

NAMES = {"validation": "val"}
"""nanoGPT's names of splits where they are not ours."""


def write(
    folder: Path, split: str, batches: Iterable[Batch], vocabulary: int, end: int | None
) -> list[Path]:
    """Write a split: ids as uint16, uint32 where the vocabulary asks for it, in the machine's order."""
    dtype = np.uint16 if vocabulary <= 1 << 16 else np.uint32
    path, tokens = folder / f"{NAMES.get(split, split)}.bin", 0
    meta = folder / f"{path.stem}.meta.json"
    meta.unlink(missing_ok=True)  # killed in between, it must not name the type of older ids
    with storage.open_for_commit(path) as file:
        for batch in batches:
            file.write(np.ascontiguousarray(batch.ids, dtype).tobytes())
            tokens += len(batch.ids)
    told = {
        "dtype": np.dtype(dtype).name,
        "tokens": tokens,
        "vocab_size": vocabulary,
        "end_of_text": end,
    }
    storage.commit_json(meta, told)
    return [path, meta]
