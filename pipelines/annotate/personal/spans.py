"""Personal data in text: e-mail, keys, IP addresses, IBANs, resident ids, cards and phones - as spans in UTF-8 bytes.

A kernel names the few places where something may be (pipelines.annotate.kernels.personal); patterns look at those only, within
fixed distances and over bytes, so spans need no conversion and time is linear. Numbers with a checksum are only
reported where it holds.
"""

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa

from pipelines.annotate.kernels import personal as kernel
from pipelines.annotate.personal import keys, numbers, phones
from pipelines.kernels.buffers import get_text_buffers

TYPES = ("email", "key", "ip", "iban", "resident_id", "card", "phone")
"""In order of precedence where spans overlap: the more a form proves, the earlier."""

SPANS = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("type", pa.string())]))

PersonalSpan = tuple[int, int, str]
_Reader = Callable[[bytes, int, int], Iterator[tuple[int, int]]]

EMAIL = re.compile(
    rb"(?<![\w.+-])\w[\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w])"
)


def find_emails(window: bytes, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The e-mail address whose `@` lies between `first` and `last`."""
    if match := EMAIL.search(window, first, last + 1):
        yield match.span()


_NUMBERS: tuple[tuple[int, str, _Reader], ...] = (
    (17, "resident_id", numbers.find_resident_ids),
    (12, "card", numbers.find_cards),
    (kernel.FEWEST_DIGITS, "phone", phones.find_phones),
)
"""The digits a run must have, and what it is then searched for."""

_OTHERS: dict[int, tuple[int, int, str, _Reader]] = {
    kernel.MAIL: (1, 1, "email", find_emails),
    kernel.TOKEN: (keys.ASSIGNMENT, 1, "key", keys.find_keys),
    kernel.PEM: (0, 1 << 15, "key", keys.find_pem_block),
    kernel.ADDRESS4: (numbers.BEFORE, 2, "ip", numbers.find_ipv4),
    kernel.ADDRESS6: (1, 18, "ip", numbers.find_ipv6),
    kernel.IBAN: (0, 48, "iban", numbers.find_ibans),
}
"""For each other kind of candidate: bytes to look at before and behind it, its type, and what reads it."""


def find_personal(text: bytes) -> list[PersonalSpan]:
    """All spans (start, end, type) of personal data in UTF-8 `text`, sorted and without overlaps."""
    _, spans = _find_all(np.frombuffer(text, np.uint8), np.array([0, len(text)], np.int32))
    return spans


def compute_spans_column(text: pa.Array) -> pa.Array:
    """The spans of every document of a batch, as list<struct<start, end, type>>."""
    counts, spans = _find_all(*get_text_buffers(text))
    starts, ends, types = zip(*spans, strict=True) if spans else ((), (), ())
    columns = [
        pa.array(starts, pa.int32()),
        pa.array(ends, pa.int32()),
        pa.array(types, pa.string()),
    ]
    values = pa.StructArray.from_arrays(columns, fields=list(SPANS.value_type))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=SPANS)


def _find_all(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, list[PersonalSpan]]:
    """How many spans each document has, and the spans of all, one document after the other."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    everything: list[PersonalSpan] = []
    raw = data.data
    for document, places in groupby(
        kernel.find_candidates(data, offsets).tolist(), key=itemgetter(0)
    ):
        bounds = int(offsets[document]), int(offsets[document + 1])
        spans = [span for place in places for span in _read_candidate(raw, bounds, place)]
        kept = _merge_overlaps(sorted(spans))
        counts[document] = len(kept)
        everything += kept
    return counts, everything


def _read_candidate(
    raw: memoryview, bounds: tuple[int, int], place: list[int]
) -> Iterator[PersonalSpan]:
    """The spans of one candidate, counted from the beginning of its document."""
    _, first, last, kind, digits = place
    if kind == kernel.NUMBER:
        before, behind = numbers.BEFORE, numbers.AFTER
        readers = [(name, reader) for least, name, reader in _NUMBERS if digits >= least]
    else:
        before, behind, name, reader = _OTHERS[kind]
        readers = [(name, reader)]
    begin = max(bounds[0], first - before)
    window = bytes(raw[begin : min(bounds[1], last + behind)])
    for name, reader in readers:
        for start, end in reader(window, first - begin, last - begin):
            yield start + begin - bounds[0], end + begin - bounds[0], name


def _merge_overlaps(spans: list[PersonalSpan]) -> list[PersonalSpan]:
    """Sorted spans of which none overlap: those that did are one, of the type with precedence, so no byte gets free."""
    found: list[PersonalSpan] = []
    for start, end, name in spans:
        if found and start < found[-1][1]:
            begin, stop, other = found.pop()
            found.append((begin, max(end, stop), min(name, other, key=TYPES.index)))
        else:
            found.append((start, end, name))
    return found
