"""What audits found about a corpus and about models: each figure with its interval and n, and what it was counted on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gristmill.formatting import format_count, format_counted, format_language, format_list
from reports.card.content import Card
from reports.card.markup import Code, bullets, table, text
from reports.chain.audit_section import ALPHA, SCHEMA
from reports.chain.report_data import AuditSummary

Json = Mapping[str, Any]
MOST_TERMS = 5


def biases(card: Card) -> Iterator[str]:
    """What audits found, each figure with its interval and n."""
    if not card.audits:
        yield "This corpus was **not audited**: nothing is known about its biases. Text from the web misrepresents groups of people; run `gristmill audit` before relying on it."
    for audit in card.audits:
        yield f"Audit `{audit.run}`, values with their 95 % interval and n:\n"
        yield from (bullet for line in audit.headlines for bullet in bullets(text(line)))
        yield from (f"\n{line}" for line in (*models(card, audit), *basis(card)))
        if audit.content.get("schema") == SCHEMA:
            yield from in_detail(audit)
        yield "\nLimits of the audit:\n"
        yield from (
            bullet for limit in audit.content.get("limits", []) for bullet in bullets(limit)
        )


def models(card: Card, audit: AuditSummary) -> Iterator[str]:
    """On what each model of an audit was trained, as far as runs tell."""
    names = [str(model["name"]) for model in audit.content.get("models") or ()]
    for name in names:
        yield f"The model {Code(name).written} was {training(card, name)}."


def training(card: Card, name: str) -> str:
    """On which pack a model was trained, and whether that is the one that the card is of."""
    packs = sorted(behind(card, name))
    if not packs:
        return "not trained by a run that is known here: its figures say nothing of this corpus"
    told = format_list([f"`{pack}`" for pack in packs])
    return f"trained on {told}" + (
        "" if packs == [card.run.id] else f", not on this {'one' if card.packed else 'text'}"
    )


def behind(card: Card, name: str) -> set[str]:
    """The pack runs that a run was made from, through all that it read; a pack itself ends the way."""
    known = {run.id: run for run in card.runs}
    if name not in known:
        return set()
    if known[name].step == "pack":
        return {name}
    return {pack for parent in known[name].parents for pack in behind(card, parent)}


def basis(card: Card) -> Iterator[str]:
    """What the figures of a corpus count, where the rows of this run are others."""
    if not (card.left_out or card.repeats):
        return
    told = f"Figures of the corpus count each of the {format_counted(card.scan.kept, 'document')} that `decide` kept once; this run"
    parts = [f"leaves out {format_count(card.left_out)} of them"] if card.left_out else []
    parts += (
        [
            f"writes {format_counted(card.distinct, 'document')} in {format_counted(card.rows, 'row')}"
        ]
        if card.repeats
        else []
    )
    groups = card.run.details.get("mixture") or []
    times = format_list(
        [f"{text(group['key'])} {group['times']:.2f} times" for group in groups], most=9
    )
    yield f"{told} {' and '.join(parts)}, so shares differ in its rows" + (
        f" (on average {times})." if times else "."
    )


def in_detail(audit: AuditSummary) -> Iterator[str]:
    """Mentions, words and rules, each with what its number means."""
    corpus, rules = audit.content.get("corpus"), audit.content.get("rules")
    means = {name: one["means"] for name, one in audit.content["definitions"].items()}
    if corpus:
        whole = [row for row in corpus["slices"] if row["source"] == "(all)"]
        yield f"\nHow often groups are mentioned. {means['mentions.per_million']}\n"
        head = ["language", "group", "mentions", "per million [95 %]", "documents of the language"]
        yield from table(head, list(mentions(whole)))
        if unseen := [bullet for line in never(whole) for bullet in bullets(line)]:
            yield from ("\nNever mentioned, so left out of the table:\n", *unseen)
        yield f"\nWords that lean to one of two groups beyond chance (Holm, {ALPHA:.0%}). {means['associations.log_odds']}\n"
        rows = list(leaning(corpus))
        yield from (
            table(
                ["language", "groups", "word", "log-odds [95 %]", "documents with the word"], rows
            )
            if rows
            else iter(["None."])
        )
    if rules:
        sure = sorted(
            (row for row in rules["rows"] if row["p_holm"] is not None and row["p_holm"] < ALPHA),
            key=lambda row: (row["p_holm"], row["reason"], row["group"]),
        )
        yield f"\nRules that drop documents of a group more or less often beyond chance (Holm, {ALPHA:.0%}). {means['rules.stratified_risk_ratio']}\n"
        cells = [
            (
                Code(row["reason"]),
                row["group"],
                interval(row["stratified_risk_ratio"]),
                int(row["stratified_risk_ratio"]["n"]),
            )
            for row in sure
        ]
        yield from (
            table(["rule", "group", "risk ratio [95 %]", "documents compared"], cells)
            if cells
            else iter(["None."])
        )


def mentions(slices: Sequence[Json]) -> Iterator[tuple[object, ...]]:
    """A row for each language and group that is mentioned at all."""
    for row in slices:
        for group, found in row["groups"].items():
            if found["mentions"]:
                estimate = found["per_million"]
                yield (
                    format_language(row["lang"]),
                    group,
                    int(found["mentions"]),
                    interval(estimate, 1),
                    int(estimate["n"]),
                )


def never(slices: Sequence[Json]) -> Iterator[str]:
    """The groups of each language that are not mentioned at all, by axis."""
    for row in slices:
        axes: dict[str, list[str]] = {}
        for group, found in row["groups"].items():
            if not found["mentions"]:
                axes.setdefault(group.partition("/")[0], []).append(group.partition("/")[2])
        if axes:
            told = (f"{axis}: {', '.join(groups)}" for axis, groups in axes.items())
            yield f"{format_language(row['lang'])}; {'; '.join(told)}"


def leaning(corpus: Json) -> Iterator[tuple[object, ...]]:
    """The ends of the lists of words that lean to one group."""
    for total in corpus["association_totals"]:
        key = total["lang"], total["axis"]
        rows = [
            row
            for row in corpus["associations"]
            if (row["lang"], row["axis"]) == key and row["p_holm"] < ALPHA
        ]
        rows.sort(key=lambda row: (-row["log_odds"]["value"], row["term"]))
        ends = rows if len(rows) <= 2 * MOST_TERMS else [*rows[:MOST_TERMS], *rows[-MOST_TERMS:]]
        for row in ends:
            yield (
                format_language(row["lang"]),
                " : ".join(total["groups"]),
                row["term"],
                interval(row["log_odds"]),
                int(row["log_odds"]["n"]),
            )


def interval(estimate: Json, digits: int = 2) -> str:
    """An estimate with its interval."""
    value, low, high = (f"{estimate[key]:,.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
