"""The JSON of a server's answer: decoded once, then read by paths that tolerate any shape."""

import json
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

LONGEST_PROBLEM = 200
"""Characters of a parser's message that are kept: it may quote the whole answer."""


class UnreadableAnswer(ValueError):
    """An answer is not in the form of its format; the message says how it differs."""


def parse_json(body: bytes) -> list[JsonValue] | dict[str, JsonValue]:
    """Parse a body of UTF-8 JSON. Raises UnreadableAnswer for what is not an object or a list."""
    try:
        value = json.loads(body.decode("utf-8"))
    # RecursionError: the parser of the standard library recurses for each nested bracket.
    except (ValueError, RecursionError) as error:
        problem = str(error)[:LONGEST_PROBLEM]
        raise UnreadableAnswer(f"not JSON: {problem}") from None
    if not isinstance(value, (dict, list)):
        raise UnreadableAnswer("this answer is neither an object nor a list")
    return value


def get_path(value: JsonValue, *keys: str) -> JsonValue:
    """The value at a path of keys, or None where the path leaves the objects of `value`."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def get_error_code(answer: JsonValue) -> str | None:
    """The code of the error that a server answered with, `unnamed` without a code, else None.

    Servers answer so with status 200 too: a MediaWiki whose replicas lag does.
    """
    error = get_path(answer, "error") or get_path(answer, "errors")
    if not error:
        return None
    code = get_path(error, "code")
    return str(code) if code else "unnamed"
