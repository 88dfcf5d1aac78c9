"""Keys and tokens: only those whose makers gave them a form of their own, and values assigned to a name that says secret."""

import math
import re
from collections import Counter
from collections.abc import Iterator

ISSUED = re.compile(
    rb"(?<![A-Za-z0-9])(?:"
    rb"(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"  # AWS access key ids: base 32
    rb"|AIza[\w-]{35}(?![\w-])"  # Google
    rb"|gh[pousr]_[A-Za-z0-9]{36}(?![A-Za-z0-9])|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"
    rb"|glpat-[\w-]{20,64}|npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])|hf_[A-Za-z0-9]{34}(?![A-Za-z0-9])"
    rb"|xox[abeoprs]-(?:[A-Za-z0-9]{1,64}-){1,5}[A-Za-z0-9]{10,128}|xapp-\d-[A-Z0-9]{8,16}-\d{8,16}-[a-f0-9]{64}"  # Slack
    rb"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}"  # Stripe
    rb"|sk-(?:proj-|ant-[a-z0-9]{3,8}-|or-v1-|svcacct-)?(?=[\w-]{0,64}\d)[\w-]{20,200}"  # OpenAI and those alike
    rb"|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,8000}\.[\w-]{10,2000}"  # JSON web tokens: two JSON objects and a signature
    rb")"
)
ASSIGNED = re.compile(
    rb"(?i:key|token|secret|passwd|password|bearer|credentials?)[\"'`]?(?: ?[:=] ?| )(?:(?i:bearer) )?[\"'`]?"
    rb"([A-Za-z0-9_+/.-]{20,256})={0,2}(?![A-Za-z0-9])"
)
PEM = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    rb"([^-]*+(?:-[^-]++){0,30}+)-----END [A-Z0-9 ]{11,60}-----"
)
"""What lies between may hold single hyphens (headers), so one that never ends is left at the next line of hyphens."""

ASSIGNMENT = 24
"""Bytes before a long word in which the name it is assigned to is looked for."""
_LEAST_PEM = 64
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")


def find_keys(window: bytes, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The keys in a long word at `first`, which may have its name before it."""
    for match in ISSUED.finditer(window, first):
        if match.start() < last and _is_mixed(match[0].rsplit(b"-", 1)[-1]):
            yield match.span()
    for match in ASSIGNED.finditer(window, max(0, first - ASSIGNMENT)):
        if match.start() < last and is_random(match[1]):
            yield match.start(1), match.end()


def find_pem_block(window: bytes, first: int, _: int) -> Iterator[tuple[int, int]]:
    """The private key that begins at `first`, if it ends and has a body."""
    match = PEM.match(window, first)
    if match and len(match[1]) >= _LEAST_PEM:
        yield match.span()


def _is_mixed(raw: bytes) -> bool:
    """Whether not all of it is one character, as in the examples of manuals."""
    return len(set(raw)) > 4


def is_random(raw: bytes) -> bool:
    """Whether a value looks drawn at random: hex of 32 digits and more, or both cases and digits well mixed."""
    if _HEX.fullmatch(raw):
        return len(raw) >= 32 and compute_entropy(raw) >= 3.0
    digits = sum(48 <= byte <= 57 for byte in raw)
    both = raw.lower() != raw and raw.upper() != raw
    return (
        both
        and digits >= 2
        and b"//" not in raw
        and compute_entropy(raw) >= min(4.0, 0.85 * math.log2(len(raw)))
    )


def compute_entropy(raw: bytes) -> float:
    """Shannon entropy of the bytes' frequencies, in bits per byte."""
    return -sum(n / len(raw) * math.log2(n / len(raw)) for n in Counter(raw).values())
