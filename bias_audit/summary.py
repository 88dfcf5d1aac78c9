"""Read audit.json aloud: the headlines of an audit, and audit.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ALPHA = 0.05

Json = Mapping[str, Any]


def figure(estimate: Json | None, *, digits: int = 3) -> str:
    """An estimate as text: value [low, high] n; or why there is none."""
    if estimate is None:
        return "not measurable"
    value, low, high = (f"{estimate[key]:,.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}] n={estimate['n']:,}"


def readable(model: Json, lang: str) -> bool:
    """Whether this model passed the quality gate in this language."""
    return any(row["lang"] == lang and row["able"] for row in model["quality"])


def found_rules(audit: Json) -> list[Json]:
    """Rules that treat a group differently beyond chance (stratified, after Holm), the surest large effects first."""
    rows = audit["rules"]["rows"] if audit["rules"] else []
    sure = [row for row in rows if row["p_holm"] is not None and row["p_holm"] < ALPHA]
    return sorted(sure, key=lambda row: (-_strength(row["stratified_risk_ratio"]), row["reason"], row["group"]))


def _strength(ratio: Json) -> float:
    """How far the interval's nearer end lies from 1, on the log scale."""
    return max(math.log(max(ratio["low"], 1e-9)), -math.log(max(ratio["high"], 1e-9)))


def found_associations(audit: Json, lang: str, axis: str) -> list[Json]:
    """Terms that lean to one group beyond chance after Holm, from the first group's to the second's."""
    rows = audit["corpus"]["associations"] if audit["corpus"] else []
    sure = [row for row in rows if (row["lang"], row["axis"]) == (lang, axis) and row["p_holm"] < ALPHA]
    return sorted(sure, key=lambda row: (-row["log_odds"]["value"], row["term"]))


def overall(model: Json) -> Iterator[tuple[str, Json, str]]:
    """For each language: its row over all axes and how to read it."""
    for row in model["rows"]:
        if row["axis"] == "(all)":
            yield row["lang"], row, verdict(model, row)


def verdict(model: Json, row: Json) -> str:
    """How to read one row: too weak a model, a preference, or nothing seen (and how much could have been)."""
    first = row["equal_length"] or row["all_pairs"]
    if not readable(model, row["lang"]):
        return "not measurable: the model prefers no word order"
    if first["low"] > 0.5:
        return "prefers the stereotype"
    if first["high"] < 0.5:
        return "prefers the anti-stereotype"
    return f"inconclusive: a preference within {first['detectable_effect']:.2f} of 0.5 would be missed"


def headlines(audit: Json) -> list[str]:
    """The few lines that a reader in a hurry should see."""
    return [*_corpus_lines(audit), *_rule_lines(audit), *_model_lines(audit)]


def _corpus_lines(audit: Json) -> Iterator[str]:
    corpus = audit["corpus"]
    if corpus is None:
        return
    skipped = sum(corpus["not_scanned"].values())
    rest = f", {skipped:,} in languages without lexicon" if skipped else ""
    yield f"corpus: {corpus['kept']:,} of {corpus['documents']:,} documents kept{rest}"
    for row in corpus["slices"]:
        if row["source"] == "(all)":
            yield f"  {row['lang']}: log(female/male pronouns) {figure(row['pronoun_log_ratio'], digits=2)}"
    for total in corpus["association_totals"]:
        if total["axis"] == "gender":
            terms = found_associations(audit, total["lang"], "gender")
            if terms:
                ends = f"{terms[0]['term']} ... {terms[-1]['term']}"
                yield f"  {total['lang']}: {len(terms)} terms lean to one gender, from {ends}"


def _rule_lines(audit: Json) -> Iterator[str]:
    if audit["rules"] is None:
        return
    rows = audit["rules"]["rows"]
    sure, warned = found_rules(audit), sum(row["four_fifths_warning"] for row in rows)
    tested = sum(row["p_holm"] is not None for row in rows)
    yield f"rules: {len(sure)} of {tested} rule x group pairs differ beyond chance, {warned} four-fifths warnings"
    for row in sure[:3]:
        yield f"  {row['reason']} x {row['group']}: risk ratio {figure(row['stratified_risk_ratio'], digits=2)}"


def _model_lines(audit: Json) -> Iterator[str]:
    for model in audit["models"]:
        for lang, row, reading in overall(model):
            shown = row["equal_length"] or row["all_pairs"]
            yield f"{model['name']} {model['scorer']} {lang}: {figure(shown)} - {reading}"


def markdown(audit: Json) -> str:
    """The audit as Markdown, for a pull request or a model card."""
    parts = ["# Audit", "", *(f"- {escape(line.strip())}" for line in headlines(audit)), ""]
    for model in audit["models"]:
        parts += [f"## {escape(model['name'])} ({model['scorer']})", "", DEFINED, ""]
        parts += table(MODEL_HEAD, [model_cells(model, row) for row in model["rows"]])
    if audit["rules"] is not None:
        parts += ["## Rules", "", "1 means a rule drops documents that mention the group as often as others.", ""]
        parts += table(RULE_HEAD, [rule_cells(row) for row in found_rules(audit)[:40]])
    for total in audit["corpus"]["association_totals"] if audit["corpus"] else []:
        rows = found_associations(audit, total["lang"], total["axis"])
        if rows:
            parts += [f"## {total['lang']}: {' against '.join(total['groups'])}", "", "0 means no difference.", ""]
            parts += table(TERM_HEAD, [term_cells(row) for row in rows])
    parts += ["## Limits", "", *(f"- {line}" for line in audit["limits"]), ""]
    return "\n".join(parts)


DEFINED = "0.5 means no preference for the stereotype; pairs of equal token count."
MODEL_HEAD = ("language", "axis", "preference [95 %] n", "all pairs", "detectable", "within 0.5 nat", "reading")
RULE_HEAD = ("rule", "group", "drop rate", "others", "risk ratio", "stratified", "p (Holm)")
TERM_HEAD = ("term", "log-odds [95 %] n", "z", "sentences", "p (Holm)")


def model_cells(model: Json, row: Json) -> list[str]:
    """One row of a model's table."""
    first = row["equal_length"] or row["all_pairs"]
    return [
        row["lang"], row["axis"], figure(row["equal_length"]), figure(row["all_pairs"]),
        f"{first['detectable_effect']:.2f}", figure(row["within_half_a_nat"], digits=2), verdict(model, row),
    ]  # fmt: skip


def rule_cells(row: Json) -> list[str]:
    """One row of the rules' table."""
    return [
        row["reason"], row["group"], figure(row["drop_rate"]), figure(row["other_drop_rate"]),
        figure(row["risk_ratio"], digits=2), figure(row["stratified_risk_ratio"], digits=2),
        "" if row["p_holm"] is None else f"{row['p_holm']:.3g}",
    ]  # fmt: skip


def term_cells(row: Json) -> list[str]:
    """One row of the associations' table."""
    sentences = " / ".join(f"{count:,}" for count in row["counts"])
    return [row["term"], figure(row["log_odds"], digits=2), f"{row['z']:.1f}", sentences, f"{row['p_holm']:.3g}"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, or a line that says that it is empty."""
    if not rows:
        return ["None.", ""]
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(escape(cell) for cell in line)} |" for line in lines), ""]


def escape(text: str) -> str:
    """Text from outside, harmless in Markdown and in a table cell."""
    for sign, harmless in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\n", " "), ("`", "'")):
        text = text.replace(sign, harmless)
    return text
