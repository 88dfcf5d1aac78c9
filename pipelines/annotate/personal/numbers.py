"""Personal numbers that prove themselves: IP addresses, Chinese resident ids, payment cards and IBANs."""

import re
from collections.abc import Callable, Iterator

from pipelines.annotate.personal.checksums import (
    IBAN_LENGTHS,
    has_luhn_digit,
    is_address,
    is_card,
    is_iban,
    is_resident_id,
)

Spans = Iterator[tuple[int, int]]

BEFORE, AFTER = 48, 48
"""Bytes around a number in which a word may announce it or an extension follow."""
_EDGE = 2
"""Bytes of a number that may lie before its first digit: `+`, `(`."""

ADDRESS4 = re.compile(rb"(?<![\d.])(?<![vV])(?:\d{1,3}\.){3}\d{1,3}(?!\d|\.\d)")
_NOBODYS = re.compile(rb"(?:0|127)\.")
_VERSION = re.compile(rb"(?i)(?:version|release|\xe7\x89\x88\xe6\x9c\xac)[^\w\n]{0,4}\Z")
ADDRESS6 = re.compile(rb"[0-9A-Fa-f:]{2,45}(?::(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])")
_GROUPS6 = re.compile(
    rb"(?i)(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?:[23][0-9a-f]{3}|f[c-f][0-9a-f]{2}|64:ff9b|::ffff):.+"
)
RESIDENT_ID = re.compile(rb"(?<!\d)[1-8]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[\dXx](?![\dA-Za-z])")
_NOT_IN_NUMBER, _NOT_ON = rb"(?<![0-9A-Za-z.])", rb"(?![0-9A-Za-z]|\.\d)"
CARD = re.compile(
    _NOT_IN_NUMBER
    + rb"(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ -])\d{6}\2\d{4,5})"
    + _NOT_ON
)
MAESTRO = re.compile(_NOT_IN_NUMBER + rb"(?:5[06-9]|6\d)\d{10,17}" + _NOT_ON)
"""Maestro leaves the first digits and the length so open that only a word before them tells a card."""
_CARD_WORD = re.compile(rb"(?i)(?:\bcard|\bvisa\b|maestro|mastercard|\xe5\x8d\xa1)[^\d\n]{0,24}\Z")


def find_ipv4(window: bytes, first: int, last: int) -> Spans:
    """IPv4 addresses of some machine: not its own one (127), not 0, and no number of a version."""
    for start, end in iter_matches(ADDRESS4, is_address, window, first, last):
        if not _NOBODYS.match(window, start) and not _VERSION.search(
            window, max(0, start - BEFORE), start
        ):
            yield start, end


def find_ipv6(window: bytes, first: int, last: int) -> Spans:
    """The IPv6 address at `first`: eight groups, or a prefix that is given to networks and a double colon."""
    match = ADDRESS6.match(window, first)
    if match is None or (
        first and (window[first - 1 : first].isalnum() or window[first - 1] in b"_.")
    ):
        return
    raw = match[0]
    if raw.endswith(b":") and not raw.endswith(b"::"):
        raw = raw[:-1]
    if (
        _GROUPS6.fullmatch(raw)
        and any(len(group) > 2 for group in raw.split(b":"))
        and is_address(raw)
    ):
        yield first, first + len(raw)


def find_resident_ids(window: bytes, first: int, last: int) -> Spans:
    """Chinese resident ids."""
    yield from iter_matches(RESIDENT_ID, is_resident_id, window, first, last)


def find_cards(window: bytes, first: int, last: int) -> Spans:
    """Payment cards; those of Maestro only where a word announces a card."""
    yield from iter_matches(CARD, is_card, window, first, last)
    for start, end in iter_matches(MAESTRO, has_luhn_digit, window, first, last):
        if _CARD_WORD.search(window, max(0, start - BEFORE), start):
            yield start, end


def find_ibans(window: bytes, first: int, _: int) -> Spans:
    """The IBAN at `first`: as many characters as its country has, in one piece or with single spaces."""
    length = IBAN_LENGTHS.get(window[first : first + 2].decode("latin-1").upper(), 0)
    end, taken = first, 0
    while length and taken < length and end < len(window):
        byte = window[end : end + 1]
        if byte.isalnum():
            taken += 1
        elif byte != b" " or window[end - 1] == 32:
            return
        end += 1
    if length and not window[end : end + 1].isalnum() and is_iban(window[first:end]):
        yield first, end


def iter_matches(
    pattern: re.Pattern[bytes], holds: Callable[[bytes], bool], window: bytes, first: int, last: int
) -> Spans:
    """Where `pattern` matches and `holds`; a match that does not hold may hide another, so the search goes on inside it."""
    at = max(0, first - _EDGE)
    while (match := pattern.search(window, at)) and match.start() < last:
        good = holds(match[0])
        at = match.end() if good else match.start() + 1
        if good:
            yield match.span()
