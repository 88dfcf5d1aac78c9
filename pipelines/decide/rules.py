"""Rules: from signals to reasons. Presets are data (presets.toml); judging is a comparison of whole columns."""

import difflib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from gristmill.errors import ConfigError
from pipelines.annotate.signals.table import NUMBERS
from pipelines.decide.config import Bound, DecideConfig

FIXED_REASONS = (
    "takedown",
    "opt_out",
    "licence",
    "language",
    "exact_duplicate",
    "url_duplicate",
    "near_duplicate",
)
"""Reasons that are no rule, first in every legend: bit i of `reasons` is legend[i]."""

OWN = "own"
"""What stands for the preset in rules of the user."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Drop a document of `preset` whose `signal` is below `low` or above `high`, for the reason `name`."""

    name: str
    preset: str
    signal: str
    low: float
    high: float
    by_language: Mapping[str, tuple[float, float]]
    only_languages: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def judges(self, kind: str, presets: Collection[str]) -> bool:
        """Whether it is for documents of this kind, which has these presets; a rule of the user names its kinds."""
        return (
            (not self.kinds or kind in self.kinds) if self.preset == OWN else self.preset in presets
        )

    def applies(self, values: np.ndarray, languages: Sequence[str]) -> np.ndarray:
        """bool (n,): which documents with these signal values and languages the rule drops."""
        distinct, place = np.unique(
            np.asarray(languages, dtype=object).astype(str), return_inverse=True
        )
        bounds = np.array([self.bounds(lang) for lang in distinct], np.float64).reshape(-1, 2)[
            place
        ]
        return outside(values, bounds[:, 0], bounds[:, 1])

    def record(self) -> dict[str, object]:
        """The rule as manifests hold it: bounds that are open on one side are null there."""
        languages = {lang: _finite(bounds) for lang, bounds in self.by_language.items()}
        return {
            "name": self.name,
            "preset": self.preset,
            "signal": self.signal,
            **_finite((self.low, self.high)),
            "by_language": languages,
            "only_languages": list(self.only_languages),
            **({"kinds": list(self.kinds)} if self.preset == OWN else {}),
        }

    def bounds(self, lang: str) -> tuple[float, float]:
        """The lowest and highest value that a document of this language may have; infinite where there is no bound.

        A rule that is for some languages only has no bounds in any other.
        """
        if self.only_languages and lang not in self.only_languages:
            return -np.inf, np.inf
        return self.by_language.get(lang, (self.low, self.high))


def as_held(bounds: float | np.ndarray, kind: np.dtype) -> np.ndarray:
    """Bounds as a column of this type holds them: a share of exactly 0.3 is stored as 0.30000001 among float32."""
    return np.asarray(bounds, np.float32 if kind == np.float32 else np.float64)


def outside(values: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """bool (n,): which values lie below `low` or above `high`, each one bound or one a value."""
    found: np.ndarray = (values < as_held(low, values.dtype)) | (
        values > as_held(high, values.dtype)
    )
    return found


def _finite(bounds: tuple[float, float]) -> dict[str, float | None]:
    return {
        name: bound if np.isfinite(bound) else None
        for name, bound in zip(("min", "max"), bounds, strict=True)
    }


@lru_cache(maxsize=1)
def all_rules() -> tuple[Rule, ...]:
    """Every rule of every preset, in the order of the file."""
    presets = tomllib.loads((Path(__file__).parent / "presets.toml").read_text(encoding="utf-8"))
    return tuple(
        _read(name, preset, raw) for preset, rules in presets.items() for name, raw in rules.items()
    )


def _read(name: str, preset: str, raw: Mapping[str, object]) -> Rule:
    low, high = _pair(raw, (-np.inf, np.inf))
    languages = raw.get("by_language", {})
    assert isinstance(languages, dict)
    by_language = {lang: _pair(bound, (low, high)) for lang, bound in languages.items()}
    only = raw.get("only_languages", ())
    assert isinstance(only, (list, tuple))
    assert raw["signal"] in NUMBERS, f"rule {name} uses a signal that is not there"
    return Rule(name, preset, str(raw["signal"]), low, high, by_language, tuple(only))


def _pair(raw: Mapping[str, object], default: tuple[float, float]) -> tuple[float, float]:
    low, high = raw.get("min", default[0]), raw.get("max", default[1])
    return float(low), float(high)  # type: ignore[arg-type]


def chosen_rules(config: DecideConfig) -> tuple[Rule, ...]:
    """The rules of the presets in use, with the configuration's thresholds. Raises ConfigError for unknown names."""
    presets = {rule.preset for rule in all_rules()}
    wanted = {name for names in config.presets.values() for name in names}
    if unknown := sorted(wanted - presets):
        raise ConfigError(
            "no such preset of rules",
            {"given": ", ".join(unknown)},
            f"choose from {', '.join(sorted(presets))}",
        )
    rules = [rule for rule in all_rules() if rule.preset in wanted]
    names = {rule.name for rule in rules}
    if mine := sorted(set(config.thresholds) & set(config.rules)):
        place = f"decide.rules.{mine[0]}"
        raise ConfigError(
            "a rule of one's own has its bounds beside its signal",
            {"given": mine[0]},
            f"set {place}.min or {place}.max",
        )
    if unknown := sorted(set(config.thresholds) - names):
        raise ConfigError(
            "no such rule", {"given": ", ".join(unknown)}, f"choose from {', '.join(sorted(names))}"
        )
    return (
        *(_override(rule, config.thresholds.get(rule.name)) for rule in rules),
        *_own_rules(config),
    )


def _own_rules(config: DecideConfig) -> list[Rule]:
    taken = {*FIXED_REASONS, *(rule.name for rule in all_rules())}
    found = []
    for name, own in config.rules.items():
        if name in taken or not name.isidentifier():
            fix = "change it by decide.thresholds" if name in taken else "use letters, digits and _"
            raise ConfigError(
                "this cannot be the name of an own rule", {"given": f"decide.rules.{name}"}, fix
            )
        if unknown := sorted(set(own.kinds) - set(config.presets)):
            where = {"rule": f"decide.rules.{name}", "given": ", ".join(unknown)}
            raise ConfigError(
                "no such kind of source", where, f"choose from {', '.join(sorted(config.presets))}"
            )
        low, high = -np.inf if own.min is None else own.min, np.inf if own.max is None else own.max
        found.append(
            Rule(
                name, OWN, own.signal, low, high, {}, only_languages=own.languages, kinds=own.kinds
            )
        )
    return found


def numeric_columns(schema: pa.Schema) -> list[str]:
    """The columns that a rule can be about: a number in every document."""
    numeric = (pa.types.is_integer, pa.types.is_floating)
    return [
        field.name
        for field in schema
        if not field.nullable and any(test(field.type) for test in numeric)
    ]


def check_signals(rules: Sequence[Rule], there: Collection[str]) -> None:
    """Raise ConfigError where a rule of the user is about a signal that is not among these, naming the nearest."""
    for rule in rules:
        if (
            rule.preset == OWN and rule.signal not in there
        ):  # a column of ours is lacking in older documents only
            near = difflib.get_close_matches(rule.signal, sorted(there), n=3, cutoff=0.5) or sorted(
                there
            )
            where = {"rule": f"decide.rules.{rule.name}", "signal": rule.signal}
            raise ConfigError(
                "a rule is about a signal that is not there",
                where,
                f"choose from {', '.join(near)}",
            )


def _override(rule: Rule, bound: Bound | None) -> Rule:
    """A threshold from the configuration holds for every language."""
    if bound is None:
        return rule
    low = rule.low if bound.min is None else bound.min
    high = rule.high if bound.max is None else bound.max
    if low > high:
        where = {"given": f"decide.thresholds.{rule.name}", "min": f"{low:g}", "max": f"{high:g}"}
        raise ConfigError(
            "no document can pass this rule", where, "give both bounds, min no higher than max"
        )
    return replace(rule, low=low, high=high, by_language={})


def legend(rules: Sequence[Rule]) -> list[str]:
    """The names of all reasons; bit i of a document's `reasons` stands for the i-th."""
    names = [*FIXED_REASONS, *(rule.name for rule in rules)]
    if len(names) > 63:
        raise ConfigError("more reasons than a bit set of 63 can hold", {"rules": len(rules)})
    return names


def judge(
    columns: Mapping[str, np.ndarray],
    kinds: Sequence[str],
    languages: Sequence[str],
    rules: Sequence[Rule],
    config: DecideConfig,
) -> np.ndarray:
    """int64 (n,): the bits of every rule that drops each document, by the presets of its kind.

    `columns` holds the numeric signals by name; a kind without presets of its own is judged as `other`.
    """
    bits = np.zeros(len(kinds), np.int64)
    presets = {
        kind: config.presets.get(kind, config.presets.get("other", ())) for kind in set(kinds)
    }
    for place, rule in enumerate(rules, start=len(FIXED_REASONS)):
        meant = {kind: rule.judges(kind, presets[kind]) for kind in presets}
        mine = np.array([meant[kind] for kind in kinds], bool)
        bits |= np.where(
            mine & rule.applies(columns[rule.signal], languages), np.int64(1) << place, 0
        )
    return bits
