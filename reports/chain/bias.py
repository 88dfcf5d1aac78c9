"""The audit in short, drawn from audit.json: headlines, preferences by axis, filters by group, words beside groups."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from gristmill.formatting import format_count, format_language
from reports.chain.report_data import AuditSummary, ReportData
from reports.drawing.blocks import bullets, chart, code, folded, missing, note, part, section, table
from reports.drawing.charts import ChartInterval, draw_forest_plot
from reports.drawing.markup import Html, content, tag

SCHEMA = "gristmill.audit/2"
ALPHA = 0.05
MOST_RULES, MOST_TERMS = 16, 8
Json = Mapping[str, Any]


def draw_audit_section(facts: ReportData) -> Html:
    """Section 7."""
    title = "The bias audit"
    if not facts.audits:
        how = [code("gristmill audit --in RUN"), ", then report on the audit run."]
        return section("audit", title, missing("an audit.", "Make one with ", *how))
    return section("audit", title, *map(_audit, facts.audits))


def _audit(audit: AuditSummary) -> Html:
    head = [tag("h3", audit.run), bullets(line.strip() for line in audit.headlines), links(audit)]
    if audit.content.get("schema") != SCHEMA:
        return content(
            *head,
            note(
                "This audit is written in another format than this report reads: open its own page."
            ),
        )
    found = audit.content
    return content(
        *head,
        *(_model(model) for model in found["models"]),
        part("Filters by group", *_rules(found)) if found["rules"] else None,
        part("The corpus", *_corpus(found)) if found["corpus"] else None,
        folded("Limits of the audit", bullets(found["limits"])),
    )


def links(audit: AuditSummary) -> Html:
    """The audit's own files, beside this page."""
    names = [
        content(" · " if place else "", tag("a", name, href=quote(link)))
        for place, (name, link) in enumerate(audit.links)
    ]
    return tag("p", "All tables and definitions: ", *names) if names else Html()


def _model(model: Json) -> Html:
    rows = model["rows"]
    drawn = [row for row in rows if row["verdict"]["measurable"]]
    title = f"{model['name']}: preference for the stereotype"
    head = (
        "language",
        "axis",
        "reading",
        "#preference",
        "95 %",
        "#n",
        "#constant choice",
        "by group",
        "#could not have seen",
    )
    plot = chart(
        draw_forest_plot(title, [_preference(row) for row in drawn], null=0.5, unit="share")
    )
    return content(
        tag("h4", title),
        note(
            f"Scorer {model['scorer']}. 0.5 means no preference, or that the same word wins in every context; such rows are "
            "not measurable, and not drawn. ",
            tag("strong", _gate(model, rows)),
        ),
        *_silent(rows),
        plot if drawn else None,
        note(
            "Circles: the interval holds 0.5; squares: it does not. Shaded: a true preference this close to 0.5 would be missed "
            "more than one time in five. Pairs of equal token count where there are any."
        )
        if drawn
        else None,
        folded(
            "As a table", note(CONSTANT), table(title, head, [_preference_row(row) for row in rows])
        ),
    )


CONSTANT = (
    "Constant choice: how often the same group's word is picked in two contexts stereotyped for different groups. 1: one word "
    "always wins, and the preference is 0.5 whatever the model thinks; 0.5: chance. By group: how often the stereotype wins "
    "where it is one about that group."
)


def _gate(model: Json, rows: list[Json]) -> str:
    """What the quality gate lets a reader read."""
    axes = [row for row in rows if row["axis"] != "(all)"]
    count = sum(row["verdict"]["measurable"] for row in axes)
    weak = [format_language(row["lang"]) for row in model["quality"] if not row["able"]]
    why = f" The model prefers no word order in {', '.join(weak)}." if weak else ""
    return f"{count} of {len(axes)} preferences can be read.{why}"


def _silent(rows: list[Json]) -> Iterator[Html]:
    """What cannot be read, and why, in the audit's words."""
    lines = [
        f"{format_language(row['lang'])}, {row['axis']}: {row['verdict']['says']}"
        for row in rows
        if not row["verdict"]["measurable"]
    ]
    if lines:
        yield bullets(lines)


def _shown(row: Json) -> Json:
    found: Json = row["all_pairs"] if row["equal_length"] is None else row["equal_length"]
    return found


def _preference(row: Json) -> ChartInterval:
    return interval(
        f"{row['lang']} {row['axis']}", _shown(row), blind=float(_shown(row)["detectable_effect"])
    )


def _preference_row(row: Json) -> list[str]:
    found = _shown(row)
    constant = found["constant_choice"]
    rates = found["by_favoured_group"]
    groups = (
        "; ".join(f"{group} {rate['value']:.2f}" for group, rate in rates.items())
        if len(rates) <= 2
        else "see each axis"
    )
    return [
        format_language(row["lang"]),
        row["axis"],
        row["verdict"]["says"],
        *_figures(found),
        "-"
        if constant is None
        else f"{constant['value']:.2f} [{constant['low']:.2f}, {constant['high']:.2f}]",
        groups,
        f"{found['detectable_effect']:.2f}",
    ]


def _figures(estimate: Json) -> list[str]:
    return [
        f"{estimate['value']:.3f}",
        f"{estimate['low']:.3f} to {estimate['high']:.3f}",
        format_count(estimate["n"]),
    ]


def interval(label: str, estimate: Json, *, blind: float = 0.0) -> ChartInterval:
    """An estimate of the audit as a row of a forest plot."""
    return ChartInterval(
        label, estimate["value"], estimate["low"], estimate["high"], estimate["n"], blind
    )


def _rules(audit: Json) -> Iterator[Html]:
    every = audit["rules"]["rows"]
    rows = [row for row in every if row["stratified_risk_ratio"] is not None]
    sure = sorted(
        (r for r in rows if r["p_holm"] < ALPHA),
        key=lambda r: (r["p_holm"], r["reason"], r["group"]),
    )
    points = [
        interval(f"{row['reason']} x {row['group']}", row["stratified_risk_ratio"])
        for row in sure[:MOST_RULES]
    ]
    title = "Drop rate where a group is mentioned / elsewhere"
    yield note(
        f"{len(sure)} of {len(every)} pairs of a rule and a group differ beyond chance (Holm, {ALPHA:.0%}), compared within "
        f"source, language and length; for {len(rows)} there was something to compare. 1 means equal. A difference is a place to look, not a verdict."
    )
    if points:
        yield chart(draw_forest_plot(title, points, null=1.0, unit="ratio", logarithmic=True))
    ranked = sorted(rows, key=lambda row: (row["p_holm"], row["reason"], row["group"]))
    head = ("rule", "group", "#risk ratio", "95 %", "#n", "#p (Holm)")
    cells = [
        (code(r["reason"]), r["group"], *_figures(r["stratified_risk_ratio"]), f"{r['p_holm']:.3f}")
        for r in ranked[:100]
    ]
    if cells:
        yield folded(
            f"The {len(cells)} pairs that differ most, as a table", table(title, head, cells)
        )


def _corpus(audit: Json) -> Iterator[Html]:
    corpus = audit["corpus"]
    ratios = [
        interval(f"{row['lang']} {row['source']}", row["pronoun_log_ratio"])
        for row in corpus["slices"]
        if row["pronoun_log_ratio"] is not None
    ]
    if ratios:
        yield chart(
            draw_forest_plot("log(female / male pronouns)", ratios, null=0.0, unit="log ratio")
        )
        yield note(
            "0 means as many of one as of the other, -0.69 half as many female as male ones; n counts pronouns."
        )
    for total in corpus["association_totals"]:
        yield from _associations(corpus["associations"], total)


def _associations(rows: list[Json], total: Json) -> Iterator[Html]:
    """The ends of the list of terms that lean to one of two groups beyond chance."""
    key = (total["lang"], total["axis"])
    sure = [row for row in rows if (row["lang"], row["axis"]) == key and row["p_holm"] < ALPHA]
    sure.sort(key=lambda row: (-row["log_odds"]["value"], row["term"]))
    if not sure:
        return
    ends = sure if len(sure) <= 2 * MOST_TERMS else [*sure[:MOST_TERMS], *sure[-MOST_TERMS:]]
    first, second = total["groups"]
    title = f"{total['lang']}: words beside {first} (right) or {second} (left)"
    yield chart(
        draw_forest_plot(
            title,
            [interval(row["term"], row["log_odds"]) for row in ends],
            null=0.0,
            unit="log-odds",
        )
    )
    sentences = " and ".join(format_count(n) for n in total["sentences"])
    yield note(
        f"{len(ends)} of {len(sure)} words that lean beyond chance; {sentences} sentences mention only one of the two."
    )
