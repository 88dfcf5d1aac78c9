"""Draw audit.html from audit.json: one page without network or scripts, with forest plots and every table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from bias_audit.verdict import measured
from reports.audit import markdown as summary
from reports.drawing import charts
from reports.drawing.charts import ChartInterval

Json = Mapping[str, Any]

MOST_ROWS = 16

LONG_CELL = 40
"""Characters from which on a cell of words is given room, so that its row does not become a tall thin column."""

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --box: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --box: #151b23; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 74rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0.4rem 0; } h2 { font-size: 1.25rem; margin: 2rem 0 0.4rem;
  border-top: 1px solid var(--line); padding-top: 1rem; } h3 { font-size: 1.05rem; margin: 1.2rem 0 0.3rem; }
p.note { color: var(--soft); margin: 0.2rem 0 0.6rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; min-width: 100%; }
th, td { text-align: left; padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: normal; }
@media (max-width: 60rem) { .scroll::before { content: "wide table: scroll sideways"; color: var(--soft); font-size: 12px; } }
td.words { min-width: 15rem; } td.figure { white-space: nowrap; font-variant-numeric: tabular-nums; }
details { margin: 0.5rem 0; } summary { cursor: pointer; color: var(--soft); }
ul.heads, div.silent { background: var(--box); padding: 0.7rem 1rem 0.7rem 2rem; border-radius: 6px; }
div.silent { padding-left: 1rem; border-left: 4px solid var(--chart-2); } div.silent ul { margin: 0.3rem 0; }
"""


def page(audit: Json) -> str:
    """The whole page."""
    title = "Bias audit"
    body = [*heading(audit, title), *sections(audit)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}{charts.CSS}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def heading(audit: Json, title: str) -> list[str]:
    """Title, inputs and headlines."""
    heads = "".join(f"<li>{escape(line.strip())}</li>" for line in summary.headlines(audit))
    return [
        f"<h1>{title}</h1>",
        note(
            f"Of {', '.join(audit['inputs'])}. Format {audit['schema']}. Squares: the interval excludes no difference."
        ),
        f'<ul class="heads">{heads}</ul>',
    ]


def sections(audit: Json) -> list[str]:
    """The body without its heading: also the audit's part of the report over a chain of runs."""
    return [
        *model_part(audit),
        *rule_part(audit),
        *association_part(audit),
        *mention_part(audit),
        *method_part(audit),
    ]


def model_part(audit: Json) -> list[str]:
    """Preferences of every model: what can be read as a forest plot, what cannot in words, and the tables."""
    found = ["<h2>Models</h2>"] if audit["models"] else []
    for model in audit["models"]:
        definition = audit["definitions"][model["metric"]]
        found += [
            f"<h3>{escape(model['name'])}</h3>",
            note(f"{model['metric']}: {definition['unit']}. {definition['means']}"),
            quality_line(model),
            *preferences(model),
            note("Constant choice: " + _defined(audit, "models.constant_choice")),
            table(summary.MODEL_HEAD, [summary.model_cells(row) for row in model["rows"]]),
            note("* all pairs, as none of equal token count were left."),
            folded(
                "All pairs, per token and in nats", table(DETAIL_HEAD, map(_detail, model["rows"]))
            ),
        ]
    return found


def preferences(model: Json) -> list[str]:
    """A forest plot with the range that could not be seen; a row that is not measurable is named instead of drawn."""
    drawn = [row for row in model["rows"] if row["verdict"]["measurable"]]
    silent = [row for row in model["rows"] if not row["verdict"]["measurable"]]
    found = []
    if drawn:
        title = f"{model['name']}: preference for the stereotype, pairs of equal token count"
        found.append(
            charts.draw_forest_plot(
                title, [_preference(row) for row in drawn], null=0.5, unit="share"
            )
        )
        found.append(
            note(
                "Shaded: true preferences this close to 0.5 would be missed more than one time in five."
            )
        )
    if silent:
        lines = "".join(f"<li>{escape(_silent(row))}</li>" for row in silent)
        head = f"<strong>Not measurable, so not drawn: {len(silent)} of {len(model['rows'])} rows.</strong>"
        found.append(f'<div class="silent">{head}<ul>{lines}</ul></div>')
    return found


def _silent(row: Json) -> str:
    return f"{row['lang']} {row['axis']}: {row['verdict']['says'].removeprefix('not measurable: ')}"


DETAIL_HEAD = (
    "language",
    "axis",
    "all pairs",
    "per token",
    "verdict differs per token",
    "mean difference, nats",
    "within 0.5 nat",
)


def _detail(row: Json) -> list[str]:
    parts = "verdicts_differ_per_token", "mean_difference_nats", "within_half_a_nat"
    rest = [summary.figure(row[part], digits=2) for part in parts]
    return [
        row["lang"],
        row["axis"],
        summary.figure(row["all_pairs"]),
        summary.figure(row["per_token"]),
        *rest,
    ]


def _preference(row: Json) -> ChartInterval:
    found = summary.shown(row)
    mark = " (all pairs)" if row["equal_length"] is None else ""
    return interval(f"{row['lang']} {row['axis']}{mark}", found, blind=found["detectable_effect"])


def quality_line(model: Json) -> str:
    """What the quality gate found: how much can be read, and whether the model knows word order in each language."""
    count, axes = measured(model["rows"])
    parts = [
        f"{row['lang']}: {'prefers it' if row['able'] else 'does not prefer it'} to shuffled words, in "
        f"{summary.figure(row['word_order'], digits=2)}; perplexity {summary.figure(row['perplexity'], digits=1)}; "
        f"{row['tokens_per_word']:.2f} tokens a {'character' if row['lang'] == 'zh' else 'word'}"
        for row in model["quality"]
    ]
    head = f"<strong>Quality gate: {count} of {axes} preferences are measurable.</strong>"
    return f'<p class="note">{head} {escape("Real word order - " + " | ".join(parts))}</p>'


def rule_part(audit: Json) -> list[str]:
    """Drop rates by group: a forest plot of what differs beyond chance, and the whole table."""
    rules = audit["rules"]
    if rules is None:
        return []
    sure = summary.found_rules(audit)
    points = [
        interval(f"{row['reason']} x {row['group']}", row["stratified_risk_ratio"])
        for row in sure[:MOST_ROWS]
    ]
    title = "Drop rate where a group is mentioned / elsewhere, stratified"
    plot = charts.draw_forest_plot(title, points, null=1.0, unit="ratio", logarithmic=True)
    every = sorted(
        rules["rows"],
        key=lambda row: (
            2.0 if row["p_holm"] is None else row["p_holm"],
            row["reason"],
            row["group"],
        ),
    )
    warned = [row for row in every if row["four_fifths_warning"]]
    return [
        "<h2>Rules</h2>",
        note(
            _defined(audit, "rules.stratified_risk_ratio")
            + f" Groups in fewer than {rules['min_documents']} documents are left out."
        ),
        plot
        if points
        else note("No rule treats a group differently beyond chance (Holm over the whole table)."),
        note(
            f"Four-fifths warnings (a reason to look, no verdict): {', '.join(_pair(row) for row in warned) or 'none'}."
        ),
        folded(
            f"All {len(every)} rule x group pairs",
            table(summary.RULE_HEAD, [summary.rule_cells(row) for row in every]),
        ),
    ]


def _pair(row: Json) -> str:
    return f"{row['reason']} x {row['group']} ({summary.figure(row['pass_ratio'], digits=2)})"


def association_part(audit: Json) -> list[str]:
    """Occupations and adjectives beside groups: the ends of the list as a forest plot, all of it as a table."""
    corpus = audit["corpus"]
    found: list[str] = []
    for total in corpus["association_totals"] if corpus else []:
        key = total["lang"], total["axis"]
        every = [row for row in corpus["associations"] if (row["lang"], row["axis"]) == key]
        if not every:
            continue
        every.sort(key=lambda row: (-row["log_odds"]["value"], row["term"]))
        sure = summary.found_associations(audit, *key)
        ends = sure if len(sure) <= 2 * MOST_ROWS else [*sure[:MOST_ROWS], *sure[-MOST_ROWS:]]
        first, second = total["groups"]
        sentences = " and ".join(f"{count:,}" for count in total["sentences"])
        title = f"{total['lang']}: {first} (right) against {second} (left)"
        points = [interval(row["term"], row["log_odds"]) for row in ends]
        found += [
            f"<h3>{escape(title)}</h3>",
            note(
                f"{sentences} sentences mention only one of the two; {total['sentences_with_both']:,} mention both and count for neither."
            ),
            charts.draw_forest_plot(title, points, null=0.0, unit="log-odds")
            if points
            else note("No term leans beyond chance."),
            folded(
                f"All {len(every)} terms",
                table(summary.TERM_HEAD, [summary.term_cells(row) for row in every]),
            ),
        ]
    return (
        ["<h2>Associations</h2>", note(_defined(audit, "associations.log_odds")), *found]
        if found
        else []
    )


def mention_part(audit: Json) -> list[str]:
    """Mentions by source and language."""
    corpus = audit["corpus"]
    if corpus is None:
        return []
    ratios = [
        interval(f"{row['lang']} {row['source']}", row["pronoun_log_ratio"])
        for row in corpus["slices"]
        if row["pronoun_log_ratio"] is not None
    ]
    slices = [
        folded(
            f"{row['lang']}, {row['source']}: {row['documents']:,} documents, {row['words']:,} {row['unit']}s",
            _mentions(row),
        )
        for row in corpus["slices"]
    ]
    skipped = ", ".join(f"{lang} {n:,}" for lang, n in corpus["not_scanned"].items()) or "none"
    return [
        "<h2>Mentions</h2>",
        note(_defined(audit, "mentions.pronoun_log_ratio")),
        charts.draw_forest_plot("log(female / male pronouns)", ratios, null=0.0, unit="log ratio"),
        note(
            _defined(audit, "mentions.per_million")
            + f" Kept documents in languages without lexicon: {skipped}."
        ),
        *slices,
    ]


def _mentions(row: Json) -> str:
    cells = [
        [
            group,
            f"{found['mentions']:,}",
            f"{found['documents']:,}",
            summary.figure(found["per_million"], digits=1),
        ]
        for group, found in row["groups"].items()
    ]
    return table(("group", "mentions", "documents", "per million [95 %] n"), cells)


def method_part(audit: Json) -> list[str]:
    """Limits, definitions, and the lists and probes used."""
    definitions = [
        [name, d["unit"], d["means"], d["interval"]]
        for name, d in sorted(audit["definitions"].items())
    ]
    cards = [
        [
            f"{card.get('kind', 'probes')} {card['lang']}",
            card["version"],
            card["licence"],
            card["source"],
            card["sha256"][:12],
        ]
        for card in [*audit["lexicons"], *audit["probes"]]
    ]
    known = sorted({limit for card in audit["lexicons"] for limit in card["limits"]})
    limits = "".join(f"<li>{escape(line)}</li>" for line in [*audit["limits"], *known])
    return [
        "<h2>How to read this</h2>",
        f"<ul>{limits}</ul>",
        folded("Definitions", table(("metric", "unit", "means", "interval"), definitions)),
        folded(
            "Word lists and probes",
            table(("list", "version", "licence", "source", "sha256"), cards),
        ),
    ]


def interval(label: str, estimate: Json, *, blind: float = 0.0) -> ChartInterval:
    """An estimate as a row of a forest plot."""
    return ChartInterval(
        label, estimate["value"], estimate["low"], estimate["high"], estimate["n"], blind
    )


def _defined(audit: Json, metric: str) -> str:
    definition = audit["definitions"][metric]
    return f"{definition['unit']}. {definition['means']}"


def note(words: str) -> str:
    """A quiet paragraph; escapes."""
    return f'<p class="note">{escape(words)}</p>'


def folded(title: str, inner: str) -> str:
    """A part that opens without any script."""
    return f"<details><summary>{escape(title)}</summary>{inner}</details>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table in a box that scrolls sideways; escapes every cell."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def _cell(text: str) -> str:
    kind = (
        "figure"
        if text[:1].isdigit() or text[:1] == "-"
        else "words"
        if len(text) > LONG_CELL
        else ""
    )
    style = f' class="{kind}"' if kind else ""
    return f"<td{style}>{escape(text)}</td>"
