"""What a first pass over a WARC file tells: the records that need an outcome, the rights of each, and where it may be cut.

A statement of rights reaches its capture wherever it lies in the file, so a file is cut only where none is torn from
its capture. And the reader's own count is held against one that was made without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from pydantic import BaseModel

from pipelines.annotate.readers.http_body import MAX_BODY
from pipelines.annotate.readers.warc_scan import WarcHeader, WarcPiece, iter_pieces

ABOUT_OTHERS = ("request", "metadata", "warcinfo")
"""Records that only describe others: they are counted nowhere and need no outcome."""

_NAMING = ("warc-concurrent-to", "warc-refers-to")


class RightsEvidence(BaseModel):
    """One thing that a licence or an opt-out was read from."""

    signal: str
    value: str


class RightsRecord(BaseModel):
    """What our crawler says of a capture; a metadata record of another shape is a stranger's."""

    source: str | None = None
    kind: str | None = None
    format: str | None = None
    licence: str | None = None
    evidence: list[RightsEvidence] | None = None
    opt_out: list[str] | None = None


Rights = dict[str, Any] | None
"""What is said of a record; None where it was said in a record that is damaged, cut or too large."""


@dataclass(slots=True)
class WarcSurvey:
    """What the pass found; records with content are numbered, `rights` and `offsets` are by that number."""

    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    rights: dict[int, Rights] = field(default_factory=dict)
    links: list[tuple[int, int]] = field(default_factory=list)
    """Places (the first, the last) between which the file must not be cut."""
    _numbers: dict[str, int] = field(default_factory=dict)
    _early: dict[str, tuple[Rights, int]] = field(default_factory=dict)
    _before: int | None = None
    _bare: int | None = None
    """A response right before, of which nothing was said yet."""

    def add(self, piece: WarcPiece) -> int:
        """Take the next piece; returns how many of its records with content are whole."""
        first = len(self.offsets)
        whole = piece.heads[:-1] if piece.fault else piece.heads
        for head in whole:
            self._add(head, piece.start)
        if piece.fault:
            self._damaged(piece.heads[-1] if piece.heads else None, piece.start)
        return len(self.offsets) - first

    def _add(self, head: WarcHeader, at: int) -> None:
        if head.kind in ABOUT_OTHERS:
            self._describe(head, at, _read_rights(head) if head.kind == "metadata" else {})
            self._bare = None if head.kind == "metadata" else self._bare
            return
        self._before = len(self.offsets)
        self._bare = self._before if head.kind == "response" else None
        self.offsets.append(at)
        self.lengths.append(head.length)
        identity = head.get("warc-record-id")
        self._numbers[identity] = self._before
        if identity in self._early:
            self._state(self._before, *self._early.pop(identity))

    def _describe(self, head: WarcHeader, at: int, said: Rights) -> None:
        """Give what a record says to those that it names by their id, else (a metadata record) to the one before it."""
        named = [value for name, value in head.fields if name in _NAMING]
        known = {self._numbers[name] for name in named if name in self._numbers}
        for number in known:
            self._state(number, said, at)
        if named and not known:
            self._early |= dict.fromkeys(named, (said, at))
        elif not named and head.kind == "metadata" and self._before is not None:
            self._state(self._before, said, at)

    def _damaged(self, head: WarcHeader | None, at: int) -> None:
        """Rights may be lost in damaged bytes: then the capture is not read without them."""
        if head is None and self._bare is not None:
            self._state(self._bare, None, at)
        elif head is not None and head.kind == "metadata":
            self._describe(head, at, None)
        self._before = self._bare = None

    def _state(self, number: int, said: Rights, at: int) -> None:
        self.links.append((min(at, self.offsets[number]), max(at, self.offsets[number])))
        if said is None:
            self.rights[number] = None
        elif said:
            self.rights.setdefault(number, said)


def _read_rights(head: WarcHeader) -> Rights:
    """The rights in a metadata record: {} for a stranger's, None for one that is too large."""
    if head.length > MAX_BODY:
        return None
    try:
        return RightsRecord.model_validate_json(bytes(head.body)).model_dump(exclude_none=True)
    except ValueError:
        return {}


def iter_split_ranges(file: IO[bytes], size: int, split_bytes: int) -> Iterator[tuple[int, int]]:
    """Ranges of about `split_bytes` of an opened WARC file, each of whole records with all that is said of them."""
    survey, starts = WarcSurvey(), list[int]()
    for piece in iter_pieces(file, 0, size):
        starts.append(piece.start)
        survey.add(piece)
    links, reach, passed, start = sorted(survey.links), 0, 0, 0
    for at in starts:
        while passed < len(links) and links[passed][0] < at:
            reach, passed = max(reach, links[passed][1]), passed + 1
        if at - start >= split_bytes and reach < at:
            yield start, at
            start = at
    yield start, size
