"""Put the sections of the chain report together into one self-contained page."""

from collections.abc import Callable

from markupsafe import Markup

from reports.chain.audit_section import draw_audit_section
from reports.chain.duplicates import draw_duplicates_section
from reports.chain.funnel import draw_funnel_section
from reports.chain.provenance import draw_limits_section, draw_provenance_section
from reports.chain.report_data import ReportData
from reports.chain.sources import draw_crawl_section, draw_languages_section
from reports.chain.summary import draw_overview, write_headline
from reports.chain.tokens_section import draw_tokens_section
from reports.chain.training import draw_training_section
from reports.drawing.glossary import draw_glossary
from reports.drawing.templates import ContentsEntry, render, render_page

CONTENTS = (
    ContentsEntry("top", "Overview"),
    ContentsEntry("crawl", "What was read"),
    ContentsEntry("funnel", "The funnel"),
    ContentsEntry("languages", "Languages, sources"),
    ContentsEntry("duplicates", "Duplicates"),
    ContentsEntry("tokens", "Tokens"),
    ContentsEntry("training", "Training"),
    ContentsEntry("audit", "Bias audit"),
    ContentsEntry("trail", "Following a number back"),
    ContentsEntry("limits", "Limits"),
    ContentsEntry("words", "Words on this page"),
)

SECTIONS: tuple[Callable[[ReportData], Markup], ...] = (
    draw_overview,
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


def draw_page(report: ReportData) -> str:
    """The whole page; equal data give equal bytes."""
    sections = [draw_section(report) for draw_section in SECTIONS]
    title = f"Gristmill report: {write_headline(report)}"
    return render_page(title, CONTENTS, *sections, draw_glossary(), _draw_footer(report))


def _draw_footer(report: ReportData) -> Markup:
    versions = sorted({run.version for run in report.runs})
    return render(
        "chain/footer.html.jinja", versions=", ".join(versions), runs=", ".join(report.ends)
    )
