"""The text that leaves the corpus: repeated spans cut, personal data replaced by typed placeholders."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

PLACEHOLDER = {
    "email": "<EMAIL>", "key": "<KEY>", "ip": "<IP>", "iban": "<IBAN>", "resident_id": "<ID>", "card": "<CARD>",
    "phone": "<PHONE>",
}  # fmt: skip
"""Typed and recognizable: a plausible-looking fake could be somebody's."""


class Span(TypedDict):
    """A span of UTF-8 bytes, and what it is: the reason of a cut, or the type of personal data."""

    start: int
    end: int
    type: NotRequired[str]
    reason: NotRequired[str]


def final_text(text: str, cuts: Sequence[Span], personal: Sequence[Span], *, mask: bool) -> str:
    """`text` without `cuts`, and with `personal` spans masked where `mask`; spans count UTF-8 bytes.

    A personal span that begins inside or with a cut goes with it as far as they overlap; what is left is masked.
    """
    if not cuts and not (mask and personal):
        return text
    raw = text.encode()
    edits = [(cut["start"], 0, cut["end"], b"") for cut in cuts]
    if mask:
        edits += [(span["start"], 1, span["end"], PLACEHOLDER[span["type"]].encode()) for span in personal]
    pieces, at = [], 0
    for start, _, end, instead in sorted(edits):
        if end <= at:
            continue
        pieces += [raw[at : max(start, at)], instead]
        at = end
    pieces.append(raw[at:])
    return b"".join(pieces).decode()
