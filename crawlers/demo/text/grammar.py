"""Turns sentence patterns into sentences: `[this|that]` is a free choice, `{name}` is a fact of the piece being written."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_FACT = re.compile(r"\{(\w+)\}")

PRONOUNS: dict[str, dict[str, str]] = {
    "she": {
        "s": "she",
        "o": "her",
        "p": "her",
        "r": "herself",
        "is": "is",
        "was": "was",
        "has": "has",
        "z": "s",
    },
    "he": {
        "s": "he",
        "o": "him",
        "p": "his",
        "r": "himself",
        "is": "is",
        "was": "was",
        "has": "has",
        "z": "s",
    },
    "they": {
        "s": "they",
        "o": "them",
        "p": "their",
        "r": "themself",
        "is": "are",
        "was": "were",
        "has": "have",
        "z": "",
    },
}


def pronoun_facts(pronoun: str) -> dict[str, str]:
    """The facts of one English pronoun: `{s}` she, `{o}` her, `{p}` her, capitals `{S}` and `{P}`, verb endings `{z}`."""
    forms = PRONOUNS[pronoun]
    return {**forms, "S": forms["s"].capitalize(), "P": forms["p"].capitalize()}


def expand(pattern: str, rng: random.Random, facts: Mapping[str, str]) -> str:
    """Write one sentence: settle the choices from the inside out, then put in the facts."""
    text = pattern
    while found := _CHOICE.search(text):
        text = text[: found.start()] + rng.choice(found.group(1).split("|")) + text[found.end() :]
    return _FACT.sub(lambda match: facts[match.group(1)], text)


def several(
    patterns: Sequence[str], count: int, rng: random.Random, facts: Mapping[str, str]
) -> list[str]:
    """Write `count` different patterns in random order (all of them where there are fewer)."""
    return [
        expand(pattern, rng, facts) for pattern in rng.sample(patterns, min(count, len(patterns)))
    ]


def in_order(
    patterns: Sequence[str], count: int, rng: random.Random, facts: Mapping[str, str]
) -> list[str]:
    """Write `count` of the patterns in the order in which they stand, so that steps stay steps."""
    chosen = sorted(rng.sample(range(len(patterns)), min(count, len(patterns))))
    return [expand(patterns[index], rng, facts) for index in chosen]


def paragraphs(sentences: Iterable[str], rng: random.Random, joiner: str) -> list[str]:
    """Break sentences into paragraphs of three to five."""
    rest, out = list(sentences), []
    while rest:
        size = rng.randint(3, 5)
        size = len(rest) if len(rest) - size < 2 else size
        out.append(joiner.join(rest[:size]))
        rest = rest[size:]
    return out
