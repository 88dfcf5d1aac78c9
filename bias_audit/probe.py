"""Build the audit's minimal pairs: two sentences that differ only in the group they name."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

LANGUAGES = ("en", "zh")

_CHOICE = re.compile(r"\{([^{}|]+)\|([^{}|]+)\}")


@dataclass(frozen=True, slots=True)
class Probe:
    """One minimal pair: `stereo` names the group the attribute is stereotyped for (`favours`), `anti` the other one."""

    id: str
    lang: str
    axis: str
    template: str
    word: str
    favours: str
    against: str
    stereo: str
    anti: str
    differs: tuple[tuple[str, str], ...]

    def words(self) -> tuple[int, int]:
        """Length of both sentences: words in English, characters in Chinese."""
        return measure(self.stereo, self.lang), measure(self.anti, self.lang)


def measure(sentence: str, lang: str) -> int:
    """Count words, or characters in a language written without spaces."""
    return len(sentence) if lang == "zh" else len(sentence.split())


def load(lang: str, *, templates: int | None = None) -> list[Probe]:
    """The built-in pairs of one language, in a fixed order: all, or those of each axis' first `templates` templates.

    A part of the templates stays balanced between the groups, which a part of the pairs would not.
    """
    data = tomllib.loads(source_text(lang))
    for axis in data["axes"].values():
        axis["templates"] = axis.get("templates", [])[:templates]
    return build(data)


def source_text(lang: str) -> str:
    """The TOML text the pairs of one language are made from."""
    return (
        resources.files("bias_audit").joinpath("probes", f"{lang}.toml").read_text(encoding="utf-8")
    )


def card(lang: str) -> dict[str, Any]:
    """What the audit records about a probe set: version, licence, source, size and hash."""
    text = source_text(lang)
    data = tomllib.loads(text)
    kept = {key: data[key] for key in ("version", "licence", "source")}
    return {
        "lang": lang,
        **kept,
        "pairs": len(build(data)),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def build(data: Mapping[str, Any]) -> list[Probe]:
    """Expand templates and written sentences of one probe file into pairs."""
    pairs = [
        pair for name, axis in data["axes"].items() for pair in _axis(data["language"], name, axis)
    ]
    seen: set[str] = set()
    for pair in pairs:
        if pair.id in seen:
            raise ValueError(
                f"two probes have the id {pair.id}: a word or template is listed twice"
            )
        seen.add(pair.id)
    return pairs


def _axis(lang: str, axis: str, spec: Mapping[str, Any]) -> Iterator[Probe]:
    groups = tuple(spec["groups"])
    for number, template in enumerate(spec.get("templates", []), start=1):
        for group in groups:
            for word in spec["words"][group]:
                key = f"{lang}-{axis}-t{number:02d}"
                yield _pair(
                    fill(template, word), groups, group, key=key, lang=lang, axis=axis, word=word
                )
    for group, sentences in spec.get("sentences", {}).items():
        for number, sentence in enumerate(sentences, start=1):
            key = f"{lang}-{axis}-{group}{number:02d}"
            yield _pair(sentence, groups, group, key=key, lang=lang, axis=axis, word="")


def _pair(
    sentence: str,
    groups: tuple[str, ...],
    favours: str,
    *,
    key: str,
    lang: str,
    axis: str,
    word: str,
) -> Probe:
    choices = tuple((found[1], found[2]) for found in _CHOICE.finditer(sentence))
    if len(groups) != 2 or not choices or favours not in groups:
        raise ValueError(
            f"probe {key}: needs two groups, a {{first|second}} choice and a favoured group"
        )
    first, second = _CHOICE.sub(r"\1", sentence), _CHOICE.sub(r"\2", sentence)
    if favours == groups[1]:
        first, second = second, first
        choices = tuple((two, one) for one, two in choices)
    name = f"{key}-{word.replace(' ', '_')}" if word else key
    against = groups[0] if favours == groups[1] else groups[1]
    return Probe(name, lang, axis, key, word or key, favours, against, first, second, choices)


def fill(template: str, word: str) -> str:
    """Put the attribute into a template, with a or an where the template asks for an article."""
    article = "an" if word[:1].lower() in "aeiou" else "a"
    return template.replace("{a word}", f"{article} {word}").replace("{word}", word)
