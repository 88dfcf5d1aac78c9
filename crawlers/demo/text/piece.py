"""One piece of demo text: a titled list of paragraphs in one language."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """A titled text; `topic` is the wiki category or news section it is served under."""

    slug: str
    title: str
    lang: str
    kind: str
    topic: str
    paragraphs: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole prose, paragraphs set apart by a blank line."""
        return "\n\n".join(self.paragraphs)


def make_slug(words: str) -> str:
    """Make a short name for URLs: `A letter from Carrow` -> `a-letter-from-carrow`."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
