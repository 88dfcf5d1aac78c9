"""The README.md beside exported JSON Lines: it states the type of every column to Hugging Face `datasets`.

`datasets` takes the types of JSON from its first 10 MB and fails where a column is null there and has values later, as
titles and dates of a corpus of several sources do. Types stated in the front matter of the folder are not guessed.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from gristmill.runs import storage
from gristmill.runs.receipts import DataFile, describe_file

NAME = "README.md"
HEXADECIMAL = ("uint64", "binary")
"""What JSON holds as hexadecimal text: numbers that JavaScript would round, and bytes."""


def describe_feature(kind: pa.DataType) -> dict[str, Any]:
    """An Arrow type, as JSON Lines hold its values, in the YAML form of `datasets.Features`."""
    if pa.types.is_list(kind):
        inside = describe_feature(kind.value_type)
        return {"list": inside.get("dtype") or inside.get("struct") or inside}
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name, **describe_feature(field.type)} for field in kind]}
    if pa.types.is_fixed_size_binary(kind) or str(kind) in HEXADECIMAL:
        return {"dtype": "string"}
    names = {"float": "float32", "double": "float64"}
    return {"dtype": names.get(str(kind), str(kind))}


def format_readme(schema: pa.Schema) -> str:
    """The front matter (JSON is YAML) by which `datasets.load_dataset(folder)` opens the files of `text/`."""
    told = {
        "configs": [{"config_name": "default", "data_files": "text/*"}],
        "dataset_info": {
            "features": [{"name": field.name, **describe_feature(field.type)} for field in schema]
        },
    }
    return (
        f"---\n{json.dumps(told, indent=1)}\n---\nOpen this folder with `datasets.load_dataset`.\n"
    )


def write_readme(folder: Path, schema: pa.Schema) -> DataFile:
    """Write it into a run folder."""
    storage.commit_bytes(folder / NAME, format_readme(schema).encode())
    return describe_file(folder, NAME)
