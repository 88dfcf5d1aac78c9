"""Fill the templates of pages: one environment in which every value is escaped unless it is markup already.

In: the name of a template below `reports/templates/`, and typed values for it. Out: `Markup`, or a whole page as text.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.drawing.inline import link_term
from reports.drawing.style import CSS

FOLDER = Path(__file__).parents[1] / "templates"

FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Control characters, lone surrogates and noncharacters: HTML forbids them, and crawled text holds them."""


class ContentsEntry(NamedTuple):
    """One line of a page's table of contents: the id of a section, and its name."""

    anchor: str
    title: str


def render(template: str, **values: object) -> Markup:
    """Fill one template; a name that it uses and that is not among `values` is an error."""
    return Markup(load_environment().get_template(template).render(values))


def render_text(template: str, **values: object) -> str:
    """Fill a template that is not HTML; nothing is escaped but by its own filters."""
    return load_environment().get_template(template).render(values)


def render_page(title: str, contents: Sequence[ContentsEntry], *sections: Markup) -> str:
    """Lay out a whole page: sections beside their table of contents, and no way to load or run anything."""
    page = render(
        "page.html.jinja",
        title=title,
        contents=contents,
        sections=sections,
        style=Markup(CSS),
        policy=write_policy(CSS),
    )
    return replace_forbidden(page)


def replace_forbidden(page: str) -> str:
    """The page with U+FFFD in place of every character that HTML forbids."""
    return FORBIDDEN.sub("\ufffd", str(page))


def write_policy(style: str) -> str:
    """The content security policy under which only this very style sheet is allowed."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def load_environment() -> Environment:
    """The templates with their filters; made once, as it compiles each template once."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_leave_out_none,
    )
    environment.globals["term"] = link_term
    environment.filters["markdown"] = escape_markdown
    return environment


def _leave_out_none(value: object) -> object:
    return "" if value is None else value


# "&" comes first: the entities that the other replacements write must not be escaped again.
MARKDOWN_SIGNS = (
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ("|", "\\|"),
    ("\n", " "),
    ("`", "'"),
)


def escape_markdown(text: str) -> str:
    """Text from outside, harmless in Markdown and in a cell of a table."""
    for sign, harmless in MARKDOWN_SIGNS:
        text = text.replace(sign, harmless)
    return text
