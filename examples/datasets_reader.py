"""Open the token shards of a split with Hugging Face `datasets`, in its three ways.

    python examples/datasets_reader.py runs/pack-e41a0c7d9f52/train

Needs datasets, not Gristmill. The first two map the files into memory where they lie; the third copies them into its cache.
A mapped data set writes what `map` and `filter` make beside its files: give them `cache_file_name`, or shards get strangers.
"""

import sys
from pathlib import Path

import datasets


def main() -> None:
    folder = Path(sys.argv[1])
    files = sorted(str(path) for path in folder.glob("data-*.arrow"))
    mapped = datasets.load_from_disk(str(folder))
    print(
        "load_from_disk          ",
        len(mapped),
        "documents;",
        mapped[0]["id"],
        len(mapped[0]["input_ids"]),
        "tokens",
    )
    print(
        "Dataset.from_file       ",
        len(datasets.Dataset.from_file(files[0])),
        "documents in the first shard",
    )
    loaded = datasets.load_dataset("arrow", data_files=files, split="train")
    print('load_dataset("arrow")   ', len(loaded), "documents")


if __name__ == "__main__":
    main()
