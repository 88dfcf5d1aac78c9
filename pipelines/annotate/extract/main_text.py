"""The main text of a page: trafilatura's own reader without its rescues, on a tree that was parsed once.

trafilatura's `fast` mode measures the whole page, copies the tree three times and looks up authors, tags and dates by
patterns on every element; that is two thirds of its time. Here its reader runs alone, and the caller decides by the
length of what it found whether the slow way (`rescued_text`) is worth its time (docs/decisions/0004).
"""

import re
from functools import cache
from typing import Any

SHORT_END = 60
"""Bytes below which a last line that ends no sentence is a label of what was cut away below it."""

_CONTROL = bytes({*range(9), 11, 12, *range(14, 32)})
_FORUM = '"DiscussionForumPosting"'
_COMMENT_ID = re.compile(r"[Cc]omment(?!ary)|comol|disqus_thread|dsq-comments")
_COMMENT_CLASS = re.compile(r"^[Cc]omment(?!ary)|(?:article|post)-comments")
_SENTENCE_END = (*".!?…\"”“»«'’)]。！？」』）】．؟۔।॥։።។။", "\u0e2f")


@cache
def _make_parser() -> Any:
    """A parser that makes plain elements (no class looked up for each) and does not cut what is deeper than 256."""
    from lxml import etree, html

    parser = html.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False, huge_tree=True
    )
    parser.set_element_class_lookup(etree.ElementDefaultClassLookup(element=html.HtmlElement))
    return parser


def parse_html(page: str) -> Any:
    """The tree of a page, or None for one without any element."""
    from lxml import etree, html

    try:
        return html.document_fromstring(
            page.encode("utf-8", "replace").translate(None, _CONTROL), parser=_make_parser()
        )
    except etree.ParserError:
        return None


@cache
def _make_options(fast: bool) -> Any:
    from trafilatura.settings import Extractor

    return Extractor(output_format="python", fast=fast, comments=False)


def extract_main_text(tree: Any, page: str) -> str:
    """The text of the main part; the tree is used up."""
    from trafilatura.htmlprocessing import convert_tags, tree_cleaning
    from trafilatura.main_extractor import extract_content
    from trafilatura.xml import xmltotxt

    if _FORUM not in page:
        _drop_comments(tree)
    options = _make_options(True)
    body, _ = extract_content(convert_tags(tree_cleaning(tree, options), options), options)
    return str(xmltotxt(body, False))


def count_visible_characters(tree: Any) -> int:
    """How many characters a page shows or hides at most; scripts and styles are removed from the tree."""
    from lxml import etree

    etree.strip_elements(tree, "script", "style", "template", with_tail=False)
    return int(tree.xpath("string-length(normalize-space(.))"))


def extract_with_fallbacks(tree: Any) -> str:
    """What trafilatura finds with all its rescues: readability, justext, the raw page. The tree is used up."""
    from trafilatura import bare_extraction

    found = bare_extraction(tree, options=_make_options(False))
    return "" if found is None else found.text or ""


def _drop_comments(tree: Any) -> None:
    """Remove readers' comments, with the attributes that trafilatura knows them by."""
    found = [
        element
        for element in tree.iter("div", "section", "details", "ol", "ul")
        if ((name := element.get("id")) and _COMMENT_ID.match(name))
        or ((name := element.get("class")) and _COMMENT_CLASS.search(name))
    ]
    for element in found:
        element.drop_tree()


def strip_loose_end(text: str) -> str:
    """The text without last lines that only announce what was cut away ("Read more:", a share button, a name).

    Only short lines that end no sentence go, never items of lists or cells of tables, and only in texts whose other
    lines mostly do end sentences: verse, lists and scripts without punctuation stay whole.
    """
    lines = text.rstrip().split("\n")
    long = [line.rstrip() for line in lines if len(line.encode()) >= SHORT_END]
    if 2 * sum(line.endswith(_SENTENCE_END) for line in long) <= len(long):
        return text
    while len(lines) > 1 and _is_loose(lines[-1]):
        lines.pop()
    return "\n".join(lines)


def _is_loose(line: str) -> bool:
    line = line.strip()
    return not line or (
        len(line.encode()) < SHORT_END
        and not line.endswith(_SENTENCE_END)
        and not line.startswith("- ")
        and "|" not in line
    )
