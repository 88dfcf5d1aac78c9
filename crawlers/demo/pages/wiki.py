"""The wiki host of the demo site: wikitext pages, and the part of the MediaWiki API that crawlers use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from crawlers.demo.pages.article import CC0
from crawlers.demo.pages.planted import WIKI
from crawlers.demo.pages.spare import spare_profiles
from crawlers.demo.text import chinese, english
from crawlers.demo.text.piece import Piece

LARGEST_PAGE_COUNT = 50
HISTORY = {"en": ("History", "Life and work", "See also"), "zh": ("历史", "生平与工作", "参见")}
CATEGORY = {"en": "Category", "zh": "分类"}


@dataclass(frozen=True, slots=True)
class Page:
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
    pages: tuple[Page, ...]


def _linked(paragraph: str, lang: str) -> str:
    """Link the first town named, as an editor would; every second link has another caption."""
    if lang == "zh":
        return re.sub(r"(?<![\[|])([一-鿿]{2}[镇县])(?![\]|])", r"[[\1]]", paragraph, count=1)
    return re.sub(rf"\b({'|'.join(english.BANK.towns)})\b", r"[[\1|\1]]", paragraph, count=1)


def _box(piece: Piece) -> str:
    name, kind = {"en": ("Infobox", piece.kind), "zh": ("信息框", piece.topic)}[piece.lang]
    image = f"[[File:{piece.slug}.jpg|thumb|{piece.title}]]"
    return f"{{{{{name} {kind}\n| name = {piece.title}\n| image = {piece.slug}.jpg\n| source = {{{{cite web|url={WIKI}/src/{piece.slug}|title={piece.title}}}}}\n}}}}\n{image}\n"


def wikitext(piece: Piece) -> str:
    """A piece as wikitext: infobox, bold title, links, headings, references, a comment, a table for towns, categories."""
    history, life, also = HISTORY[piece.lang]
    first, *rest = piece.paragraphs
    parts = [
        _box(piece),
        f"'''{piece.title}'''<ref name=\"a\">{{{{cite book|title=Register|year=1998}}}}</ref>\n\n{_linked(first, piece.lang)}<ref>Register, p. 12</ref>",
    ]
    parts.append(
        f"== {history if piece.kind == 'town' else life} ==\n<!-- checked by two editors -->"
    )
    parts += [_linked(paragraph, piece.lang) + '<ref name="a" />' for paragraph in rest]
    if piece.kind == "town":
        parts.append(
            '{| class="wikitable"\n! Year !! Inhabitants\n|-\n| 1900 || 12,400\n|-\n| 2000 || 15,100\n|}'
        )
    parts.append(
        f"== {also} ==\n* [[{piece.topic}]]\n{{{{reflist}}}}\n\n[[{CATEGORY[piece.lang]}:{piece.topic}]]"
    )
    return "\n\n".join(parts)


def _assemble(
    lang: str,
    path: str,
    pieces: Sequence[Piece],
    extra: Sequence[tuple[str, str | None, str, bool]],
) -> Wiki:
    rows = [(piece.title, wikitext(piece), piece.topic, False) for piece in pieces] + list(extra)
    pages = (Page(1000 + number, *row) for number, row in enumerate(rows))
    return Wiki(lang, path, tuple(sorted(pages, key=lambda page: page.title)))


def build_wikis() -> dict[str, Wiki]:
    """Both editions by the path of their API: people, places and work, and the planted pages."""
    kinds = ("profile", "town", "method")
    skipped = {piece.slug for piece in spare_profiles()}
    en = [piece for piece in english.pieces() if piece.kind in kinds and piece.slug not in skipped]
    zh = [piece for piece in chinese.pieces() if piece.kind in kinds and piece.slug not in skipped]
    millbrook = wikitext(en[0])
    extra_en: list[tuple[str, str | None, str, bool]] = [
        ("Old Millbrook", "#REDIRECT [[Millbrook]]", "Places", True),
        ("Weir Lane", "'''Weir Lane''' is a lane.\n\n[[Category:Places]]", "Places", False),
        ("Removed page", None, "Places", False),
        ("Millbrook (town)", millbrook, "Places", False),
    ]
    extra_zh: list[tuple[str, str | None, str, bool]] = [
        ("柳溪", "#重定向 [[柳溪镇]]", "地方", True)
    ]
    wikis = (
        _assemble("en", "/wiki/api.php", en, extra_en),
        _assemble("zh", "/zh/wiki/api.php", zh, extra_zh),
    )
    return {wiki.path: wiki for wiki in wikis}


def answer(wiki: Wiki, query: Mapping[str, str]) -> dict[str, Any]:
    """Answer one API call: siteinfo, or a generator with revisions and continuation (formatversion 2)."""
    if query.get("action") != "query" or query.get("format") != "json":
        return {
            "error": {
                "code": "badvalue",
                "info": "this demo wiki answers action=query with format=json only",
            }
        }
    out: dict[str, Any] = {"batchcomplete": True}
    body: dict[str, Any] = {}
    if "siteinfo" in query.get("meta", "").split("|"):
        body |= _site(wiki)
    if generator := query.get("generator"):
        if generator not in _GENERATORS:
            return {
                "error": {
                    "code": "badvalue",
                    "info": f"unrecognized value for parameter generator: {generator}",
                }
            }
        prefix, select = _GENERATORS[generator]
        found = select(wiki, query)
        start = _start(found, query.get(f"{prefix}continue", ""))
        limit = _limit(query.get(f"{prefix}limit", "10"))
        if limit is None:
            return {
                "error": {
                    "code": "badinteger",
                    "info": f"invalid value for integer parameter {prefix}limit",
                }
            }
        body["pages"] = [_page(wiki, page, query) for page in found[start : start + limit]]
        if start + limit < len(found):
            out["continue"] = {
                f"{prefix}continue": found[start + limit].title,
                "continue": f"{prefix}continue||",
            }
    return {**out, "query": body}


def _limit(text: str) -> int | None:
    """How many pages an answer may hold; None where that is no number."""
    if text == "max":
        return LARGEST_PAGE_COUNT
    return (
        max(1, min(LARGEST_PAGE_COUNT, int(text))) if re.fullmatch(r"-?[0-9]{1,9}", text) else None
    )


def _start(found: Sequence[Page], cursor: str) -> int:
    return next((number for number, page in enumerate(found) if page.title >= cursor), len(found))


def _all_pages(wiki: Wiki, query: Mapping[str, str]) -> list[Page]:
    keep = {"nonredirects": (False,), "redirects": (True,)}.get(
        query.get("gapfilterredir", "all"), (True, False)
    )
    return [page for page in wiki.pages if page.redirect in keep]


def _members(wiki: Wiki, query: Mapping[str, str]) -> list[Page]:
    wanted = query.get("gcmtitle", "").split(":", 1)[-1]
    return [page for page in wiki.pages if page.category == wanted]


_GENERATORS: dict[str, tuple[str, Callable[[Wiki, Mapping[str, str]], list[Page]]]] = {
    "allpages": ("gap", _all_pages),
    "categorymembers": ("gcm", _members),
}


def _site(wiki: Wiki) -> dict[str, Any]:
    return {
        "general": {
            "sitename": "Demo wiki",
            "lang": wiki.lang,
            "base": f"{WIKI}/",
            "generator": "MediaWiki 1.43.0",
        },
        "rightsinfo": {"url": CC0, "text": "Creative Commons Zero"},
    }


def _page(wiki: Wiki, page: Page, query: Mapping[str, str]) -> dict[str, Any]:
    props = query.get("prop", "").split("|")
    out: dict[str, Any] = {"pageid": page.pageid, "ns": 0, "title": page.title}
    revision = page.pageid * 10 + 7
    if "info" in props:
        folder = wiki.path.removesuffix("api.php")
        out |= {
            "contentmodel": "wikitext",
            "pagelanguage": wiki.lang,
            "touched": "2026-10-01T00:00:00Z",
            "lastrevid": revision,
            "length": len(page.text or ""),
        }
        out |= {"fullurl": WIKI + folder + quote(page.title.replace(" ", "_"), safe="()/,:")} | (
            {"redirect": True} if page.redirect else {}
        )
    if "revisions" in props:
        out["revisions"] = [_revision(page, revision)]
    return out


def _revision(page: Page, revision: int) -> dict[str, Any]:
    base: dict[str, Any] = {
        "revid": revision,
        "parentid": revision - 10,
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
