"""Reads the word lists that say which words mention a group and what is counted beside them.

In: the TOML files of `bias_audit/lexicons`. Out: labels, and the surfaces that stand for each.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

from bias_audit.contract.result import LexiconCard

LANGUAGES = ("en", "zh")

LISTS = ("groups", "occupations", "adjectives")
"""The files of one language, as `LIST_LANG.toml`."""

TERM_LISTS = ("occupations", "adjectives")

EXCEPTION = -1
"""The label of a surface that hides a listed word without meaning it (Isle of Man)."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a matched word stands for: kind is group, occupations or adjectives; axis is empty but
    for groups.
    """

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
    """All lists of one language: labels, and (surface, label index) entries; index -1 marks an
    exception.
    """

    lang: str
    labels: tuple[Label, ...]
    entries: tuple[tuple[str, int], ...]
    cards: tuple[LexiconCard, ...]

    def groups(self) -> list[str]:
        """The groups as axis/name, each once, in the order of the file."""
        return list(dict.fromkeys(label.key for label in self.labels if label.kind == "group"))


class _LabelledSurfaces(NamedTuple):
    """A label, and the words that stand for it."""

    label: Label
    surfaces: Sequence[str]


def load_lexicon(lang: str) -> Lexicon:
    """The built-in lexicon of one language."""
    texts = {name: _read_list(f"{name}_{lang}.toml") for name in LISTS}
    lists = {name: tomllib.loads(text) for name, text in texts.items()}
    labels: list[Label] = []
    entries = [(surface, EXCEPTION) for surface in lists["groups"]["exceptions"]]
    for label, surfaces in [*_list_group_labels(lists["groups"]), *_list_term_labels(lists)]:
        entries += [(surface, len(labels)) for surface in surfaces]
        labels.append(label)
    _refuse_repeats(lang, entries)
    cards = tuple(_describe_list(name, lists[name], texts[name]) for name in LISTS)
    return Lexicon(lang, tuple(labels), tuple(entries), cards)


def _list_group_labels(data: Mapping[str, Any]) -> list[_LabelledSurfaces]:
    """One label for each group and part (pronouns, words)."""
    labelled: list[_LabelledSurfaces] = []
    for axis, groups in data["axes"].items():
        for group, parts in groups.items():
            for part, surfaces in parts.items():
                label = Label("group", axis, group, pronoun=part == "pronouns")
                labelled.append(_LabelledSurfaces(label, surfaces))
    return labelled


def _list_term_labels(lists: Mapping[str, Mapping[str, Any]]) -> list[_LabelledSurfaces]:
    """One label for each occupation or adjective; its first form names it."""
    labelled: list[_LabelledSurfaces] = []
    for kind in TERM_LISTS:
        for line in lists[kind]["terms"]:
            forms = line.split(" | ")
            labelled.append(_LabelledSurfaces(Label(kind, "", forms[0]), forms))
    return labelled


def _refuse_repeats(lang: str, entries: Sequence[tuple[str, int]]) -> None:
    surfaces: set[str] = set()
    for surface, _ in entries:
        if surface in surfaces:
            raise ValueError(
                f"the {lang} lexicon lists {surface!r} twice: one surface can have only one label"
            )
        surfaces.add(surface)


def _describe_list(name: str, data: Mapping[str, Any], text: str) -> LexiconCard:
    return LexiconCard(
        kind=name,
        lang=data["language"],
        version=data["version"],
        licence=data["licence"],
        source=data["source"],
        limits=tuple(data["limits"]),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _read_list(name: str) -> str:
    file = resources.files("bias_audit").joinpath("lexicons", name)
    return file.read_text(encoding="utf-8")
