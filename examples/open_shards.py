"""Open token shards in four ways: `datasets` three times, and pyarrow alone.

python examples/open_shards.py runs/pack-e41a0c7d9f52/train
"""

import sys
from pathlib import Path

import datasets
import pyarrow as pa


def main() -> None:
    folder = Path(sys.argv[1])
    files = sorted(str(path) for path in folder.glob("data-*.arrow"))
    mapped = datasets.load_from_disk(str(folder))
    print("load_from_disk          ", len(mapped), "documents;", mapped[0]["id"], len(mapped[0]["input_ids"]), "tokens")
    print("Dataset.from_file       ", len(datasets.Dataset.from_file(files[0])), "documents in the first shard")
    loaded = datasets.load_dataset("arrow", data_files=files, split="train")
    print('load_dataset("arrow")   ', len(loaded), "documents")
    table = pa.concat_tables(pa.ipc.open_stream(pa.memory_map(path)).read_all() for path in files)
    print(
        "pyarrow                 ",
        table.num_rows,
        "documents,",
        len(table["input_ids"].combine_chunks().values),
        "tokens",
    )


if __name__ == "__main__":
    main()
