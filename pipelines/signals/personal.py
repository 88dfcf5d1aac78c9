"""Personal data in text: e-mail, phone, IP address, Chinese resident id, payment card, IBAN - as spans in UTF-8 bytes.

Patterns run over the UTF-8 bytes, so spans need no conversion; every repetition is bounded, so matching is linear.
Numbers with a checksum are only reported where it holds: GB 11643-1999 (resident id, ISO 7064 MOD 11-2), ISO/IEC 7812
(cards, Luhn), ISO 13616 (IBAN, MOD 97-10).
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

TYPES = ("email", "ip", "resident_id", "card", "iban", "phone")
"""In order of precedence where spans overlap."""

SPANS = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("type", pa.string())]))


def _always(_: bytes) -> bool:
    return True


def _are_octets(raw: bytes) -> bool:
    octets = raw.split(b".")
    return all(int(octet) <= 255 and (octet == b"0" or not octet.startswith(b"0")) for octet in octets)


def resident_id_holds(raw: bytes) -> bool:
    """Whether the last character of an 18-character Chinese resident id is its checksum (ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * (1 << (17 - place)) for place, digit in enumerate(raw[:17].decode()))
    return b"10X98765432"[total % 11 : total % 11 + 1] == raw[17:].upper()


def luhn_holds(raw: bytes) -> bool:
    """Whether the digits of `raw` satisfy Luhn's checksum."""
    digits = [byte - 48 for byte in raw if 48 <= byte <= 57]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and any(digits)


def iban_holds(raw: bytes) -> bool:
    """Whether an IBAN's two check digits are right (MOD 97-10)."""
    packed = raw.replace(b" ", b"").upper()
    moved = packed[4:] + packed[:4]
    return 15 <= len(packed) <= 34 and int("".join(str(int(chr(byte), 36)) for byte in moved)) % 97 == 1


def _is_phone(raw: bytes) -> bool:
    digits = sum(48 <= byte <= 57 for byte in raw)
    return 7 <= digits <= 15


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    pattern: re.Pattern[bytes]
    holds: Callable[[bytes], bool] = _always


_NOT_IN_NUMBER = rb"(?<![0-9A-Za-z])"
_KINDS = (
    _Kind("email", re.compile(rb"(?<![\w.+-])\w[\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w])")),
    _Kind("ip", re.compile(rb"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d]|\.\d)"), _are_octets),
    _Kind("resident_id", re.compile(rb"(?<!\d)[1-8]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx](?![\dA-Za-z])"), resident_id_holds),
    _Kind("card", re.compile(_NOT_IN_NUMBER + rb"3[47]\d\d[ -]\d{6}[ -]\d{5}(?![\dA-Za-z])"), luhn_holds),
    _Kind("card", re.compile(_NOT_IN_NUMBER + rb"[2-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\dA-Za-z])"), luhn_holds),
    _Kind("iban", re.compile(_NOT_IN_NUMBER + rb"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![\dA-Za-z])"), iban_holds),
    _Kind("phone", re.compile(rb"(?<![\w.,/-])\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}(?![\d])"), _is_phone),
    _Kind("phone", re.compile(rb"(?<![\w.,/-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\d-])"), _is_phone),
    _Kind("phone", re.compile(rb"(?<![\d.,/-])1[3-9]\d(?:[ -]?\d{4}){2}(?![\d])")),
    _Kind("phone", re.compile(rb"(?<![\d.,/-])0\d{2,3}-\d{7,8}(?![\d-])")),
)  # fmt: skip
_DIGITS = ("ip", "resident_id", "card", "phone")
"""Kinds that consist of digits and marks between them: looked for only where `_NUMBER` found a long enough run."""
_NUMBER = re.compile(rb"\d[\d .()-]{5,}\d")
_IBAN = re.compile(rb"\d\d(?<=[A-Z]{2}\d\d)(?: ?[A-Z0-9]{4}){2}")
"""Where an IBAN may be; begins with the digits, which are rarer than capitals."""
_ANYTHING = re.compile(rb"\d(?:[\d .()-]{5}|(?<=[A-Z]{2}\d)\d)")
"""What both of these begin with: one search that most short texts end."""
_AROUND = 2
"""Bytes of such a number that may lie outside the run: `+` or `(` before it, `X` after it, and what must not follow."""

Found = tuple[int, int, str]


def find(text: bytes) -> list[Found]:
    """All spans (start, end, type) of personal data in UTF-8 `text`, sorted and without overlaps."""
    places = _places(text)
    found: list[Found] = []
    for kind in _KINDS if any(places.values()) else ():
        spans = (span for place in places.get(kind.name, ()) for span in _spans(text, kind, *place))
        found = sorted([*found, *(span for span in spans if _is_free(found, span))])
    return found


def _places(text: bytes) -> dict[str, list[tuple[int, int]]]:
    """Where each type may be: the cheap tests before the patterns."""
    places = {"email": [(0, len(text))]} if b"@" in text else {}
    if _ANYTHING.search(text):
        numbers = [(max(0, run.start() - _AROUND), run.end() + _AROUND) for run in _NUMBER.finditer(text)]
        places |= dict.fromkeys(_DIGITS, numbers)
        if first := _IBAN.search(text):
            places["iban"] = [(first.start() - 2, len(text))]
    return places


def _spans(text: bytes, kind: _Kind, at: int, stop: int) -> Iterator[Found]:
    """The spans of one kind. A pattern that allows spaces may run into the next words, so these are given back."""
    while match := kind.pattern.search(text, at, stop):
        raw, at = match[0], match.end()
        while raw and not kind.holds(raw):
            raw = raw[: max(0, raw.rfind(b" "))]
        if raw:
            at = match.start() + len(raw)
            yield match.start(), at, kind.name


def _is_free(taken: list[Found], span: Found) -> bool:
    """Whether `span` overlaps none of `taken`, which are sorted and do not overlap each other."""
    place = bisect_left(taken, (span[1],))
    return place == 0 or taken[place - 1][1] <= span[0]


def spans_column(text: pa.Array) -> pa.Array:
    """The spans of every document of a batch, as list<struct<start, end, type>>."""
    rows = [find(value.encode() if value else b"") for value in text.to_pylist()]
    return pa.array([[{"start": s, "end": e, "type": t} for s, e, t in row] for row in rows], SPANS)
