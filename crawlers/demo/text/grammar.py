"""Turns sentence patterns into sentences.

`[this|that]` is a free choice, `{name}` a fact of the piece being written.
"""

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


def list_pronoun_forms(pronoun: str) -> dict[str, str]:
    """Return the facts of one English pronoun.

    `{s}` she, `{o}` her, `{p}` her, `{S}` and `{P}` with capitals, `{z}` the ending of a verb.
    """
    forms = PRONOUNS[pronoun]
    return {**forms, "S": forms["s"].capitalize(), "P": forms["p"].capitalize()}


def expand(pattern: str, rng: random.Random, facts: Mapping[str, str]) -> str:
    """Write one sentence: make the choices from the inside out, then put in the facts."""
    text = pattern
    # The pattern matches the innermost brackets only, so choices may stand inside of choices.
    while choice := _CHOICE.search(text):
        option = rng.choice(choice.group(1).split("|"))
        text = text[: choice.start()] + option + text[choice.end() :]
    return _FACT.sub(lambda match: facts[match.group(1)], text)


def expand_sample(
    patterns: Sequence[str], count: int, rng: random.Random, facts: Mapping[str, str]
) -> list[str]:
    """Write `count` different patterns in random order (all of them where there are fewer)."""
    return [
        expand(pattern, rng, facts) for pattern in rng.sample(patterns, min(count, len(patterns)))
    ]


def expand_in_order(
    patterns: Sequence[str], count: int, rng: random.Random, facts: Mapping[str, str]
) -> list[str]:
    """Write `count` of the patterns in their order, so that steps stay steps."""
    chosen = sorted(rng.sample(range(len(patterns)), min(count, len(patterns))))
    return [expand(patterns[index], rng, facts) for index in chosen]


def split_paragraphs(sentences: Iterable[str], rng: random.Random, joiner: str) -> list[str]:
    """Break sentences into paragraphs of three to five."""
    remaining = list(sentences)
    paragraphs = []
    while remaining:
        size = rng.randint(3, 5)
        if len(remaining) - size < 2:
            size = len(remaining)  # no paragraph of a single sentence at the end
        paragraphs.append(joiner.join(remaining[:size]))
        remaining = remaining[size:]
    return paragraphs
