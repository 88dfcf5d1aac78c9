"""The built-in minimal pairs: templates times words from `bias_audit/probes/LANG.toml`.

In: a TOML file whose README explains its construction. Out: balanced pairs in a fixed order.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from bias_audit.benchmarks.pairs import Probe, refuse_repeated_ids
from bias_audit.contract.result import BenchmarkCard

LANGUAGES: Sequence[str] = ("en", "zh")

CHOICE = re.compile(r"\{([^{}|]+)\|([^{}|]+)\}")
"""`{first|second}`: the wording for the first and for the second group."""


def load_pairs(lang: str, *, templates: int | None = None) -> list[Probe]:
    """The pairs of one language, in a fixed order: all, or those of each axis' first `templates`
    templates.

    A part of the templates stays balanced between the groups, which a part of the pairs would not.
    """
    data = tomllib.loads(read_source(lang))
    for axis in data["axes"].values():
        axis["templates"] = axis.get("templates", [])[:templates]
    return build_pairs(data)


def describe(lang: str) -> BenchmarkCard:
    """What the audit records about the pairs of a language."""
    text = read_source(lang)
    data = tomllib.loads(text)
    return BenchmarkCard(
        lang=lang,
        version=data["version"],
        licence=data["licence"],
        source=data["source"],
        pairs=len(build_pairs(data)),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def read_source(lang: str) -> str:
    """The TOML text the pairs of one language are made from."""
    file = resources.files("bias_audit").joinpath("probes", f"{lang}.toml")
    return file.read_text(encoding="utf-8")


def build_pairs(data: Mapping[str, Any]) -> list[Probe]:
    """Expand templates and written sentences of one probe file into pairs."""
    pairs: list[Probe] = []
    for axis, spec in data["axes"].items():
        pairs += _expand_axis(data["language"], axis, spec)
    refuse_repeated_ids(pairs)
    return pairs


def fill_template(template: str, word: str) -> str:
    """Put the attribute into a template, with a or an where the template asks for an article."""
    article = "an" if word[:1].lower() in "aeiou" else "a"
    return template.replace("{a word}", f"{article} {word}").replace("{word}", word)


class _Slot(NamedTuple):
    """Where a sentence belongs: its language and axis, the axis' groups, and the group it is
    stereotyped for.
    """

    key: str
    lang: str
    axis: str
    groups: Sequence[str]
    stereotyped_group: str


def _expand_axis(lang: str, axis: str, spec: Mapping[str, Any]) -> Iterator[Probe]:
    groups: list[str] = spec["groups"]
    for number, template in enumerate(spec.get("templates", []), start=1):
        key = f"{lang}-{axis}-t{number:02d}"
        for group in groups:
            slot = _Slot(key, lang, axis, groups, group)
            for word in spec["words"][group]:
                yield _make_pair(fill_template(template, word), slot, word)
    for group, sentences in spec.get("sentences", {}).items():
        for number, sentence in enumerate(sentences, start=1):
            key = f"{lang}-{axis}-{group}{number:02d}"
            yield _make_pair(sentence, _Slot(key, lang, axis, groups, group), "")


def _make_pair(sentence: str, slot: _Slot, word: str) -> Probe:
    """Both wordings of a sentence; `word` is empty for a sentence without attribute."""
    choices = [(match[1], match[2]) for match in CHOICE.finditer(sentence)]
    if len(slot.groups) != 2 or not choices or slot.stereotyped_group not in slot.groups:
        raise ValueError(
            f"probe {slot.key}: needs two groups, a {{first|second}} choice and a favoured group"
        )
    stereo = CHOICE.sub(r"\1", sentence)
    anti = CHOICE.sub(r"\2", sentence)
    other_group = slot.groups[1]
    if slot.stereotyped_group == slot.groups[1]:
        stereo, anti = anti, stereo
        choices = [(second, first) for first, second in choices]
        other_group = slot.groups[0]
    return Probe(
        id=f"{slot.key}-{word.replace(' ', '_')}" if word else slot.key,
        lang=slot.lang,
        axis=slot.axis,
        template=slot.key,
        word=word or slot.key,
        stereotyped_group=slot.stereotyped_group,
        other_group=other_group,
        stereo=stereo,
        anti=anti,
        differing_words=tuple(choices),
    )
