"""Wikitext to plain text: templates, tables, references and markup go, prose and headings stay. Nothing is evaluated.

One pass with a stack for {{ }} and {| |}, so a page of a million braces costs linear time; then flat patterns.
"""

import html
import re

_REDIRECT = re.compile(
    r"^\s*#\s*(?:redirect|重定向|重新導向|重新导向|weiterleitung|redirection|перенаправление)", re.IGNORECASE
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_SELF_CLOSED = re.compile(r"<(ref|references|nowiki|br|hr)\b[^<>]*/>", re.IGNORECASE)
_DROPPED_TAG = (
    "ref|math|chem|gallery|timeline|syntaxhighlight|source|score|imagemap|table|style|templatestyles|noinclude"
)
_DROPPED = re.compile(rf"<({_DROPPED_TAG})\b[^<>]*>(?:(?!<\1\b).)*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_OPEN_OR_CLOSE = re.compile(r"\{\{|\}\}|\{\||\|\}")
_PARAMETER = re.compile(r"\{\{\{[^{}]*+\}\}\}")
_LINK = re.compile(r"\[\[([^\[\]|]*)(?:\|([^\[\]]*))?\]\]")
_NOT_PROSE_LINK = re.compile(
    r"^\s*:?\s*(?:file|image|category|datei|bild|kategorie|文件|檔案|档案|图像|圖像|分类|分類|media)\s*:", re.IGNORECASE
)
_INTERWIKI = re.compile(r"^\s*[a-z]{2,3}(?:-[a-z]+)?:")
_EXTERNAL = re.compile(r"\[(?:https?:)?//[^\s\[\]]++(?:\s([^\[\]]*+))?\]")
_HEADING = re.compile(r"^(={1,6})([^\n]*)\1[ \t]*$", re.MULTILINE)
_QUOTES = re.compile(r"'{2,5}")
_LIST = re.compile(r"^[*#:;]+\s*", re.MULTILINE)
_MAGIC = re.compile(r"__[A-Z]+__")
_VARIANT = re.compile(r"-\{(?:[^{}|]*\|)?([^{}]*)\}-")
_TAIL = re.compile(
    r"^(=+)\s*(?:References|External links|See also|Notes|Further reading|Bibliography|参考文献|參考文獻|参考资料|"
    r"參考資料|外部链接|外部連結|外部鏈接|参见|參見|注释|註釋|延伸阅读|延伸閱讀)\s*=+\s*$.*?(?=^=+[^=]|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


def is_redirect(text: str) -> bool:
    """Whether a page only points to another."""
    return bool(_REDIRECT.match(text))


def wikitext_to_text(text: str) -> str:
    """The prose of a page, headings as lines of their own."""
    text = _COMMENT.sub("", text)
    text = _SELF_CLOSED.sub("", text)
    text = _VARIANT.sub(_variant, text)
    text = _repeat(_DROPPED, text)
    text = drop_nested(_PARAMETER.sub("", text))
    text = _TAIL.sub("", text)
    text = _repeat_links(text)
    text = _EXTERNAL.sub(lambda match: (match[1] or "").strip(), text)
    text = _HEADING.sub(lambda match: "\n" + match[2].strip("= \t") + "\n", text)
    text = _LIST.sub("", _QUOTES.sub("", text))
    text = html.unescape(_MAGIC.sub("", _TAG.sub("", text)))
    lines = [line for line in text.split("\n") if not line.lstrip().startswith(("|", "!", "{|"))]
    return "\n".join(lines)


def drop_nested(text: str) -> str:
    """Remove balanced {{templates}} and {| tables |}; what never closes is kept as it stands from its line's end on."""
    kept: list[str] = []
    stack: list[tuple[str, int]] = []
    at = seek = 0
    while match := _OPEN_OR_CLOSE.search(text, seek):
        token, seek = match[0], match.end()
        if not stack:
            kept.append(text[at : match.start()])
            at = match.start()
        if token in ("{{", "{|"):
            stack.append((token, match.start()))
        elif stack and stack[-1][0] == ("{{" if token == "}}" else "{|"):
            stack.pop()
            if not stack:
                at = match.end()
        elif token == "|}":
            seek = match.start() + 1  # an empty parameter: the brace belongs to the template's end, `|}}`
    if stack:
        first = stack[0][1]
        line_end = text.find("\n", first)
        at = len(text) if line_end < 0 else line_end
    kept.append(text[at:])
    return "".join(kept)


def _variant(match: re.Match[str]) -> str:
    """The first reading of a Chinese variant block -{zh-hans:甲; zh-hant:乙}-."""
    first = match[1].split(";")[0]
    return first.split(":")[-1].strip()


def _repeat(pattern: re.Pattern[str], text: str, *, most: int = 3) -> str:
    for _ in range(most):
        text, changed = pattern.subn("", text)
        if not changed:
            break
    return text


def _repeat_links(text: str, *, most: int = 4) -> str:
    """Replace links from the inside out: captions of images hold links themselves."""
    for _ in range(most):
        text, changed = _LINK.subn(_link, text)
        if not changed:
            break
    return text


def _link(match: re.Match[str]) -> str:
    target, label = match[1], match[2]
    if _NOT_PROSE_LINK.match(target):
        return ""
    if label is None:
        return "" if _INTERWIKI.match(target) else target.lstrip(":")
    return label.rsplit("|", 1)[-1]
