"""What other rooms may know of `decide`: its rules, its reasons, and how a rule judges a column of numbers.

In: a `DecideConfig`, or the records of rules in a decide run's manifest. Out: `Rule` objects, the legend that names the
bits of `reasons`, and boolean or int64 arrays with one entry a document. Neither Beam nor numba is imported with this
module, so that pages and reports start fast and work in a base installation.
"""

import difflib
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.errors import ConfigError
from pipelines.decide.config import Bound, DecideConfig

__all__ = [
    "CUSTOM",
    "FIXED_REASONS",
    "DecideConfig",
    "Rule",
    "RuleRecord",
    "build_legend",
    "check_signals",
    "choose_rules",
    "find_outside",
    "find_personal_spans",
    "judge_documents",
    "list_numeric_columns",
    "load_preset_rules",
    "read_rule",
    "round_to_column",
]

Numbers = npt.NDArray[Any]
"""A column of signal values: int32, float32 or float64."""
Mask = npt.NDArray[np.bool_]
ReasonBits = npt.NDArray[np.int64]

FIXED_REASONS = (
    "takedown",
    "opt_out",
    "licence",
    "language",
    "exact_duplicate",
    "url_duplicate",
    "near_duplicate",
)
"""Reasons without a rule. They come first in every legend: bit i of `reasons` is legend[i]."""

CUSTOM = "own"
"""The preset of user-defined rules. Manifests hold this string, so it cannot change."""

MAX_REASONS = 63
"""Bits of a non-negative int64, which is how reasons are held while they are computed."""

PRESETS_FILE = Path(__file__).parent / "decide" / "presets.toml"


class BoundsRecord(TypedDict):
    """A lower and an upper bound as JSON: null where that side is open."""

    min: float | None
    max: float | None


class _RequiredRuleFields(BoundsRecord):
    name: str
    preset: str
    signal: str
    by_language: dict[str, BoundsRecord]
    only_languages: list[str]


class RuleRecord(_RequiredRuleFields, total=False):
    """A rule as manifests hold it. `kinds` is there for user-defined rules only."""

    kinds: list[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """Drop a document for the reason `name` if its `signal` is below `low` or above `high`.

    `by_language` replaces both bounds in some languages. With `only_languages` the rule is silent in all others.
    `kinds` are the document kinds of a user-defined rule; empty means all.
    """

    name: str
    preset: str
    signal: str
    low: float
    high: float
    by_language: Mapping[str, tuple[float, float]]
    only_languages: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def judges(self, kind: str, presets: Collection[str]) -> bool:
        """Whether the rule is for documents of this kind, which are judged by these presets."""
        if self.preset == CUSTOM:
            return not self.kinds or kind in self.kinds
        return self.preset in presets

    def applies(self, values: Numbers, languages: Sequence[str]) -> Mask:
        """bool (n,): which documents with these signal values and languages the rule drops."""
        names = np.asarray(languages, dtype=object).astype(str)
        distinct, positions = np.unique(names, return_inverse=True)
        # The shape is spelled out because without documents there is no row to take it from.
        by_name = np.array([self.bounds(lang) for lang in distinct], np.float64).reshape(-1, 2)
        bounds = by_name[positions]
        return find_outside(values, bounds[:, 0], bounds[:, 1])

    def record(self) -> RuleRecord:
        """The rule as manifests hold it, see `read_rule` for the way back."""
        bounds = _record_bounds((self.low, self.high))
        record: RuleRecord = {
            "name": self.name,
            "preset": self.preset,
            "signal": self.signal,
            "min": bounds["min"],
            "max": bounds["max"],
            "by_language": {lang: _record_bounds(pair) for lang, pair in self.by_language.items()},
            "only_languages": list(self.only_languages),
        }
        if self.preset == CUSTOM:
            record["kinds"] = list(self.kinds)
        return record

    def bounds(self, lang: str) -> tuple[float, float]:
        """The lowest and highest value allowed in this language; infinite where there is no bound."""
        if self.only_languages and lang not in self.only_languages:
            return -np.inf, np.inf
        return self.by_language.get(lang, (self.low, self.high))


def read_rule(record: Mapping[str, Any]) -> Rule:
    """A rule from its record in a manifest, see `Rule.record`."""
    low, high = _read_bounds(record)
    by_language = {lang: _read_bounds(bounds) for lang, bounds in record["by_language"].items()}
    return Rule(
        name=record["name"],
        preset=record["preset"],
        signal=record["signal"],
        low=low,
        high=high,
        by_language=by_language,
        only_languages=tuple(record["only_languages"]),
        kinds=tuple(record.get("kinds", ())),
    )


def _record_bounds(bounds: tuple[float, float]) -> BoundsRecord:
    low, high = bounds
    return {
        "min": low if np.isfinite(low) else None,
        "max": high if np.isfinite(high) else None,
    }


def _read_bounds(record: Mapping[str, Any]) -> tuple[float, float]:
    low, high = record["min"], record["max"]
    return -np.inf if low is None else float(low), np.inf if high is None else float(high)


def round_to_column(bounds: float | Numbers, column_type: np.dtype[Any]) -> Numbers:
    """Bounds in the precision of a column.

    A ratio of exactly 0.3 is 0.30000001 in a float32 column. Compared with a float64 bound of 0.3 it would be too high.
    """
    return np.asarray(bounds, np.float32 if column_type == np.float32 else np.float64)


def find_outside(values: Numbers, low: float | Numbers, high: float | Numbers) -> Mask:
    """bool (n,): which values lie below `low` or above `high`; each is one bound or one a value."""
    too_low = values < round_to_column(low, values.dtype)
    too_high = values > round_to_column(high, values.dtype)
    return too_low | too_high


@lru_cache(maxsize=1)
def load_preset_rules() -> tuple[Rule, ...]:
    """Every rule of every preset, in the order of presets.toml."""
    presets = tomllib.loads(PRESETS_FILE.read_text(encoding="utf-8"))
    return tuple(
        _read_preset_rule(name, preset, table)
        for preset, rules in presets.items()
        for name, table in rules.items()
    )


def _read_preset_rule(name: str, preset: str, table: Mapping[str, Any]) -> Rule:
    low, high = _read_preset_bounds(table, (-np.inf, np.inf))
    by_language = {
        lang: _read_preset_bounds(bounds, (low, high))
        for lang, bounds in table.get("by_language", {}).items()
    }
    only_languages = tuple(table.get("only_languages", ()))
    return Rule(name, preset, str(table["signal"]), low, high, by_language, only_languages)


def _read_preset_bounds(
    table: Mapping[str, Any], default: tuple[float, float]
) -> tuple[float, float]:
    return float(table.get("min", default[0])), float(table.get("max", default[1]))


def choose_rules(config: DecideConfig) -> tuple[Rule, ...]:
    """The rules of the presets in use with the configuration's thresholds, then the user-defined ones.

    Raises ConfigError for unknown names and for bounds that no document can pass.
    """
    presets_in_use = {name for presets in config.presets.values() for name in presets}
    _refuse_unknown(
        presets_in_use,
        {rule.preset for rule in load_preset_rules()},
        "no such preset of rules",
    )
    rules = [rule for rule in load_preset_rules() if rule.preset in presets_in_use]
    _refuse_thresholds_of_custom_rules(config)
    _refuse_unknown(config.thresholds, {rule.name for rule in rules}, "no such rule")
    changed = [_override(rule, config.thresholds.get(rule.name)) for rule in rules]
    return (*changed, *_read_custom_rules(config))


def _refuse_unknown(names: Collection[str], choices: Collection[str], message: str) -> None:
    unknown = sorted(set(names) - set(choices))
    if unknown:
        raise ConfigError(
            message,
            {"given": ", ".join(unknown)},
            f"choose from {', '.join(sorted(choices))}",
        )


def _refuse_thresholds_of_custom_rules(config: DecideConfig) -> None:
    twice = sorted(set(config.thresholds) & set(config.rules))
    if twice:
        section = f"decide.rules.{twice[0]}"
        raise ConfigError(
            "a user-defined rule has its bounds beside its signal",
            {"given": twice[0]},
            f"set {section}.min or {section}.max",
        )


def _override(rule: Rule, bound: Bound | None) -> Rule:
    """A threshold from the configuration holds for every language."""
    if bound is None:
        return rule
    low = rule.low if bound.min is None else bound.min
    high = rule.high if bound.max is None else bound.max
    if low > high:
        raise ConfigError(
            "no document can pass this rule",
            {"given": f"decide.thresholds.{rule.name}", "min": f"{low:g}", "max": f"{high:g}"},
            "give both bounds, min no higher than max",
        )
    return replace(rule, low=low, high=high, by_language={})


def _read_custom_rules(config: DecideConfig) -> list[Rule]:
    rules = []
    for name, section in config.rules.items():
        _check_custom_name(name)
        _check_custom_kinds(name, section.kinds, config)
        rule = Rule(
            name=name,
            preset=CUSTOM,
            signal=section.signal,
            low=-np.inf if section.min is None else section.min,
            high=np.inf if section.max is None else section.max,
            by_language={},
            only_languages=section.languages,
            kinds=section.kinds,
        )
        rules.append(rule)
    return rules


def _check_custom_name(name: str) -> None:
    taken = {*FIXED_REASONS, *(rule.name for rule in load_preset_rules())}
    if name in taken or not name.isidentifier():
        fix = "change it by decide.thresholds" if name in taken else "use letters, digits and _"
        raise ConfigError(
            "this cannot be the name of a user-defined rule",
            {"given": f"decide.rules.{name}"},
            fix,
        )


def _check_custom_kinds(name: str, kinds: Collection[str], config: DecideConfig) -> None:
    unknown = sorted(set(kinds) - set(config.presets))
    if unknown:
        raise ConfigError(
            "no such kind of source",
            {"rule": f"decide.rules.{name}", "given": ", ".join(unknown)},
            f"choose from {', '.join(sorted(config.presets))}",
        )


def list_numeric_columns(schema: pa.Schema) -> list[str]:
    """The columns that a rule can be about: a number in every document."""
    tests: tuple[Callable[[pa.DataType], bool], ...] = (pa.types.is_integer, pa.types.is_floating)
    return [
        field.name
        for field in schema
        if not field.nullable and any(is_number(field.type) for is_number in tests)
    ]


def check_signals(rules: Sequence[Rule], columns: Collection[str]) -> None:
    """Raise ConfigError where a user-defined rule is about a signal that is not among these columns.

    Rules of presets are not checked: their columns are missing in documents of older versions only.
    """
    for rule in rules:
        if rule.preset != CUSTOM or rule.signal in columns:
            continue
        names = sorted(columns)
        nearest = difflib.get_close_matches(rule.signal, names, n=3, cutoff=0.5) or names
        raise ConfigError(
            "a rule is about a signal that is not in the documents",
            {"rule": f"decide.rules.{rule.name}", "signal": rule.signal},
            f"choose from {', '.join(nearest)}",
        )


def build_legend(rules: Sequence[Rule]) -> list[str]:
    """The names of all reasons; bit i of a document's `reasons` stands for the i-th."""
    names = [*FIXED_REASONS, *(rule.name for rule in rules)]
    if len(names) > MAX_REASONS:
        raise ConfigError("more reasons than a bit set of 63 can hold", {"rules": len(rules)})
    return names


def judge_documents(
    columns: Mapping[str, Numbers],
    kinds: Sequence[str],
    languages: Sequence[str],
    rules: Sequence[Rule],
    config: DecideConfig,
) -> ReasonBits:
    """int64 (n,): the bits of every rule that drops each document, by the presets of its kind.

    `columns` holds the numeric signals by name. A kind without presets is judged by those of `other`.
    """
    bits = np.zeros(len(kinds), np.int64)
    fallback = config.presets.get("other", ())
    presets = {kind: config.presets.get(kind, fallback) for kind in set(kinds)}
    for bit, rule in enumerate(rules, start=len(FIXED_REASONS)):
        judged_kinds = {kind for kind in presets if rule.judges(kind, presets[kind])}
        judged = np.array([kind in judged_kinds for kind in kinds], bool)
        dropped = judged & rule.applies(columns[rule.signal], languages)
        bits |= np.where(dropped, np.int64(1) << bit, 0)
    return bits


def find_personal_spans(texts: pa.Array) -> pa.Array:
    """Spans (start, end, type) of personal data in each text, in UTF-8 bytes, as pages have to hide them.

    The kernels that find them are imported by the first call.
    """
    from pipelines.annotate.personal.spans import compute_spans_column

    return compute_spans_column(texts)
