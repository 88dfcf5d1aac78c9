"""Explain reasons: the words for reasons of the steps, and the conditions of decide's rules as they were applied.

In: runs with their manifests and ledgers. Out: sentences and conditions.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gristmill.formatting import format_count, format_counted, format_list
from reports.chain.report_data import ReportData, RunSummary

Json = Mapping[str, Any]

MEANINGS = {
    "robots": "robots.txt of the host forbids to fetch it",
    "opt_out": "the source refuses this use (noai, noindex, paywall and the like)",
    "licence": "the policy does not allow the licence that is stated, or that none is",
    "other_host": "the link leads to a host that is not part of the source",
    "not_html": "the answer is no web page",
    "unreachable": "the host, or its robots.txt, could not be reached",
    "dataloss": "the connection ended before the answer was complete",
    "broken_item": "an item of an interface's answer lacks what it must have",
    "unreadable_answer": "the answer of an interface cannot be read",
    "unreadable_sitemap": "the sitemap cannot be read",
    "unreadable_feed": "the feed cannot be read",
    "reader_error": "the program that reads this source failed on it",
    "private_address": "the name leads into a private network",
    "not_content": "robots.txt, a sitemap, a feed or a listing: it leads to content and is none",
    "http_status": "the server's answer was not a page (its status is not 200)",
    "empty_body": "the answer has no content",
    "not_text": "the answer is no text (an image, for example)",
    "no_text": "nothing is left once the markup is taken away",
    "redirect_to_known": "it redirects to an address that the crawl reads anyway",
    "redirect": "a page that only points to another",
    "not_an_article": "a page of the wiki's own affairs, not an article",
    "revisit": "a repeated capture without content of its own",
    "not_a_response": "a record that is no answer of a server",
    "bad_item": "the item cannot be read: it is broken or lacks its text",
    "bad_json": "the line is no JSON object",
    "bad_value": "the row cannot be read",
    "cut_line": "the last line is cut off",
    "long_line": "the line is too long to be a record",
    "not_utf8": "the bytes are no UTF-8 text",
    "cut_record": "the record is cut off",
    "cut_rights": "the record of its rights is cut off",
    "bad_encoding": "the compressed body cannot be unpacked",
    "undecodable": "the characters cannot be decoded",
    "too_large": "the answer is larger than the limit",
    "unknown_remainder": "the file is damaged: what follows this place is unknown",
    "page_too_big": "the page exceeds the limits of size, elements or depth",
    "extraction_timeout": "extracting the text took too long",
    "extraction_memory": "extracting the text took too much memory",
    "extraction_crashed": "the program that extracts the text crashed on it",
    "extraction_failed": "the program that extracts the text failed on it",
    "decided": "decide dropped it",
}
"""Reasons of crawl, annotate and pack; those of decide are conditions, see below."""


def explain_reason(reason: str) -> str:
    """A reason in words; empty where we have none."""
    if reason.startswith("http_") and reason[5:].isdigit():
        return f"the server answered with status {reason[5:]}"
    return MEANINGS.get(reason, "")


@dataclass(frozen=True, slots=True)
class DropCondition:
    """When a reason of decide drops a document, what the signal in it means, and where that is laid down."""

    name: str
    place: int
    drops_if: str
    signal: str
    origin: str


def list_conditions(decide: RunSummary, signals: Mapping[str, str]) -> list[DropCondition]:
    """Every reason of a decide run in the order in which they count."""
    rules = {str(rule["name"]): rule for rule in decide.details.get("rules", ())}
    fixed = dict(_fixed(decide.config))
    presets_of_kind: Mapping[str, Any] = decide.config.get("presets", {})
    conditions = []
    reasons = map(str, decide.details.get("reasons", ()))
    for position, name in enumerate(reasons, start=1):
        if name in rules:
            condition = _describe_rule(position, rules[name], signals, presets_of_kind)
        else:
            not_recorded = ("not recorded by the version that made this run", "–")
            drops_if, origin = fixed.get(name, not_recorded)
            condition = DropCondition(name, position, drops_if, "", origin)
        conditions.append(condition)
    return conditions


def _describe_rule(
    position: int, rule: Json, signals: Mapping[str, str], presets_of_kind: Mapping[str, Any]
) -> DropCondition:
    preset, signal = str(rule.get("preset", "")), str(rule["signal"])
    meaning = f"{signal}: {signals[signal]}" if signal in signals else ""
    origin = f"preset {preset}{_used_for(preset, presets_of_kind)}"
    return DropCondition(str(rule["name"]), position, format_bounds(rule), meaning, origin)


def _used_for(preset: str, kinds: Mapping[str, Any]) -> str:
    names = [kind for kind, presets in kinds.items() if preset in presets]
    return f" (for {format_list(names, most=10)})" if names else ""


def format_bounds(rule: Json) -> str:
    """A rule's condition with its exceptions: "words > 10 (ja and zh: > 30)"."""
    exceptions: dict[str, list[str]] = {}
    for lang, bound in (rule.get("by_language") or {}).items():
        exceptions.setdefault(_outside(bound), []).append(str(lang))
    said = [f"{format_list(names, most=20)}: {outside}" for outside, names in exceptions.items()]
    if only := [str(lang) for lang in rule.get("only_languages") or ()]:
        said.append(f"only in {format_list(only, most=20)}")
    return f"{rule['signal']} {_outside(rule)}" + (f" ({'; '.join(said)})" if said else "")


def _outside(bound: Json) -> str:
    low, high = bound.get("min"), bound.get("max")
    parts = [f"< {low:g}" if low is not None else "", f"> {high:g}" if high is not None else ""]
    return " or ".join(part for part in parts if part) or "never"


def _fixed(config: Json) -> Iterator[tuple[str, tuple[str, str]]]:
    """The reasons that are no rule of a preset, from decide's settings."""
    rights, near = config.get("rights", {}), config.get("near", {})
    yield "takedown", ("its id, address or author is on the list of takedowns", "decide.takedown")
    opt_out = "the source refuses this use, with whatever word"
    yield (
        "opt_out",
        (
            opt_out if rights.get("honour_opt_outs", True) else "never: opt-outs are not honoured",
            "decide.rights",
        ),
    )
    yield "licence", (_barred(rights), "decide.rights")
    yield "language", (_wrong_language(config), "decide.languages, decide.min_language_score")
    yield (
        "exact_duplicate",
        ("its text equals one that is kept, but for case and white space", "always on"),
    )
    if most := config.get("url", {}).get("max_documents", 0):
        alike = f"estimated similarity {config['url']['min_similarity']:g} or more"
        yield (
            "url_duplicate",
            (
                f"its canonical address is that of one that is kept, and of {most} at most; {alike}",
                "decide.url",
            ),
        )
    if {"min_similarity", "bands", "rows"} <= set(near):
        likeness = f"estimated similarity to another of its cluster, over runs of 5 words: {near['min_similarity']:g} or more"
        yield (
            "near_duplicate",
            (f"{likeness}; candidates from {near['bands']} bands of {near['rows']}", "decide.near"),
        )


def _barred(rights: Json) -> str:
    names = list(rights.get("licences") or ())
    parts = [f"the licence stated is none of {format_list(names, most=20)}"] if names else []
    parts += [] if rights.get("allow_unknown", True) else ["no licence is known"]
    return " or ".join(parts) or "never: any licence is allowed, also an unknown one"


def _wrong_language(config: Json) -> str:
    names, score = list(config.get("languages") or ()), float(config.get("min_language_score") or 0)
    parts = [f"the language is not {' or '.join(names)}"] if names else []
    parts += [f"lang_score < {score:g}"] if score else []
    return " or ".join(parts) or "never: any language is allowed"


def format_failures(run: RunSummary) -> str:
    """What could not be had in a step, by reason, the most frequent first: "http_404 2, http_500 1"."""
    counts = Counter[str]()
    for entry in run.entries:
        if entry.fate == "quarantined":
            counts[entry.reason] += entry.documents
    order = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return ", ".join(f"{reason} {format_count(counts[reason])}" for reason in order)


def explain_units(facts: ReportData) -> Iterator[str]:
    """Why the numbers of one step are not those of the next: one sentence for each step, each number with its unit."""
    crawls, annotate, decide, pack = (
        facts.of("crawl"),
        *(facts.last(step) for step in ("annotate", "decide", "pack")),
    )
    if crawls:
        yield _crawled(crawls)
    if annotate and crawls and not annotate.files_read:
        yield _reread(annotate, crawls)
    elif annotate:
        read, kept = annotate.counts.get("read", 0), annotate.counts.get("kept", 0)
        yield f"annotate read {format_counted(read, 'record')} of its input files and made {format_counted(kept, 'document')} of them."
    if decide:
        yield f"decide judged {format_counted(decide.counts.get('read', 0), 'document')}, one for one what annotate kept."
    if pack:
        before = sum(entry.documents for entry in pack.entries if entry.reason == "decided")
        kept, read = pack.counts.get("kept", 0), pack.counts.get("read", 0)
        yield (
            f"pack read the same {format_counted(read, 'document')} once more, left out the {format_count(before)} that decide had dropped, "
            f"and put {format_count(kept)} into the shards."
        )


def _crawled(crawls: list[RunSummary]) -> str:
    total = {
        name: sum(run.counts.get(name, 0) for run in crawls)
        for name in ("captures", "read", "kept", "dropped", "quarantined")
    }
    stored = (
        f"crawl stored {format_counted(total['captures'], 'answer')} of servers (captures). "
        if total["captures"]
        else ""
    )
    return (
        f"{stored}It counts items: a web page is one, and one answer of an interface (API) holds many articles or posts. "
        f"Of {format_counted(total['read'], 'item')} it kept {format_count(total['kept'])}, dropped {format_count(total['dropped'])}, "
        f"and {format_count(total['quarantined'])} could not be fetched or were broken."
    )


def _reread(annotate: RunSummary, crawls: list[RunSummary]) -> str:
    """annotate reads every stored answer anew: the sum that leads from crawl's items to its records."""
    read, kept = annotate.counts.get("read", 0), sum(run.counts.get("kept", 0) for run in crawls)
    refused = sum(
        run.counts.get(f"dropped:{reason}", 0)
        for run in crawls
        for reason in ("opt_out", "licence")
    )
    listings = annotate.counts.get("dropped:not_content", 0)
    rest = read - kept - refused - listings
    parts = [f"{format_counted(kept, 'item')} that crawl kept"]
    if refused:
        parts.append(
            f"{format_count(refused)} that the policy refused (stored as evidence, and dropped by decide for the same reason)"
        )
    if listings:
        parts.append(
            f"{format_counted(listings, 'answer')} without content of their own (robots.txt, feeds, listings)"
        )
    if rest > 0:
        parts.append(
            f"{format_count(rest)} in stored answers that crawl counted as broken or not at all"
        )
    less = (
        f" - {format_count(-rest)} that crawl counted and that no stored answer held"
        if rest < 0
        else ""
    )
    return (
        f"annotate read every stored answer anew: {format_counted(read, 'record')} = {' + '.join(parts)}{less}. "
        f"It made {format_counted(annotate.counts.get('kept', 0), 'document')} of them."
    )
