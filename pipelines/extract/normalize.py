"""Normalize extracted text: NFC, Unix line breaks, no control characters, no trailing spaces, no runs of blank lines."""

import re
import unicodedata

_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\ufff9-\ufffb\ud800-\udfff]")
_SPACES = re.compile(r"[^\S\n]{2,}|[^\S\n ]")
_BLANK_LINES = re.compile(r"\n{3,}")


def normalize(text: str) -> str:
    """The normal form; normalizing twice changes nothing more.

    Most texts have nothing to change, so each slow pattern runs only where a fast search says that it may match: no
    character of the first two, and no white space but the space, is printable.
    """
    if text.replace("\n", "").isprintable():
        text = unicodedata.normalize("NFC", text)
        text = _SPACES.sub(" ", text) if "  " in text else text
    else:
        text = _CONTROL.sub("", _LINE_BREAKS.sub("\n", text))
        text = _SPACES.sub(" ", unicodedata.normalize("NFC", text))
    text = text.replace(" \n", "\n").replace("\n ", "\n")
    return (_BLANK_LINES.sub("\n\n", text) if "\n\n\n" in text else text).strip()
