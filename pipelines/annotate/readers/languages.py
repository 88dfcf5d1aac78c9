"""The language that a page or source states, as a BCP 47 primary subtag: `zh-CN`, `zh_TW`, `zho` and `cmn_Hani` are `zh`."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path

_TAG = re.compile(r"([A-Za-z]{2,3})(?:[-_.@][A-Za-z0-9._@=-]*)?")
_NO_LANGUAGE = frozenset(("und", "mul", "mis", "zxx"))
"""Codes of ISO 639-2 that say that there is no one language, or that nobody knows."""


@lru_cache(maxsize=1)
def load_shortest_codes() -> dict[str, str]:
    """The two-letter code of every code in languages.toml, and of those themselves."""
    lists = tomllib.loads((Path(__file__).parent / "languages.toml").read_text(encoding="utf-8"))
    pairs = dict(pair.split(":") for text in lists.values() for pair in text.split())
    return {short: short for short in pairs.values()} | pairs


def parse_language(stated: object) -> str | None:
    """The primary subtag, in lower case and in its shortest form, of a tag, a locale or a code of ISO 639.

    None for what states no one language: another type, a list, a name, `und`, two letters that are no code (`jp`).
    Members of a macrolanguage get its code, as `lang` has it. Three letters without a shorter code are taken as they are.
    """
    match = _TAG.fullmatch(stated.strip()) if isinstance(stated, str) else None
    code = match[1].lower() if match else ""
    known = load_shortest_codes().get(code)
    return known or (code if len(code) == 3 and code not in _NO_LANGUAGE else None)
