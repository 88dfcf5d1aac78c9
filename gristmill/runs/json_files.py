"""JSON as runs store it: readable, with sorted keys, and refused where it would not read back
equal.
"""

import json
from typing import TypeAlias

from gristmill.errors import InputError
from gristmill.hashing import canonical_json

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A JSON value."""


def encode_json(value: object) -> bytes:
    """`value` as JSON of one line a key, which ends with a newline."""
    canonical_json(value)  # refuses NaN and unknown types, which would not read back equal
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)
    return text.encode() + b"\n"


def parse_json(data: bytes, path: object) -> Json:
    """The value in `data`; raises InputError, naming `path`, for what is not JSON."""
    try:
        value: Json = json.loads(data)
    except ValueError as error:
        raise InputError(
            "this file is not valid JSON",
            {"path": path, "problem": error},
            "write it again, or give another file",
        ) from None
    return value
