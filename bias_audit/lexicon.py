"""Read the word lists that say which words mention a group and what is counted beside them."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Label:
    """What a matched word stands for: kind is group, occupations or adjectives; axis is empty but for groups."""

    kind: str
    axis: str
    name: str
    pronoun: bool = False

    @property
    def key(self) -> str:
        """The label's name in results, for example gender/female."""
        return f"{self.axis}/{self.name}" if self.axis else self.name


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All lists of one language: labels, and (surface, label index) entries; index -1 marks an exception."""

    lang: str
    labels: tuple[Label, ...]
    entries: tuple[tuple[str, int], ...]
    cards: tuple[dict[str, Any], ...]

    def groups(self) -> list[str]:
        """The groups as axis/name, each once, in the order of the file."""
        return list(dict.fromkeys(label.key for label in self.labels if label.kind == "group"))


def load_lexicon(lang: str) -> Lexicon:
    """The built-in lexicon of one language."""
    texts = {kind: _text(f"{kind}_{lang}.toml") for kind in ("groups", "occupations", "adjectives")}
    lists = {kind: tomllib.loads(text) for kind, text in texts.items()}
    labels: list[Label] = []
    entries: list[tuple[str, int]] = [(surface, -1) for surface in lists["groups"]["exceptions"]]
    for label, surfaces in [*_groups(lists["groups"]), *_terms(lists)]:
        entries += [(surface, len(labels)) for surface in surfaces]
        labels.append(label)
    _refuse_repeats(lang, entries)
    cards = tuple(_card(kind, lists[kind], texts[kind]) for kind in lists)
    return Lexicon(lang, tuple(labels), tuple(entries), cards)


def _groups(data: dict[str, Any]) -> list[tuple[Label, list[str]]]:
    return [
        (Label("group", axis, name, pronoun=part == "pronouns"), surfaces)
        for axis, names in data["axes"].items()
        for name, parts in names.items()
        for part, surfaces in parts.items()
    ]


def _terms(lists: dict[str, dict[str, Any]]) -> list[tuple[Label, list[str]]]:
    rows = [
        (kind, row.split(" | "))
        for kind in ("occupations", "adjectives")
        for row in lists[kind]["terms"]
    ]
    return [(Label(kind, "", forms[0]), forms) for kind, forms in rows]


def _refuse_repeats(lang: str, entries: list[tuple[str, int]]) -> None:
    seen: set[str] = set()
    for surface, _ in entries:
        if surface in seen:
            raise ValueError(
                f"the {lang} lexicon lists {surface!r} twice: one surface can have only one label"
            )
        seen.add(surface)


def _card(kind: str, data: dict[str, Any], text: str) -> dict[str, Any]:
    kept = {key: data[key] for key in ("version", "licence", "source", "limits")}
    return {
        "kind": kind,
        "lang": data["language"],
        **kept,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def _text(name: str) -> str:
    return resources.files("bias_audit").joinpath("lexicons", name).read_text(encoding="utf-8")
