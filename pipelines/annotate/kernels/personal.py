"""Where personal data may be: one pass over the bytes of a batch, so that most documents cost no Python at all.

Everything we look for has a digit, an `@`, an underscore, the head of a PEM block or of an AWS key in it, so every other
byte costs one table look-up.
Each walk to either side of a digit ends where the last one of its kind ended or after a fixed length: time is linear.
"""

import numpy as np
from numba import njit

MAIL, NUMBER, ADDRESS4, ADDRESS6, IBAN, TOKEN, PEM = range(7)
"""What a candidate may be: an e-mail address, a run of digits and marks, IPv4, IPv6, IBAN, a long word, a PEM block."""

COLUMNS = ("document", "start", "end", "kind", "digits")
"""Of a candidate: `start` and `end` are places in the data, `digits` is how many a NUMBER has."""

FEWEST_DIGITS = 7
SHORTEST_TOKEN = 20
_LONGEST_LOCAL, _LONGEST_DOMAIN = 65, 320
_DIGIT, _HEX, _TOKEN, _LOCAL, _DOMAIN, _SEPARATOR, _TRIGGER, _LETTER = (
    1 << bit for bit in range(8)
)
_HEAD = np.frombuffer(b"-----BEGIN ", np.uint8)
_AT, _COLON, _DOT, _DASH, _OPEN, _CLOSE, _A, _I, _LOW = (np.uint8(byte) for byte in b"@:.-()AI_")


def _classes() -> np.ndarray:
    digits, letters = b"0123456789", bytes(range(65, 91)) + bytes(range(97, 123))
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
    for bit, its in enumerate(members):
        table[list(its)] |= 1 << bit
    return table


_CLASS = _classes()


@njit(nogil=True, cache=True, inline="always")
def _put(out, count, document, start, end, kind, digits):  # type: ignore[no-untyped-def]
    """Write one candidate where there is room; returns how many there are now."""
    if count < out.shape[0]:
        out[count, 0], out[count, 1], out[count, 2], out[count, 3], out[count, 4] = (
            document,
            start,
            end,
            kind,
            digits,
        )
    return count + 1


@njit(nogil=True, cache=True, inline="always")
def _back(data, at, least, mask):  # type: ignore[no-untyped-def]
    while at > least and _CLASS[data[at - 1]] & mask:
        at -= 1
    return at


@njit(nogil=True, cache=True, inline="always")
def _on(data, at, most, mask):  # type: ignore[no-untyped-def]
    while at < most and _CLASS[data[at]] & mask:
        at += 1
    return at


@njit(nogil=True, cache=True)
def _number(data, at, stop):  # type: ignore[no-untyped-def]
    """End, digits and inner dots of the number at `at`: digits, a mark between them, or a bracket and a mark."""
    digits, dots, end, marks, bracket = 0, 0, at, 0, False
    while at < stop:
        byte = data[at]
        if _CLASS[byte] & _DIGIT:
            digits += 1
            if marks == 1 and data[at - 1] == _DOT:
                dots += 1
            marks, bracket, end = 0, False, at + 1
        elif _CLASS[byte] & _SEPARATOR:
            marks += 1
            bracket |= byte in (_OPEN, _CLOSE)
            if marks > 2 or (marks == 2 and not bracket):
                break
        else:
            break
        at += 1
    return end, digits, dots


@njit(nogil=True, cache=True)
def _is_year(data, at):  # type: ignore[no-untyped-def]
    for i in range(at, at + 4):
        if not _CLASS[data[i]] & _DIGIT:
            return False
    return 10 <= np.int64(data[at]) * 10 + data[at + 1] - 528 <= 20


@njit(nogil=True, cache=True)
def _is_date(data, start, end):  # type: ignore[no-untyped-def]
    """Whether a number of 8 digits is `1914-1918` or `2024-11-23`: much of what has 7 digits and is nobody's."""
    if end - start == 9:
        return _is_year(data, start) and _is_year(data, start + 5)
    return end - start == 10 and _is_year(data, start) and data[start + 4] == data[start + 7]


@njit(nogil=True, cache=True)
def _address6(data, first, end):  # type: ignore[no-untyped-def]
    """Whether hex digits and colons are eight groups, or fewer with a double colon."""
    colons, double = 0, False
    for i in range(first, end):
        if data[i] == _COLON:
            colons += 1
            double |= i > first and data[i - 1] == _COLON
    return colons >= 7 or (double and colons >= 2)


@njit(nogil=True, cache=True, inline="always")
def _begins_iban(data, at, least, stop):  # type: ignore[no-untyped-def]
    """Whether the digit at `at` is the first of `XX00`, a word of its own so far."""
    if at - 2 < least or at + 1 >= stop or not _CLASS[data[at + 1]] & _DIGIT:
        return False
    if not (_CLASS[data[at - 1]] & _LETTER and _CLASS[data[at - 2]] & _LETTER):
        return False
    return at - 3 < least or not _CLASS[data[at - 3]] & (_LETTER | _DIGIT)


@njit(nogil=True, cache=True, inline="always")
def _begins_pem(data, at, stop):  # type: ignore[no-untyped-def]
    if at + _HEAD.shape[0] > stop:
        return False
    for i in range(_HEAD.shape[0]):  # noqa: SIM110 - numba compiles no generator here
        if data[at + i] != _HEAD[i]:
            return False
    return True


@njit(nogil=True, cache=True, inline="always")
def _begins_aws(data, at, least, stop):  # type: ignore[no-untyped-def]
    """Whether K or S stands in AKIA or ASIA: one key in thirty that begins so has no digit."""
    return (
        at > least
        and at + 2 < stop
        and data[at - 1] == _A
        and data[at + 1] == _I
        and data[at + 2] == _A
    )


@njit(nogil=True, cache=True)
def _token(data, at, least, stop, done, document, out, count):  # type: ignore[no-untyped-def]
    """The long word around `at`; `done[0]` is where those seen so far end."""
    if at >= done[0]:
        start = _back(data, at, max(least, done[0]), _TOKEN)
        done[0] = _on(data, at, stop, _TOKEN)
        if done[0] - start >= SHORTEST_TOKEN:
            count = _put(out, count, document, start, done[0], TOKEN, 0)
    return count


@njit(nogil=True, cache=True)
def _groups(data, at, least, stop, done, document, out, count):  # type: ignore[no-untyped-def]
    """The hex groups around a digit; `done[1]` is where those seen so far end."""
    if at >= done[1]:
        start = _back(data, at, max(least, done[1]), _HEX)
        done[1] = _on(data, at, stop, _HEX)
        if _address6(data, start, done[1]):
            count = _put(out, count, document, start, done[1], ADDRESS6, 0)
    return count


@njit(nogil=True, cache=True)
def _around_digit(data, at, least, stop, done, document, out, count):  # type: ignore[no-untyped-def]
    """Candidates at a digit that no number before it took in, and where its own number ends."""
    if _begins_iban(data, at, least, stop):
        count = _put(out, count, document, at - 2, at + 2, IBAN, 0)
    end, digits, dots = _number(data, at, stop)
    for digit in (at, end - 1):  # a number with marks begins in one word and ends in another
        count = _token(data, digit, least, stop, done, document, out, count)
        count = _groups(data, digit, least, stop, done, document, out, count)
    if dots >= 3:
        count = _put(out, count, document, at, end, ADDRESS4, digits)
    if digits >= FEWEST_DIGITS and not (digits == 8 and _is_date(data, at, end)):
        count = _put(out, count, document, at, end, NUMBER, digits)
    return end, count


@njit(nogil=True, cache=True)
def _candidates(data, offsets, out):  # type: ignore[no-untyped-def]
    """Fill `out` with candidates, as far as there is room; returns how many there are."""
    count, done = 0, np.zeros(2, np.int64)
    for document in range(offsets.shape[0] - 1):
        least, stop = offsets[document], offsets[document + 1]
        done[:], at = least, least
        while at < stop:
            byte = data[at]
            kind = _CLASS[byte]
            if not kind & _TRIGGER:
                at += 1
            elif kind & _DIGIT:
                at, count = _around_digit(data, at, least, stop, done, document, out, count)
            elif byte == _AT:
                start = _back(data, at, max(least, at - _LONGEST_LOCAL), _LOCAL)
                end = _on(data, at + 1, min(stop, at + _LONGEST_DOMAIN), _DOMAIN)
                if start < at and end > at + 3:
                    count = _put(out, count, document, start, end, MAIL, 0)
                at += 1
            elif byte != _DASH:
                if byte == _LOW or _begins_aws(data, at, least, stop):
                    count = _token(data, at, least, stop, done, document, out, count)
                at += 1
            else:
                if _begins_pem(data, at, stop):
                    count = _put(out, count, document, at, at + 11, PEM, 0)
                at += 1
    return count


def find_candidates(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """int64 (n, 5): the COLUMNS of every place where personal data may be, document by document.

    The documents are UTF-8 in `data`, cut by `offsets`.
    """
    out = np.empty((1024, len(COLUMNS)), np.int64)
    count = _candidates(data, offsets, out)
    if count > len(out):
        out = np.empty((count, len(COLUMNS)), np.int64)
        _candidates(data, offsets, out)
    return out[:count]
