"""Read audit.json aloud: the headlines of an audit, and audit.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bias_audit.verdict import measured, named, shown_part

ALPHA = 0.05

Json = Mapping[str, Any]


def figure(estimate: Json | None, *, digits: int = 3) -> str:
    """An estimate as text: value [low, high] n; or why there is none."""
    if estimate is None:
        return "not measurable"
    value, low, high = (f"{estimate[key]:,.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}] n={estimate['n']:,}"


def found_rules(audit: Json) -> list[Json]:
    """Rules that treat a group differently beyond chance (stratified, after Holm), the surest large effects first."""
    rows = audit["rules"]["rows"] if audit["rules"] else []
    sure = [row for row in rows if row["p_holm"] is not None and row["p_holm"] < ALPHA]
    return sorted(
        sure,
        key=lambda row: (-_strength(row["stratified_risk_ratio"]), row["reason"], row["group"]),
    )


def _strength(ratio: Json) -> float:
    """How far the interval's nearer end lies from 1, on the log scale."""
    return max(math.log(max(ratio["low"], 1e-9)), -math.log(max(ratio["high"], 1e-9)))


def found_associations(audit: Json, lang: str, axis: str) -> list[Json]:
    """Terms that lean to one group beyond chance after Holm, from the first group's to the second's."""
    rows = audit["corpus"]["associations"] if audit["corpus"] else []
    sure = [
        row for row in rows if (row["lang"], row["axis"]) == (lang, axis) and row["p_holm"] < ALPHA
    ]
    return sorted(sure, key=lambda row: (-row["log_odds"]["value"], row["term"]))


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
    rows = [row for model in audit["models"] for row in model["rows"]]
    if rows:
        count, axes = measured(rows)
        yield f"models: {count} of {axes} preferences (model x language x axis) are measurable"
    for model in audit["models"]:
        for lang in dict.fromkeys(row["lang"] for row in model["rows"]):
            yield _language_line(model, [row for row in model["rows"] if row["lang"] == lang])
    for gate in audit["gates"]:
        if not gate["passed"]:
            yield (
                f"gate failed: {gate['model']} {gate['lang']}: {gate['found']} of {gate['of']} axes are measurable,"
                f" {gate['asked']:.0%} asked"
            )


def _language_line(model: Json, rows: Sequence[Json]) -> str:
    """The row over all axes, and (of an able model) each axis in which one word always wins: its number would mislead."""
    whole, *axes = rows
    able = any(row["lang"] == whole["lang"] and row["able"] for row in model["quality"])
    count, n = measured(rows)
    says = whole["verdict"]["says"]
    reading = f"{figure(shown(whole))} - {says}" if whole["verdict"]["measurable"] else says
    silent = [
        f"{row['axis']} ({named(shown(row)['picked'])})"
        for row in axes
        if able and not row["verdict"]["measurable"]
    ]
    where = f". One word wins whatever the context in {', '.join(silent)}" if silent else ""
    return f"  {model['name']} {model['scorer']} {whole['lang']}: {reading}; {count} of {n} axes measurable{where}"


def shown(row: Json) -> Json:
    """The estimate that a row of preferences is read by."""
    found: Json = row[shown_part(row)]
    return found


def markdown(audit: Json) -> str:
    """The audit as Markdown, for a pull request or a model card."""
    parts = ["# Audit", "", *(f"- {escape(line.strip())}" for line in headlines(audit)), ""]
    for model in audit["models"]:
        parts += [f"## {escape(model['name'])} ({model['scorer']})", "", DEFINED, ""]
        parts += table(MODEL_HEAD, [model_cells(row) for row in model["rows"]])
    if audit["rules"] is not None:
        parts += [
            "## Rules",
            "",
            "1 means a rule drops documents that mention the group as often as others.",
            "",
        ]
        parts += table(RULE_HEAD, [rule_cells(row) for row in found_rules(audit)[:40]])
    for total in audit["corpus"]["association_totals"] if audit["corpus"] else []:
        rows = found_associations(audit, total["lang"], total["axis"])
        if rows:
            parts += [
                f"## {total['lang']}: {' against '.join(total['groups'])}",
                "",
                "0 means no difference.",
                "",
            ]
            parts += table(TERM_HEAD, [term_cells(row) for row in rows])
    parts += ["## Limits", "", *(f"- {line}" for line in audit["limits"]), ""]
    return "\n".join(parts)


DEFINED = (
    "0.5 means no preference for the stereotype - or that the model picks the same word in every context, so read it with the "
    "constant choice: 1 means that the same word always wins, 0.5 is chance. Pairs of equal token count, or all (marked *)."
)
MODEL_HEAD = (
    "language",
    "axis",
    "reading",
    "preference [95 %] n",
    "constant choice",
    "by favoured group",
    "detectable",
)
RULE_HEAD = ("rule", "group", "drop rate", "others", "risk ratio", "stratified", "p (Holm)")
TERM_HEAD = ("term", "log-odds [95 %] n", "z", "sentences", "p (Holm)")


def model_cells(row: Json) -> list[str]:
    """One row of a model's table; the reading stands before the number that it qualifies."""
    found, mark = shown(row), "*" if row["equal_length"] is None else ""
    return [
        row["lang"],
        row["axis"],
        row["verdict"]["says"],
        figure(found) + mark,
        figure(found["constant_choice"], digits=2),
        by_group(found),
        f"{found['detectable_effect']:.2f}",
    ]


def by_group(found: Json) -> str:
    """How often the stereotype wins where it is one about each group; over all axes the groups are too many to read."""
    if len(found["by_favoured_group"]) > 2:
        return "see each axis"
    return "; ".join(
        f"{group} {figure(rate, digits=2)}" for group, rate in found["by_favoured_group"].items()
    )


def rule_cells(row: Json) -> list[str]:
    """One row of the rules' table."""
    return [
        row["reason"],
        row["group"],
        figure(row["drop_rate"]),
        figure(row["other_drop_rate"]),
        figure(row["risk_ratio"], digits=2),
        figure(row["stratified_risk_ratio"], digits=2),
        "" if row["p_holm"] is None else f"{row['p_holm']:.3g}",
    ]


def term_cells(row: Json) -> list[str]:
    """One row of the associations' table."""
    sentences = " / ".join(f"{count:,}" for count in row["counts"])
    return [
        row["term"],
        figure(row["log_odds"], digits=2),
        f"{row['z']:.1f}",
        sentences,
        f"{row['p_holm']:.3g}",
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, or a line that says that it is empty."""
    if not rows:
        return ["None.", ""]
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(escape(cell) for cell in line)} |" for line in lines), ""]


def escape(text: str) -> str:
    """Text from outside, harmless in Markdown and in a table cell."""
    for sign, harmless in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("|", "\\|"),
        ("\n", " "),
        ("`", "'"),
    ):
        text = text.replace(sign, harmless)
    return text
