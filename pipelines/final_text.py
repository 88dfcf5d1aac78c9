"""The text that leaves the corpus: repeated spans cut, personal data replaced by typed placeholders."""

from collections.abc import Mapping, Sequence

PLACEHOLDER = {
    "email": "<EMAIL>", "phone": "<PHONE>", "ip": "<IP>", "resident_id": "<ID>", "card": "<CARD>", "iban": "<IBAN>",
}  # fmt: skip
"""Typed and recognizable: a plausible-looking fake could be somebody's."""

Span = Mapping[str, object]


def final_text(text: str, cuts: Sequence[Span], personal: Sequence[Span], *, mask: bool) -> str:
    """`text` without `cuts`, and with `personal` spans masked where `mask`; spans count UTF-8 bytes.

    A personal span that a cut touches goes with the cut as far as they overlap; the rest is masked.
    """
    if not cuts and not (mask and personal):
        return text
    raw = text.encode()
    edits = [(int(str(cut["start"])), int(str(cut["end"])), b"") for cut in cuts]
    if mask:
        edits += [(int(str(s["start"])), int(str(s["end"])), PLACEHOLDER[str(s["type"])].encode()) for s in personal]
    pieces, at = [], 0
    for start, end, instead in sorted(edits):
        if end <= at:
            continue
        pieces += [raw[at : max(start, at)], instead]
        at = end
    pieces.append(raw[at:])
    return b"".join(pieces).decode()
