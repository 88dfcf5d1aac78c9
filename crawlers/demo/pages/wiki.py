"""The wiki host of the demo site: wikitext pages, and the part of the MediaWiki API that crawlers use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from crawlers.demo.pages.article import CC0
from crawlers.demo.pages.planted import WIKI
from crawlers.demo.pages.spare import choose_spare_profiles
from crawlers.demo.text import chinese, english
from crawlers.demo.text.piece import Piece

LARGEST_PAGE_COUNT = 50
HEADINGS = {"en": ("History", "Life and work", "See also"), "zh": ("历史", "生平与工作", "参见")}
CATEGORY = {"en": "Category", "zh": "分类"}


@dataclass(frozen=True, slots=True)
class WikiPage:
    """One wiki page; `text` is None where the revision was hidden by an administrator."""

    pageid: int
    title: str
    text: str | None
    category: str
    redirect: bool = False


@dataclass(frozen=True, slots=True)
class Wiki:
    """One language edition: pages in the order of their titles."""

    lang: str
    path: str
    pages: tuple[WikiPage, ...]


def _link_town(paragraph: str, lang: str) -> str:
    """Link the first town that is named, as an editor would."""
    if lang == "zh":
        return re.sub(r"(?<![\[|])([一-鿿]{2}[镇县])(?![\]|])", r"[[\1]]", paragraph, count=1)
    towns = "|".join(english.BANK.towns)
    return re.sub(rf"\b({towns})\b", r"[[\1|\1]]", paragraph, count=1)


def _render_infobox(piece: Piece) -> str:
    name, kind = {"en": ("Infobox", piece.kind), "zh": ("信息框", piece.topic)}[piece.lang]
    citation = f"{{{{cite web|url={WIKI}/src/{piece.slug}|title={piece.title}}}}}"
    lines = (
        f"{{{{{name} {kind}",
        f"| name = {piece.title}",
        f"| image = {piece.slug}.jpg",
        f"| source = {citation}",
        "}}",
        f"[[File:{piece.slug}.jpg|thumb|{piece.title}]]",
    )
    return "".join(f"{line}\n" for line in lines)


TOWN_TABLE = (
    '{| class="wikitable"\n! Year !! Inhabitants\n|-\n| 1900 || 12,400\n|-\n| 2000 || 15,100\n|}'
)


def render_wikitext(piece: Piece) -> str:
    """Render a piece as wikitext with what articles have.

    An infobox, the title in bold, links, headings, references, a comment, a table for towns, categories.
    """
    history, life, also = HEADINGS[piece.lang]
    heading = history if piece.kind == "town" else life
    first, *others = piece.paragraphs
    citation = '<ref name="a">{{cite book|title=Register|year=1998}}</ref>'
    parts = [
        _render_infobox(piece),
        f"'''{piece.title}'''{citation}\n\n{_link_town(first, piece.lang)}<ref>Register, p. 12</ref>",
        f"== {heading} ==\n<!-- checked by two editors -->",
    ]
    parts += [_link_town(paragraph, piece.lang) + '<ref name="a" />' for paragraph in others]
    if piece.kind == "town":
        parts.append(TOWN_TABLE)
    category = f"[[{CATEGORY[piece.lang]}:{piece.topic}]]"
    parts.append(f"== {also} ==\n* [[{piece.topic}]]\n{{{{reflist}}}}\n\n{category}")
    return "\n\n".join(parts)


class ExtraPage(NamedTuple):
    """A page that is no piece of the demo text."""

    title: str
    text: str | None
    category: str
    is_redirect: bool = False


def _assemble_wiki(
    lang: str, path: str, pieces: Sequence[Piece], extra: Sequence[ExtraPage]
) -> Wiki:
    rows = [ExtraPage(piece.title, render_wikitext(piece), piece.topic) for piece in pieces]
    pages = [WikiPage(1000 + number, *row) for number, row in enumerate([*rows, *extra])]
    return Wiki(lang, path, tuple(sorted(pages, key=lambda page: page.title)))


def build_wikis() -> dict[str, Wiki]:
    """Build both editions by the path of their API: people, places and work, and planted pages."""
    spare = {piece.slug for piece in choose_spare_profiles()}
    pieces = [
        piece
        for piece in english.write_pieces() + chinese.write_pieces()
        if piece.kind in ("profile", "town", "method") and piece.slug not in spare
    ]
    en = [piece for piece in pieces if piece.lang == "en"]
    zh = [piece for piece in pieces if piece.lang == "zh"]
    lane = "'''Weir Lane''' is a lane.\n\n[[Category:Places]]"
    extra_en = [
        ExtraPage("Old Millbrook", "#REDIRECT [[Millbrook]]", "Places", is_redirect=True),
        ExtraPage("Weir Lane", lane, "Places"),
        ExtraPage("Removed page", None, "Places"),
        ExtraPage("Millbrook (town)", render_wikitext(en[0]), "Places"),
    ]
    extra_zh = [ExtraPage("柳溪", "#重定向 [[柳溪镇]]", "地方", is_redirect=True)]
    wikis = (
        _assemble_wiki("en", "/wiki/api.php", en, extra_en),
        _assemble_wiki("zh", "/zh/wiki/api.php", zh, extra_zh),
    )
    return {wiki.path: wiki for wiki in wikis}


class QueryError(ValueError):
    """A parameter that the API does not take: its code and a description."""

    def __init__(self, code: str, info: str) -> None:
        super().__init__(info)
        self.code = code
        self.info = info


def answer_query(wiki: Wiki, query: Mapping[str, str]) -> dict[str, Any]:
    """Answer one API call: siteinfo, or a generator with revisions and continuation.

    The answer has formatversion 2; errors are answers, too.
    """
    try:
        return _answer_valid_query(wiki, query)
    except QueryError as error:
        return {"error": {"code": error.code, "info": error.info}}


def _answer_valid_query(wiki: Wiki, query: Mapping[str, str]) -> dict[str, Any]:
    if query.get("action") != "query" or query.get("format") != "json":
        raise QueryError("badvalue", "this demo wiki answers action=query with format=json only")
    answer: dict[str, Any] = {"batchcomplete": True}
    body: dict[str, Any] = {}
    if "siteinfo" in query.get("meta", "").split("|"):
        body |= _describe_site(wiki)
    generator = query.get("generator")
    if generator:
        body["pages"], following = _generate_pages(wiki, query, generator)
        answer |= following
    return {**answer, "query": body}


def _generate_pages(
    wiki: Wiki, query: Mapping[str, str], generator: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The pages of one answer, and the continuation if there are more."""
    if generator not in _GENERATORS:
        raise QueryError("badvalue", f"unrecognized value for parameter generator: {generator}")
    prefix, select = _GENERATORS[generator]
    selected = select(wiki, query)
    start = _find_start(selected, query.get(f"{prefix}continue", ""))
    limit = _parse_limit(query.get(f"{prefix}limit", "10"))
    if limit is None:
        raise QueryError("badinteger", f"invalid value for integer parameter {prefix}limit")
    end = start + limit
    pages = [_describe_page(wiki, page, query) for page in selected[start:end]]
    if end >= len(selected):
        return pages, {}
    cursor = {f"{prefix}continue": selected[end].title, "continue": f"{prefix}continue||"}
    return pages, {"continue": cursor}


def _parse_limit(text: str) -> int | None:
    """How many pages an answer may hold; None if that is not a number."""
    if text == "max":
        return LARGEST_PAGE_COUNT
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        return None
    return max(1, min(LARGEST_PAGE_COUNT, int(text)))


def _find_start(pages: Sequence[WikiPage], cursor: str) -> int:
    for number, page in enumerate(pages):
        if page.title >= cursor:
            return number
    return len(pages)


def _list_all_pages(wiki: Wiki, query: Mapping[str, str]) -> list[WikiPage]:
    match query.get("gapfilterredir", "all"):
        case "nonredirects":
            return [page for page in wiki.pages if not page.redirect]
        case "redirects":
            return [page for page in wiki.pages if page.redirect]
        case _:
            return list(wiki.pages)


def _list_members(wiki: Wiki, query: Mapping[str, str]) -> list[WikiPage]:
    category = query.get("gcmtitle", "").split(":", 1)[-1]
    return [page for page in wiki.pages if page.category == category]


_GENERATORS: dict[str, tuple[str, Callable[[Wiki, Mapping[str, str]], list[WikiPage]]]] = {
    "allpages": ("gap", _list_all_pages),
    "categorymembers": ("gcm", _list_members),
}


def _describe_site(wiki: Wiki) -> dict[str, Any]:
    return {
        "general": {
            "sitename": "Demo wiki",
            "lang": wiki.lang,
            "base": f"{WIKI}/",
            "generator": "MediaWiki 1.43.0",
        },
        "rightsinfo": {"url": CC0, "text": "Creative Commons Zero"},
    }


def _describe_page(wiki: Wiki, page: WikiPage, query: Mapping[str, str]) -> dict[str, Any]:
    properties = query.get("prop", "").split("|")
    description: dict[str, Any] = {"pageid": page.pageid, "ns": 0, "title": page.title}
    revision_id = page.pageid * 10 + 7
    if "info" in properties:
        description |= _describe_info(wiki, page, revision_id)
    if "revisions" in properties:
        description["revisions"] = [_describe_revision(page, revision_id)]
    return description


def _describe_info(wiki: Wiki, page: WikiPage, revision_id: int) -> dict[str, Any]:
    folder = wiki.path.removesuffix("api.php")
    title = quote(page.title.replace(" ", "_"), safe="()/,:")
    info: dict[str, Any] = {
        "contentmodel": "wikitext",
        "pagelanguage": wiki.lang,
        "touched": "2026-10-01T00:00:00Z",
        "lastrevid": revision_id,
        "length": len(page.text or ""),
        "fullurl": WIKI + folder + title,
    }
    if page.redirect:
        info["redirect"] = True
    return info


def _describe_revision(page: WikiPage, revision_id: int) -> dict[str, Any]:
    base: dict[str, Any] = {
        "revid": revision_id,
        "parentid": revision_id - 10,
        "user": f"Editor {page.pageid % 9}",
        "timestamp": "2026-09-30T12:00:00Z",
    }
    if page.text is None:
        return {**base, "slots": {"main": {"texthidden": True}}}
    sha1 = hashlib.sha1(page.text.encode(), usedforsecurity=False).hexdigest()
    return {
        **base,
        "sha1": sha1,
        "slots": {
            "main": {
                "contentmodel": "wikitext",
                "contentformat": "text/x-wiki",
                "content": page.text,
            }
        },
    }
