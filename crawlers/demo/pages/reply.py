"""One prepared answer of the demo site."""

from __future__ import annotations

from dataclasses import dataclass

HTML = "text/html; charset=utf-8"
XML = "application/xml; charset=utf-8"
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and bytes. `cut` closes the connection before the promised end; `busy` answers 429 the first time."""

    body: bytes
    content_type: str = HTML
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    busy: bool = False
