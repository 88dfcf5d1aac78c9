"""Train from token shards with torch alone: windows of a fixed length over the documents of a split, without copying it.

    python examples/torch_dataset.py runs/pack-e41a0c7d9f52/train --length 256 --batch 8

Needs torch, numpy and pyarrow, not Gristmill: shards are Arrow stream files that map into memory. The documents of a split are
shuffled already; a window is `length + 1` tokens of them, one after the other, with an end-of-text id between two.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, Dataset

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""A stream that was cut between two messages reads as fewer documents without any error: whole ones end so."""


def _ending(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - len(END_OF_STREAM)))
        return file.read()


class TokenWindows(Dataset):
    """Inputs and targets, int64 (length,) each; `end` is the id put behind every document (3 in tokenizers of Gristmill)."""

    def __init__(self, folder: str, length: int, *, end: int = 3) -> None:
        self.folder, self.length, self.end = folder, length, end
        self._open()

    def _open(self) -> None:
        paths = sorted(Path(self.folder).glob("data-*.arrow"))
        if not paths:
            raise FileNotFoundError(
                f"no shards in {self.folder}: give the folder of a split, as .../train"
            )
        if cut := [path for path in paths if _ending(path) != END_OF_STREAM]:
            raise ValueError(f"{cut[0]} is cut off: see `gristmill shards verify`")
        tables = [pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in paths]
        chunks = [chunk for table in tables for chunk in table["input_ids"].chunks]
        self._values = [chunk.values.to_numpy() for chunk in chunks]  # views of the mapped files
        self._offsets = [chunk.offsets.to_numpy() for chunk in chunks]
        lengths = np.concatenate([np.diff(offsets) + 1 for offsets in self._offsets])
        self._starts = np.r_[
            0, np.cumsum(lengths)
        ]  # of every document in the stream, its end id counted
        self._first = np.cumsum([0, *(len(offsets) - 1 for offsets in self._offsets)])

    def __len__(self) -> int:
        return max(0, (int(self._starts[-1]) - 1) // self.length)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        begin = number * self.length
        tokens = torch.from_numpy(self._read(begin, begin + self.length + 1))
        return tokens[:-1], tokens[1:]

    def _read(self, begin: int, stop: int) -> np.ndarray:
        """int64 (stop - begin,): this stretch of the stream."""
        out = np.full(stop - begin, self.end, np.int64)
        document = int(np.searchsorted(self._starts, begin, side="right")) - 1
        while document < len(self._starts) - 1 and self._starts[document] < stop:
            chunk = int(np.searchsorted(self._first, document, side="right")) - 1
            row, start = document - self._first[chunk], int(self._starts[document])
            ids = self._values[chunk][self._offsets[chunk][row] : self._offsets[chunk][row + 1]]
            low, high = max(begin, start), min(stop, start + len(ids))
            if low < high:
                out[low - begin : high - begin] = ids[low - start : high - start]
            document += 1
        return out

    def __getstate__(self) -> tuple[str, int, int]:
        return self.folder, self.length, self.end  # a worker process maps the files itself

    def __setstate__(self, state: tuple[str, int, int]) -> None:
        self.folder, self.length, self.end = state
        self._open()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument(
        "--end",
        type=int,
        default=3,
        help="the id between documents; another in imported tokenizers",
    )
    options = parser.parse_args()
    windows = TokenWindows(options.folder, options.length, end=options.end)
    if not len(windows):
        raise SystemExit(
            f"{options.folder} is shorter than one window of {options.length} tokens: give a smaller --length"
        )
    loader = DataLoader(
        windows, batch_size=options.batch, shuffle=True, num_workers=options.workers
    )
    for inputs, targets in loader:
        print(
            f"{len(windows)} windows; a batch: {tuple(inputs.shape)}, next token of the first: {int(targets[0, 0])}"
        )
        break


if __name__ == "__main__":
    main()
