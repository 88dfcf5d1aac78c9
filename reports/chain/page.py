"""Put the sections together into one self-contained page: no network, no scripts, nothing that data could inject."""

import base64
import hashlib
from collections.abc import Iterable

from reports.chain.audit_section import draw_audit_section
from reports.chain.duplicates import draw_duplicates_section
from reports.chain.funnel import draw_funnel_section
from reports.chain.provenance import draw_limits_section, draw_provenance_section
from reports.chain.report_data import ReportData
from reports.chain.sources import draw_crawl_section, draw_languages_section
from reports.chain.summary import draw_overview, write_headline
from reports.chain.training import draw_tokens_section, draw_training_section
from reports.drawing.glossary import glossary
from reports.drawing.markup import FORBIDDEN, Content, Html, content, tag
from reports.drawing.style import CSS

CONTENTS = (
    ("top", "Overview"),
    ("crawl", "What was read"),
    ("funnel", "The funnel"),
    ("languages", "Languages, sources"),
    ("duplicates", "Duplicates"),
    ("tokens", "Tokens"),
    ("training", "Training"),
    ("audit", "Bias audit"),
    ("trail", "Following a number back"),
    ("limits", "Limits"),
    ("words", "Words on this page"),
)
SECTIONS = (
    draw_crawl_section,
    draw_funnel_section,
    draw_languages_section,
    draw_duplicates_section,
    draw_tokens_section,
    draw_training_section,
    draw_audit_section,
    draw_provenance_section,
    draw_limits_section,
)


def draw_page(facts: ReportData) -> str:
    """The whole page; equal facts give equal bytes."""
    parts = [draw_overview(facts), *(draw(facts) for draw in SECTIONS), glossary(), _footer(facts)]
    return assemble(f"Gristmill report: {write_headline(facts)}", CONTENTS, *parts)


def assemble(
    title: str, contents: Iterable[tuple[str, str]], *parts: Content, style: str = CSS
) -> str:
    """A page of these parts beside its table of contents (anchor, name)."""
    links = [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name in contents]
    body = tag(
        "div",
        tag("nav", tag("ol", *links), aria_label="Contents"),
        tag("main", *parts),
        class_="frame",
    )
    whole = (
        "<!doctype html>\n"
        + tag("html", _head(title, Html(style)), "\n", tag("body", body), lang="en")
        + "\n"
    )
    return FORBIDDEN.sub(
        "\ufffd", whole
    )  # charts escape markup, but let control characters through


def _head(title: str, style: Html) -> Html:
    """Title, style, and a policy under which the page can load or run nothing at all."""
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy(style)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", style),
    )


def policy(style: str) -> str:
    """Only this very style sheet is allowed."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _footer(facts: ReportData) -> Html:
    versions = sorted({run.version for run in facts.runs})
    return tag(
        "footer",
        content("Made by Gristmill ", ", ".join(versions), " from ", ", ".join(facts.ends), "."),
    )
