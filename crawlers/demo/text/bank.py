"""The sentence patterns of one language, read from the file beside this one."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

Patterns = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternBank:
    """Names, and the patterns for every kind of piece; `first_names` by pronoun."""

    first_names: dict[str, Patterns]
    last_names: Patterns
    towns: Patterns
    rivers: Patterns
    openings: Patterns
    childhood: Patterns
    turns: Patterns
    views: Patterns
    closings: Patterns
    town_facts: Patterns
    news_leads: Patterns
    news_body: Patterns
    method_openings: Patterns
    method_links: Patterns
    method_asides: Patterns
    letters: Patterns


def read_bank(language: str) -> PatternBank:
    """Read the patterns of `english` or `chinese`."""
    path = Path(__file__).with_name(f"{language}_patterns.toml")
    patterns = tomllib.loads(path.read_text(encoding="utf-8"))
    first_names = {pronoun: tuple(names) for pronoun, names in patterns.pop("first_names").items()}
    return PatternBank(
        first_names=first_names, **{name: tuple(lines) for name, lines in patterns.items()}
    )
