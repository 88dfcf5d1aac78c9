"""Wikitext to plain text: templates, tables, references and markup go, prose and headings stay. Nothing is evaluated.

One pass with a stack for {{ }} and {| |}, so a page of a million braces costs linear time; then flat patterns.
"""

import html
import re
from collections.abc import Callable

_REDIRECT = re.compile(
    r"^\s*#\s*(?:redirect|重定向|重新導向|重新导向|weiterleitung|redirection|перенаправление)",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_SELF_CLOSED = re.compile(r"<(ref|references|nowiki|br|hr)\b[^<>]*/>", re.IGNORECASE)
_DROPPED_TAG = "ref|math|chem|gallery|timeline|syntaxhighlight|source|score|imagemap|table|style|templatestyles|noinclude"
_DROPPED = re.compile(
    rf"<({_DROPPED_TAG})\b[^<>]*>(?:(?!<\1\b).)*?</\1\s*>", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_OPEN_OR_CLOSE = re.compile(r"\{\{|\}\}|\{\||\|\}")
_PARAMETER = re.compile(r"\{\{\{[^{}]*+\}\}\}")
_LINK = re.compile(r"\[\[([^\[\]|]*)(?:\|([^\[\]]*))?\]\]")
_NOT_PROSE_LINK = re.compile(
    r"^\s*:?\s*(?:file|image|media|category|datei|bild|kategorie|fichier|catégorie|archivo|imagen|categoría|ficheiro|"
    r"imagem|categoria|immagine|plik|grafika|kategoria|bestand|afbeelding|categorie|файл|изображение|картинка|"
    r"категория|категорія|зображення|文件|檔案|档案|图像|圖像|分类|分類|ファイル|画像|カテゴリ|파일|그림|분류|"
    r"tập tin|hình|thể loại|ملف|صورة|تصنيف)\s*:",
    re.IGNORECASE,
)
_INTERWIKI = re.compile(r"^\s*[a-z]{2,3}(?:-[a-z]+)?:")
_EXTERNAL = re.compile(r"\[(?:https?:)?//[^\s\[\]]++(?:\s([^\[\]]*+))?\]")
_HEADING = re.compile(r"^(={1,6})([^\n]*)\1[ \t]*$", re.MULTILINE)
_QUOTES = re.compile(r"'{2,5}")
_LIST = re.compile(r"^[*#:;]+\s*", re.MULTILINE)
_MAGIC = re.compile(r"__[A-Z]+__")
_VARIANT = re.compile(r"-\{(?:([^{}|]*)\|)?([^{}]*)\}-")
_MARK = "\0"
_MEASURES = ("convert", "cvt")
_LAST_SHOWN = ("lang", "transl", "transliteration", "tsl")
_FIRST_SHOWN = (
    r"lang-[a-z-]{2,12}|nowrap|nobr|nobreak|small|smaller|big|abbr|vanchor|angbr|quote|blockquote|cquote|bq|nihongo|"
    r"val|nts|flag|flagcountry|mvar|link-[a-z]{2,3}|internal link helper/[a-z]{2,3}|le"
)
_SHOWN = re.compile(
    rf"\{{\{{[ ]?({'|'.join((*_MEASURES, *_LAST_SHOWN))}|{_FIRST_SHOWN})[ ]?\|([^{{}}]*+)\}}\}}",
    re.IGNORECASE,
)
_BAR = re.compile(r"\|(?![^\[\]]{0,200}\]\])")
_NAMED = re.compile(r"(?!1=)[\w-]{1,30}[ ]?=")
_GAP = re.compile(rf"\(([\s,;:{_MARK}]*+)(\)?)")
_BEFORE_STOP = re.compile(rf" ?{_MARK}(?=[ {_MARK}]?[,.;:)，。；：）、])")
_TAIL = re.compile(
    r"^(=+)\s*(?:References|External links|See also|Notes|Further reading|Bibliography|参考文献|參考文獻|参考资料|"
    r"參考資料|外部链接|外部連結|外部鏈接|参见|參見|注释|註釋|延伸阅读|延伸閱讀)\s*=+\s*$.*?(?=^=+[^=]|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


TO_LINE_END = -1
"""The end of a span that never closes."""


def is_redirect(text: str) -> bool:
    """Whether a page only points to another."""
    return bool(_REDIRECT.match(text))


def extract_wikitext(text: str) -> str:
    """The prose of a page, headings as lines of their own."""
    text = _COMMENT.sub("", text.replace(_MARK, ""))
    text = _SELF_CLOSED.sub("", text)
    text = _VARIANT.sub(_choose_variant, text)
    text = _repeat(_DROPPED, text)
    text = _repeat(_SHOWN, text, _get_shown_text)
    text = _fill_gaps(drop_nested(_PARAMETER.sub("", text), mark=_MARK))
    text = _TAIL.sub("", text)
    text = _repeat(_LINK, text, _get_link_text)
    text = _EXTERNAL.sub(lambda match: (match[1] or "").strip(), text)
    text = _repeat(_LINK, text, _get_link_text)
    text = _HEADING.sub(lambda match: "\n" + match[2].strip("= \t") + "\n", text)
    text = _LIST.sub("", _QUOTES.sub("", text))
    text = html.unescape(_MAGIC.sub("", _TAG.sub("", text)))
    lines = [line for line in text.split("\n") if not line.lstrip().startswith(("|", "{|"))]
    return "\n".join(lines)


def drop_nested(text: str, *, mark: str = "") -> str:
    """Put `mark` for balanced {{templates}} and {| tables |}; what never closes costs the rest of its own line only."""
    spans, stack = list[tuple[int, int]](), list[tuple[str, int]]()
    opened = {"{{": 0, "{|": 0}
    seek = 0
    while match := _OPEN_OR_CLOSE.search(text, seek):
        token, seek = match[0], match.end()
        if token in opened:
            opened[token] += 1
            stack.append((token, match.start()))
        elif token == "|}" and (
            text.startswith("}}", match.end() - 1) and stack and stack[-1][0] == "{{"
        ):
            seek = (
                match.start() + 1
            )  # an empty parameter: the brace belongs to the template's end, `|}}`
        elif opened[opener := "{{" if token == "}}" else "{|"]:
            start = _close(stack, opened, opener)
            while spans and spans[-1][0] > start:
                spans.pop()
            spans.append((start, match.end()))
    return _remove_spans(
        text, sorted([*spans, *((start, TO_LINE_END) for _, start in stack)]), mark
    )


def _close(stack: list[tuple[str, int]], opened: dict[str, int], opener: str) -> int:
    """Take the stack down to the last `opener`, over what opened in it and never closed; where it stands."""
    while True:
        token, start = stack.pop()
        opened[token] -= 1
        if token == opener:
            return start


def _remove_spans(text: str, spans: list[tuple[int, int]], mark: str) -> str:
    """The text with each span that does not lie within one before replaced by `mark`."""
    kept, at = list[str](), 0
    for start, end in spans:
        if start < at:
            at = max(at, end)
            continue
        kept += (text[at:start], mark)
        line_end = text.find("\n", start) if end == TO_LINE_END else end
        at = len(text) if line_end < 0 else line_end
    return "".join((*kept, text[at:]))


def _get_shown_text(match: re.Match[str]) -> str:
    """The words of a template that stands for words: {{lang|fr|moulin}}, {{convert|3|km}}, {{nowrap|3 km}}."""
    name = match[1].strip().lower()
    given = [part.strip() for part in _BAR.split(match[2])]
    words = [part.removeprefix("1=") for part in given if part and not _NAMED.match(part)]
    if name in _MEASURES:
        return " ".join(words[:2])
    return words[-1 if name in _LAST_SHOWN else 0] if words else ""


def _fill_gaps(text: str) -> str:
    """Close the gaps that templates left: "(; Pythios)" and "an area of ," are nobody's words."""
    return _BEFORE_STOP.sub("", _GAP.sub(_gap, text)).replace(_MARK, "")


def _gap(match: re.Match[str]) -> str:
    """An opening bracket and the separators behind it, where a template was dropped among them."""
    if _MARK not in match[1]:
        return match[0]
    return "" if match[2] else "("


def _choose_variant(match: re.Match[str]) -> str:
    """The first reading of a Chinese variant block -{zh-hans:甲; zh-hant:乙}-; nothing for rules that show nothing."""
    if (match[1] or "").strip() in ("H", "T", "-"):
        return ""
    first = match[2].split(";")[0]
    return first.split(":")[-1].strip()


def _repeat(
    pattern: re.Pattern[str], text: str, put: str | Callable[[re.Match[str]], str] = ""
) -> str:
    """Replace from the inside out: templates hold templates, and captions of images links."""
    for _ in range(4):
        text, changed = pattern.subn(put, text)
        if not changed:
            break
    return text


def _get_link_text(match: re.Match[str]) -> str:
    target, label = match[1], match[2]
    if _NOT_PROSE_LINK.match(target):
        return ""
    if label is None:
        return "" if _INTERWIKI.match(target) else target.lstrip(":")
    return label.rsplit("|", 1)[-1]
