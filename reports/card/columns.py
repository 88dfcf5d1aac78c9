"""The columns of what is published, as Arrow has them, as the Hub writes them in YAML, and as Croissant types them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.corpus.shards import shard_schema
from gristmill.runs.finished import FinishedRun

Json = Mapping[str, Any]
MEANINGS = {
    "input_ids": "token ids, without special tokens",
    "sentences": "places in input_ids at which sentences start",
    "id": "stable id of the document: hash of source, locator and captured bytes",
    "source": "name of the source",
    "lang": "language found in the text: ISO 639-1 where it has one, `und` if unsure",
    "bytes": "UTF-8 bytes of the text that was encoded",
    "author": "keyed hash of the author of a post or a page",
    "url": "address it was read from; it can name an author",
    "text": "the final text: repeated passages cut, personal data masked where that was asked for",
}
"""What columns are whose files do not say it, or say what they were before."""
OF_SHARDS = ("input_ids", "sentences", "bytes")
"""Those of them that mean another thing in exported text, if they are there at all."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what it is in a few words (empty where its file does not say it)."""

    name: str
    type: pa.DataType
    meaning: str


def columns_of(run: FinishedRun, schemas: Sequence[pa.Schema]) -> tuple[Column, ...]:
    """The columns of a pack run or of exported text; `schemas` (documents, decisions) say what exported ones mean."""
    if run.step == "pack":
        fields = {field.name: field for field in shard_schema(int(run.details["vocab_size"]), {})}
        return tuple(Column(name, field.type, MEANINGS[name]) for name, field in fields.items())
    known = {field.name: field for schema in schemas for field in schema}
    first = run.files("text/")[0] if run.data_files("text/") else None
    names = (
        pq.read_schema(first).names
        if first and first.suffix == ".parquet"
        else _written(run, known)
    )
    stated = {feature["name"]: feature for feature in sealed_features(run)}
    found = [known[name] for name in names if name in known]
    return tuple(
        Column(one.name, _as_json(one.type, stated.get(one.name, {})), _meaning(one))
        for one in found
    )


def _as_json(kind: pa.DataType, stated: Json) -> pa.DataType:
    """The type of a column as JSON Lines hold it: hashes, which are numbers elsewhere, are text there."""
    if stated.get("dtype") == "string":
        return pa.string()
    return pa.list_(pa.string()) if stated.get("list") == "string" else kind


def _written(run: FinishedRun, known: dict[str, pa.Field]) -> list[str]:
    """The columns that an export to JSON Lines was asked for; without any, all but what served to decide."""
    return list(
        run.manifest["config"].get("columns") or [name for name in known if name not in LEFT_OUT]
    )


LEFT_OUT = ("signature", "line_hashes", "personal", "cuts", "keep", "reasons")
"""What `export-text` leaves out unless it is asked for; a test holds it against that step."""


def _meaning(field: pa.Field) -> str:
    if field.name in MEANINGS and field.name not in OF_SHARDS:
        return MEANINGS[field.name]
    return str((field.metadata or {}).get(b"is", b"").decode())


def hub_features(columns: Sequence[Column]) -> Iterator[str]:
    """The lines of `features` in the Hub's YAML, as `datasets` writes them."""
    for column in columns:
        yield from _feature(column.name, column.type, "  ")


def _feature(name: str, kind: pa.DataType, indent: str) -> Iterator[str]:
    yield f"{indent}- name: {name}"
    yield from _typed(kind, f"{indent}  ", "dtype", "struct")


def _typed(kind: pa.DataType, indent: str, plain: str, nested: str) -> Iterator[str]:
    """A type under the key `plain`, or its fields under `nested`."""
    if pa.types.is_struct(kind):
        yield f"{indent}{nested}:"
        for field in kind:
            yield from _feature(field.name, field.type, indent)
    elif pa.types.is_list(kind):
        yield from _typed(kind.value_type, indent, "list", "list")
    else:
        yield f"{indent}{plain}: {dtype(kind)}"


def sealed_features(run: FinishedRun) -> list[Json]:
    """The types that the sealed README.md beside JSON Lines states, in the YAML form of `datasets`; empty where there is none."""
    if not run.data_files("README.md"):
        return []
    front = run.file("README.md").read_text(encoding="utf-8").split("---\n")[1]
    return list(json.loads(front)["dataset_info"]["features"])


def stated_features(features: Sequence[Json], indent: str = "  ") -> Iterator[str]:
    """The lines of `features` as they were stated: a type, a struct of fields, or a list of either."""
    for feature in features:
        yield f"{indent}- name: {feature['name']}"
        for key in ("dtype", "list", "struct"):
            if isinstance(feature.get(key), str):
                yield f"{indent}  {key}: {feature[key]}"
            elif isinstance(feature.get(key), list):
                yield f"{indent}  {key}:"
                yield from stated_features(feature[key], f"{indent}  ")
            elif key in feature:
                yield f"{indent}  {key}: {json.dumps(feature[key])}"


def dtype(kind: pa.DataType) -> str:
    """The name that `datasets` has for a plain type."""
    return {"float": "float32", "double": "float64", "halffloat": "float16"}.get(
        str(kind), str(kind)
    )


def croissant_type(kind: pa.DataType) -> str:
    """The type of schema.org that holds a plain value; hashes are told as text."""
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:DateTime" if pa.types.is_timestamp(kind) else "sc:Text"


def croissant_field(column: Column, files: str) -> dict[str, Any]:
    """A column of the FileSet `files` as a Field; members of a struct are its subFields, found by their path."""
    kind, repeated = column.type, pa.types.is_list(column.type)
    inner = kind.value_type if repeated else kind
    source = {"fileSet": {"@id": files}, "extract": {"column": column.name}}
    own = f"{files}/{column.name}"
    field: dict[str, Any] = {"@type": "cr:Field", "@id": own, "name": own}
    if column.meaning:
        field["description"] = column.meaning
    if repeated:
        field["repeated"] = True
    if not pa.types.is_struct(inner):
        return field | {"dataType": croissant_type(inner), "source": source}
    parts = [
        {
            "@type": "cr:Field",
            "@id": f"{own}/{part.name}",
            "name": f"{own}/{part.name}",
            "dataType": croissant_type(part.type),
            "source": source | {"transform": {"jsonPath": part.name}},
        }
        for part in inner
    ]
    return field | {"subField": parts}
