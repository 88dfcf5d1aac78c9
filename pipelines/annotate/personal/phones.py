"""Telephone numbers: in a form that only they have, or in any form beside a word that says what they are."""

import re

from pipelines.annotate.personal.numbers import BEFORE, Spans, iter_matches


def _compile_pattern(*parts: str) -> re.Pattern[bytes]:
    return re.compile("".join(parts).encode())


_EXTENSION = r"(?: ?(?:x|ext\.? ?|#|转|轉|分机|分機) ?\d{1,5}(?![\d.]))?"
_ALONE = r"(?<![\w./-])(?<!\d,)"
INTERNATIONAL = _compile_pattern(
    _ALONE,
    r"(?:\+\d{1,3}[ .-]?|00[1-9]\d{0,2}[ .-])(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}",
    _EXTENSION,
    r"(?!\d)",
)
NATIONAL = _compile_pattern(
    _ALONE,
    r"(?:(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?!-\d)",  # North America
    r"|1[3-9]\d(?:[ -]?\d{4}){2}",  # Chinese mobile
    r"|(?:0\d{2,3}-|\(0\d{2,3}\) ?)\d{7,8}(?!-\d{5})",  # Chinese fixed line
    r"|[48]00[- ]\d{3}[- ]\d{4})",  # Chinese service line
    _EXTENSION,
    r"(?!\d)",
)
EXTENSION = _compile_pattern(_EXTENSION)
EXTENDED = re.compile(rb"[^\d+ ().-]")
AREA = _compile_pattern(r"(?:（|\()(?:\+?\d{1,3}[ -]?)?0?\d{2,3}(?:）|\)) ?\Z")
"""An area code in Chinese or plain brackets, right before the number."""
LOCAL = re.compile(rb"\(?\d{1,8}\)?(?:[ .-]{0,2}\(?\d{1,8}\)?){0,5}")
_TRAILING = b" .-("

_NAMES = r"phone|\btel|\btelefon|\btel[ée]fono|\bfax|\bmobile|\bcell|\bwhatsapp|hotline|helpline"
_CHINESE = "电话|電話|手机|手機|座机|致电|致電|拨打|撥打|热线|熱線|传真|傳真|专线|專線|固话|联系方式|来电|來電"
_VERBS = (
    r"call|calls|called|calling|dial|dialing|ring|text|texts|texting|sms|messages?|messaging|reach|contact"
    r"|answer|answers|answering"
)
ANNOUNCED = _compile_pattern(
    r"(?i)(?:",
    rf"(?:{_NAMES})s?(?:[ -](?:no|nr|num|numbers?|line)\b)?\.?[^\w\n]{{0,4}}\n?[^\w\n]{{0,4}}(?:is|are|at|on)?",
    rf"|\b(?:{_VERBS})(?: [a-z']{{2,9}}){{0,3}}(?: at| on| to)?:?",
    rf"|(?:{_CHINESE})[^\d\n]{{0,18}}",
    r") ?[(+]?\Z",
)
LABELLED = _compile_pattern(
    r"(?i)[,(]?[ -]{0,2}(?:\(|（)?(?:fax|mobile|cell|phone|tel|office|手机|手機|电话|電話|传真|傳真)(?![a-z])"
)
_CENTURY = r"(?:1[0-9]|20)\d\d"
NO_PHONE = _compile_pattern(
    rf"{_CENTURY}[-. ]+(?:\(?{_CENTURY}|\d{{1,2}}[-. ]\d{{1,2}}(?!\d))",  # years, a date
    rf"|\d{{1,2}}[-. ]\d{{1,2}}[-. ]{_CENTURY}(?!\d)|\d+\.\d{{1,2}}(?![\d.])",  # a date, a fraction
)
NO_END = re.compile(rb"[\w%]|[.,]\d")
_FEWEST, _MOST = 7, 13
"""Digits of a number that a word announces; with a country code there may be 15."""


def find_phones(window: bytes, first: int, last: int) -> Spans:
    """Telephone numbers: in the form of their country, or in any where a word before or behind says what they are."""
    found = [*iter_matches(INTERNATIONAL, _is_international, window, first, last)]
    found += iter_matches(NATIONAL, bool, window, first, last)
    return iter(found) if found else _find_announced(window, first, last)


def _find_announced(window: bytes, first: int, last: int) -> Spans:
    """The number at the beginning of a run, if a word announces it."""
    area = AREA.search(window, max(0, first - 16), first)
    bracket = window[first - 1 : first] == b"("
    match = (
        None if NO_PHONE.match(window, first) else LOCAL.match(window, first - bracket, last + 1)
    )
    if match is None:
        return
    start = area.start() if area else match.start()
    end = match.start() + len(match[0].rstrip(_TRAILING))
    if not _FEWEST <= _count_digits(window[start:end]) <= _MOST or NO_END.match(window, end):
        return
    if ANNOUNCED.search(window, max(0, start - BEFORE), start) or LABELLED.match(window, end):
        extended = EXTENSION.match(window, end)
        yield start, extended.end() if extended else end


def _is_international(raw: bytes) -> bool:
    digits = _count_digits(EXTENDED.split(raw)[0])
    return (7 if raw.startswith(b"+") else 10) <= digits <= 15


def _count_digits(raw: bytes) -> int:
    return sum(48 <= byte <= 57 for byte in raw)
