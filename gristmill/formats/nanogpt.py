"""nanoGPT: `train.bin`, `val.bin`, `test.bin`, nothing but ids, and `meta.json` with what nanoGPT takes for granted."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gristmill import storage
from gristmill.formats.documents import Batch

NAMES = {"validation": "val"}
"""nanoGPT's names of splits where they are not ours."""


def write(folder: Path, split: str, batches: Iterable[Batch], vocabulary: int, end: int | None) -> list[Path]:
    """Write a split: ids as uint16, uint32 where the vocabulary asks for it, in the machine's order."""
    dtype = np.uint16 if vocabulary <= 1 << 16 else np.uint32
    path, tokens = folder / f"{NAMES.get(split, split)}.bin", 0
    with storage.commit(path) as file:
        for batch in batches:
            file.write(np.ascontiguousarray(batch.ids, dtype).tobytes())
            tokens += len(batch.ids)
    meta = folder / f"{path.stem}.meta.json"
    told = {"dtype": np.dtype(dtype).name, "tokens": tokens, "vocab_size": vocabulary, "end_of_text": end}
    storage.commit_json(meta, told)
    return [path, meta]
