"""Where personal data may be: one pass over the bytes of a batch, so that most documents cost no
Python at all.

Everything we look for has a digit, an `@`, an underscore, the head of a PEM block or of an AWS
key in it, so every other byte costs one table look-up. Each walk to either side of a digit ends
where the last one of its kind ended or after a fixed length: time is linear.
"""

import numpy as np
from numba import int64

from pipelines.kernels.arrays import Bytes, Int64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import has_prefix

MAIL, NUMBER, ADDRESS4, ADDRESS6, IBAN, TOKEN, PEM = range(7)
"""What a candidate may be: an e-mail address, a run of digits and marks, IPv4, IPv6, IBAN, a long
word, a PEM block."""

COLUMNS = ("document", "start", "end", "kind", "digits")
"""Of a candidate: `start` and `end` count bytes of the data, `digits` is how many a NUMBER has."""

FEWEST_DIGITS = 7
SHORTEST_TOKEN = 20
_LONGEST_LOCAL, _LONGEST_DOMAIN = 65, 320
"""Bytes looked at before an @ and from it on; RFC 5321 allows 64 and 255."""
_IPV6_COLONS, _IPV4_DOTS = 7, 3
_DATE_DIGITS, _DATE_CHARS, _YEARS_CHARS = 8, len("2024-11-23"), len("1914-1918")
_FIRST_CENTURY, _LAST_CENTURY = 10, 20
"""The first two digits of a year."""
_ZERO = 0x30
_DIGIT, _HEX, _TOKEN, _LOCAL, _DOMAIN, _SEPARATOR, _TRIGGER, _LETTER = (
    1 << bit for bit in range(8)
)
_HEAD = np.frombuffer(b"-----BEGIN ", np.uint8)
_AT_SIGN, _COLON, _DOT, _DASH, _OPEN_PAREN, _CLOSE_PAREN, _UPPER_A, _UPPER_I, _UNDERSCORE = (
    np.uint8(byte) for byte in b"@:.-()AI_"
)


def _build_classes() -> Bytes:
    digits = b"0123456789"
    letters = bytes(range(65, 91)) + bytes(range(97, 123))
    members = (
        digits,
        digits + b"abcdefABCDEF:",
        digits + letters + b"_-+/=.",
        digits + letters + b"_.+-",
        digits + letters + b".-",
        b" .()-",
        digits + b"@-_KS",
        letters,
    )
    table = np.zeros(256, np.uint8)
    for bit, byte_values in enumerate(members):
        table[list(byte_values)] |= 1 << bit
    return table


_CLASS = _build_classes()


@inline_kernel
def _append(
    out: Int64s, count: int, document: int, start: int, end: int, kind: int, digits: int
) -> int:
    """Write one candidate if `out` has a row for it; returns how many there are now."""
    if count < out.shape[0]:
        out[count, 0] = document
        out[count, 1] = start
        out[count, 2] = end
        out[count, 3] = kind
        out[count, 4] = digits
    return count + 1


@inline_kernel
def _walk_back(data: Bytes, at: int, lower: int, mask: int) -> int:
    """The start of the run of bytes of these classes that ends before `at`; not before `lower`."""
    while at > lower and _CLASS[data[at - 1]] & mask:
        at -= 1
    return at


@inline_kernel
def _walk_forward(data: Bytes, at: int, upper: int, mask: int) -> int:
    """The end of the run of bytes of these classes that begins at `at`; not behind `upper`."""
    while at < upper and _CLASS[data[at]] & mask:
        at += 1
    return at


@compile_kernel
def _scan_number(data: Bytes, at: int, stop: int) -> tuple[int, int, int]:
    """End, digits and inner dots of the number at `at`: digits, a mark between them, or a bracket
    and a mark."""
    digits = 0
    dots = 0
    end = at
    marks = 0
    bracket = False
    while at < stop:
        byte = data[at]
        if _CLASS[byte] & _DIGIT:
            digits += 1
            if marks == 1 and data[at - 1] == _DOT:
                dots += 1
            marks = 0
            bracket = False
            end = at + 1
        elif _CLASS[byte] & _SEPARATOR:
            marks += 1
            bracket |= byte in (_OPEN_PAREN, _CLOSE_PAREN)
            if marks > 2 or (marks == 2 and not bracket):
                break
        else:
            break
        at += 1
    return end, digits, dots


@compile_kernel
def _is_year(data: Bytes, at: int) -> bool:
    """Whether four digits are a year from 1000 to 2099."""
    for i in range(at, at + 4):
        if not _CLASS[data[i]] & _DIGIT:
            return False
    century = int64(data[at] - _ZERO) * 10 + (data[at + 1] - _ZERO)
    return _FIRST_CENTURY <= century <= _LAST_CENTURY


@compile_kernel
def _is_date(data: Bytes, start: int, end: int) -> bool:
    """Whether a number of 8 digits is `1914-1918` or `2024-11-23`: much of what has 7 digits and is
    nobody's."""
    if end - start == _YEARS_CHARS:
        return _is_year(data, start) and _is_year(data, start + 5)
    return (
        end - start == _DATE_CHARS and _is_year(data, start) and data[start + 4] == data[start + 7]
    )


@compile_kernel
def _is_ipv6(data: Bytes, first: int, end: int) -> bool:
    """Whether hex digits and colons are eight groups, or fewer with a double colon."""
    colons = 0
    double = False
    for i in range(first, end):
        if data[i] == _COLON:
            colons += 1
            double |= i > first and data[i - 1] == _COLON
    return colons >= _IPV6_COLONS or (double and colons >= 2)


@inline_kernel
def _is_start_of_iban(data: Bytes, at: int, lower: int, stop: int) -> bool:
    """Whether the digit at `at` is the first of `XX00`, a word of its own so far."""
    if at - 2 < lower or at + 1 >= stop or not _CLASS[data[at + 1]] & _DIGIT:
        return False
    if not (_CLASS[data[at - 1]] & _LETTER and _CLASS[data[at - 2]] & _LETTER):
        return False
    return at - 3 < lower or not _CLASS[data[at - 3]] & (_LETTER | _DIGIT)


@inline_kernel
def _is_inside_aws_head(data: Bytes, at: int, lower: int, stop: int) -> bool:
    """Whether K or S is that of AKIA or ASIA: one key in thirty that begins so has no digit."""
    return (
        at > lower
        and at + 2 < stop
        and data[at - 1] == _UPPER_A
        and data[at + 1] == _UPPER_I
        and data[at + 2] == _UPPER_A
    )


@compile_kernel
def _scan_token(
    data: Bytes,
    at: int,
    lower: int,
    stop: int,
    ends: Int64s,
    document: int,
    out: Int64s,
    count: int,
) -> int:
    """The long word around `at`; `ends[0]` is where those seen so far end."""
    if at >= ends[0]:
        start = _walk_back(data, at, max(lower, ends[0]), _TOKEN)
        ends[0] = _walk_forward(data, at, stop, _TOKEN)
        if ends[0] - start >= SHORTEST_TOKEN:
            count = _append(out, count, document, start, ends[0], TOKEN, 0)
    return count


@compile_kernel
def _scan_hex_groups(
    data: Bytes,
    at: int,
    lower: int,
    stop: int,
    ends: Int64s,
    document: int,
    out: Int64s,
    count: int,
) -> int:
    """The hex groups around a digit; `ends[1]` is where those seen so far end."""
    if at >= ends[1]:
        start = _walk_back(data, at, max(lower, ends[1]), _HEX)
        ends[1] = _walk_forward(data, at, stop, _HEX)
        if _is_ipv6(data, start, ends[1]):
            count = _append(out, count, document, start, ends[1], ADDRESS6, 0)
    return count


@compile_kernel
def _scan_digit(
    data: Bytes,
    at: int,
    lower: int,
    stop: int,
    ends: Int64s,
    document: int,
    out: Int64s,
    count: int,
) -> tuple[int, int]:
    """Candidates at a digit that no number before it took in, and where its own number ends."""
    if _is_start_of_iban(data, at, lower, stop):
        count = _append(out, count, document, at - 2, at + 2, IBAN, 0)
    end, digits, dots = _scan_number(data, at, stop)
    for digit in (at, end - 1):  # a number with marks begins in one word and ends in another
        count = _scan_token(data, digit, lower, stop, ends, document, out, count)
        count = _scan_hex_groups(data, digit, lower, stop, ends, document, out, count)
    if dots >= _IPV4_DOTS:
        count = _append(out, count, document, at, end, ADDRESS4, digits)
    if digits >= FEWEST_DIGITS and not (digits == _DATE_DIGITS and _is_date(data, at, end)):
        count = _append(out, count, document, at, end, NUMBER, digits)
    return end, count


@compile_kernel
def _find_candidates(data: Bytes, offsets: Int64s, out: Int64s) -> int:
    """Fill `out` with candidates, as far as it reaches; returns how many there are."""
    count = 0
    ends = np.zeros(2, np.int64)
    for document in range(offsets.shape[0] - 1):
        lower = offsets[document]
        stop = offsets[document + 1]
        ends[:] = lower
        at = lower
        while at < stop:
            byte = data[at]
            kind = _CLASS[byte]
            if not kind & _TRIGGER:
                at += 1
            elif kind & _DIGIT:
                at, count = _scan_digit(data, at, lower, stop, ends, document, out, count)
            elif byte == _AT_SIGN:
                start = _walk_back(data, at, max(lower, at - _LONGEST_LOCAL), _LOCAL)
                end = _walk_forward(data, at + 1, min(stop, at + _LONGEST_DOMAIN), _DOMAIN)
                if start < at and end > at + 3:
                    count = _append(out, count, document, start, end, MAIL, 0)
                at += 1
            elif byte != _DASH:
                if byte == _UNDERSCORE or _is_inside_aws_head(data, at, lower, stop):
                    count = _scan_token(data, at, lower, stop, ends, document, out, count)
                at += 1
            else:
                if has_prefix(data, at, stop, _HEAD):
                    count = _append(out, count, document, at, at + _HEAD.shape[0], PEM, 0)
                at += 1
    return count


def find_candidates(data: Bytes, offsets: Int64s) -> Int64s:
    """int64 (n, 5): the COLUMNS of every place where personal data may be, document by document.

    The documents are UTF-8 in `data`, cut by `offsets`.
    """
    out = np.empty((1024, len(COLUMNS)), np.int64)
    count = _find_candidates(data, offsets, out)
    if count > len(out):
        out = np.empty((count, len(COLUMNS)), np.int64)
        _find_candidates(data, offsets, out)
    return out[:count]
