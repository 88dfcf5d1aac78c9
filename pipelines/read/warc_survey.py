"""A first pass over a WARC file: how many records need a fate, which rights each has, and how the file ends.

Only headers and metadata records are read. So a statement of rights reaches its capture wherever it lies in the file,
and the reader's own count is held against one that was made without it.
"""

from dataclasses import dataclass, field
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from pydantic import BaseModel

from gristmill import storage
from pipelines.read.http_body import MAX_BODY
from pipelines.read.warc_end import tail_fault

ABOUT_OTHERS = (WarcRecordType.request, WarcRecordType.metadata, WarcRecordType.warcinfo)
"""Records that only describe others: they are counted nowhere and need no fate."""


class Evidence(BaseModel):
    """One thing that a licence or an opt-out was read from."""

    signal: str
    value: str


class RightsRecord(BaseModel):
    """What our crawler says of a capture; a metadata record of another shape is a stranger's."""

    source: str | None = None
    kind: str | None = None
    format: str | None = None
    licence: str | None = None
    evidence: list[Evidence] | None = None
    opt_out: list[str] | None = None


Rights = dict[str, Any] | None
"""What is said of a record; None where it was said in a record that is cut."""


@dataclass(slots=True)
class Survey:
    """What the pass found; `rights` is by the number of the record among those that need a fate."""

    records: int = 0
    rights: dict[int, Rights] = field(default_factory=dict)
    last: int = 0
    fault: str | None = None
    _numbers: dict[str, int] = field(default_factory=dict)
    _early: dict[str, Rights] = field(default_factory=dict)

    def add(self, record: WarcRecord) -> None:
        """Count a record, or give what it says to the one that it names: by its id, else the one before it."""
        self.last = record.stream_pos
        if record.record_type not in ABOUT_OTHERS:
            identity = record.headers.get("WARC-Record-ID") or ""
            self._numbers[identity] = self.records
            if identity in self._early:
                self._state(self.records, self._early.pop(identity))
            self.records += 1
        elif record.record_type == WarcRecordType.metadata:
            said = _said(record)
            named = [value for name, value in record.headers if name.lower() in _NAMING]
            for number in {self._numbers[name] for name in named if name in self._numbers}:
                self._state(number, said)
            if named and not any(name in self._numbers for name in named):
                self._early |= dict.fromkeys(named, said)
            elif not named and self.records:
                self._state(self.records - 1, said)

    def _state(self, number: int, said: Rights) -> None:
        if said is None:
            self.rights[number] = None
        elif said:
            self.rights.setdefault(number, said)


_NAMING = ("warc-concurrent-to", "warc-refers-to")


def survey(path: str) -> Survey:
    """Pass over a file; where it breaks off, what was found up to there."""
    found = Survey()
    with storage.open_input(path) as file:
        try:
            for record in ArchiveIterator(file, record_types=WarcRecordType.any_type, parse_http=False):
                found.add(record)
        except OSError as error:  # a fault of the archive itself: what follows it cannot be located
            found.fault = str(error)[:300]
    found.fault = found.fault or tail_fault(path, found.last)
    return found


def _said(record: WarcRecord) -> Rights:
    """The rights in a metadata record: {} for a stranger's, None for one that cannot be read whole."""
    if record.content_length > MAX_BODY:
        return None
    raw: bytes = record.reader.read(MAX_BODY)
    if len(raw) != record.content_length:
        return None
    try:
        return RightsRecord.model_validate_json(raw).model_dump(exclude_none=True)
    except ValueError:
        return {}
