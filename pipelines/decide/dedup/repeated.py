"""Text that stands in several kept documents: which lines, paragraphs and runs of words repeat, and the cuts that follow.

Pure functions over Arrow batches and int64 rows; files and wiring are in `dedup.repeats_graph`.

A unit is a line or a paragraph of two lines and more between blank ones; case and spacing make no difference
(kernels.line_hashes). Every document counts a unit once. A unit of enough documents, or of enough hosts, is cut
everywhere: boilerplate says nothing of the page it stands on, not even of the first.

A run is `span` words of MinHash (kernels.words): case, punctuation and spacing make no difference, a Chinese character is
a word. A word is cut if it lies in a run that stands before - in a kept document of smaller rank, or earlier in the same one.
The first of every run stays, but for words that other runs and lines cut from it: each kind is found in the texts as they
are. Winnowing is the sieve (kernels.repeats): only runs whose fingerprint comes twice are compared, and it loses none of
them. 63-bit hashes stand for the runs: among a billion that differ, any two have one hash with a probability of 5 %. Not
found are shorter repetitions, and those with a word changed in every `span`.

Bytes of several reasons have the first of REASONS: each counts what those before it leave.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.decision import CUTS
from gristmill.hashing import key64
from pipelines.annotate.signals.urls import canonicalize_url
from pipelines.decide.dedup.groups import find_group_starts
from pipelines.decide.dedup.hash_list import HashList
from pipelines.decide.kernels.repeats import (
    LINE,
    PARAGRAPH,
    SPAN,
    LineSpans,
    collect_runs,
    hash_paragraphs,
    label_bytes,
    locate_lines,
    select_fingerprints,
)
from pipelines.engine.packed_rows import sort_rows
from pipelines.kernels.buffers import get_text_buffers

REASONS = ("repeated_line", "repeated_paragraph", "repeated_span")
"""Reasons of cuts, LINE, PARAGRAPH and SPAN in the kernel; the first that holds for a byte is given."""

UNIT, FINGERPRINT, RUN, PLACE = 3, 2, 6, 2
"""Columns of rows: (unit, host, documents), (fingerprint, occurrences), (run, priority, date, id, node, word), (node, word)."""

CARRIED = 1 << 16
"""Rows of runs made at a time: 3 MB. Text that all repeats has one for every word, six times its bytes and more."""

NO_HOST = 0


@dataclass(frozen=True, slots=True)
class TextUnits:
    """The lines of a batch, and its paragraphs of two lines and more."""

    lines: LineSpans
    hashes: np.ndarray
    """uint64 (lines,): of the lines, below 2 ** 63."""
    paragraphs: np.ndarray
    """uint64 (p,): of the paragraphs, below 2 ** 63."""
    firsts: np.ndarray
    """int64 (p,): the first line of each paragraph."""
    ends: np.ndarray
    """int64 (p,): the line behind its last."""

    def is_long(self, least: int) -> np.ndarray:
        """bool (lines,): which lines have at least so many bytes."""
        long: np.ndarray = self.lines.ends - self.lines.starts >= least
        return long

    def documents(self) -> np.ndarray:
        """int64 (lines,): the document that each line is of."""
        return np.repeat(np.arange(len(self.lines.cuts) - 1), np.diff(self.lines.cuts))


def locate_units(batch: pa.RecordBatch) -> TextUnits:
    """The units of documents with `text` and `line_hashes`; raises ValueError where these do not belong together."""
    lines, listed = locate_lines(*get_text_buffers(batch["text"])), batch["line_hashes"]
    counts = pc.list_value_length(listed).to_numpy(zero_copy_only=False)
    if (counts != np.diff(lines.cuts)).any():
        place = int(np.flatnonzero(counts != np.diff(lines.cuts))[0])
        raise ValueError(
            f"{counts[place]} line hashes for {np.diff(lines.cuts)[place]} lines in document {place}"
        )
    hashes = np.asarray(listed.flatten().to_numpy(zero_copy_only=False), np.uint64) >> np.uint64(1)
    paragraphs, firsts, ends = hash_paragraphs(hashes, lines.opens)
    return TextUnits(lines, hashes, paragraphs >> np.uint64(1), firsts, ends)


def make_unit_rows(units: TextUnits, hosts: np.ndarray, line_bytes: int) -> np.ndarray:
    """int64 (m, UNIT): each unit with each of `hosts` int64 (n,), and in how many documents of the batch."""
    documents, long = units.documents(), units.is_long(line_bytes)
    hashes = np.r_[units.hashes[long], units.paragraphs].astype(np.int64)
    pairs = sort_rows(np.column_stack([hashes, np.r_[documents[long], documents[units.firsts]]]))
    pairs = pairs[find_group_starts(pairs)]
    return sum_rows(
        np.column_stack([pairs[:, 0], hosts[pairs[:, 1]], np.ones(len(pairs), np.int64)])
    )


def sum_rows(rows: np.ndarray) -> np.ndarray:
    """Rows that differ in more than their last column, sorted, with its sum over all that do not."""
    if not len(rows):
        return rows
    rows = sort_rows(rows)
    starts = find_group_starts(rows[:, :-1])
    return np.column_stack([rows[starts, :-1], np.add.reduceat(rows[:, -1], starts)])


def hash_hosts(urls: pa.Array) -> np.ndarray:
    """int64 (n,): a 63-bit key of the host of each address; NO_HOST without one."""
    return np.array(
        [_host_key(_origin(url)) if url else NO_HOST for url in urls.to_pylist()], np.int64
    )


def _origin(url: str) -> str:
    """An address up to its path: few differ, so what follows is looked up."""
    scheme, colon, rest = url.strip().partition("://")
    return scheme + colon + rest.partition("/")[0]


@lru_cache(maxsize=1 << 16)
def _host_key(origin: str) -> int:
    form = canonicalize_url(origin)
    host = urlsplit(form).hostname if form else None
    return key64(host) if host else NO_HOST


@dataclass(frozen=True, slots=True)
class _Open:
    """The group that a piece ended in: its key, its sum so far, its distinct seconds so far and the last of them."""

    key: int
    count: int
    seconds: int
    last: int


def sum_groups(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Sorted rows (key, second, count) or (key, count) in, int64 (g, 3) of each key out: it, its count, its distinct seconds.

    A second of 0 is none. A group may be larger than a piece: it is given out when the next begins.
    """
    held: _Open | None = None
    for rows in pieces:
        if not len(rows):
            continue
        found = _totals(rows, held)
        if held and held.key != found[0, 0]:
            yield np.array([[held.key, held.count, held.seconds]], np.int64)
        yield found[:-1]
        key, count, seconds = found[-1].tolist()
        held = _Open(key, count, seconds, int(rows[-1, 1]))
    if held:
        yield np.array([[held.key, held.count, held.seconds]], np.int64)


def _totals(rows: np.ndarray, held: _Open | None) -> np.ndarray:
    """The totals of a piece; those of its first group go on from `held` where that has its key."""
    starts = find_group_starts(rows[:, 0])
    new = np.zeros(len(rows), np.int64)
    if rows.shape[1] == UNIT:
        new[find_group_starts(rows[:, :2])] = 1
        new[rows[:, 1] == NO_HOST] = 0
    found = np.column_stack(
        [rows[starts, 0], np.add.reduceat(rows[:, -1], starts), np.add.reduceat(new, starts)]
    )
    if held and held.key == rows[0, 0]:
        found[0, 1:] += held.count, held.seconds - int(new[0] and held.last == rows[0, 1])
    return found


def select_repeated_units(
    pieces: Iterable[np.ndarray], *, documents: int, hosts: int
) -> Iterator[np.ndarray]:
    """Sorted rows (UNIT) in; the units of at least so many documents or so many hosts out, ascending. 0: not asked."""
    for found in sum_groups(pieces):
        wanted = np.zeros(len(found), np.bool_)
        if documents:
            wanted |= found[:, 1] >= documents
        if hosts:
            wanted |= found[:, 2] >= hosts
        yield found[wanted, 0]


def make_fingerprint_rows(batch: pa.RecordBatch, span: int) -> np.ndarray:
    """int64 (m, FINGERPRINT): the fingerprints of a batch and how often each was selected."""
    found = select_fingerprints(*get_text_buffers(batch["text"]), span)
    values, counts = np.unique(found.values, return_counts=True)
    return np.column_stack([values.astype(np.int64), counts])


def select_repeated_fingerprints(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Sorted rows (FINGERPRINT) in; the fingerprints that occur more than once out, ascending."""
    for found in sum_groups(pieces):
        yield found[found[:, 1] > 1, 0]


def make_run_rows(
    batch: pa.RecordBatch, span: int, listed: HashList, ranks: np.ndarray, nodes: np.ndarray
) -> Iterator[np.ndarray]:
    """The runs whose fingerprint is `listed`, int64 (<= CARRIED, RUN), by the rank (n, 3) and node (n,) of their documents."""
    data, offsets = get_text_buffers(batch["text"])
    found = select_fingerprints(data, offsets, span)
    values, documents, places = collect_runs(
        data, offsets, span, found, listed.contains(found.values)
    )
    for at in range(0, len(values), CARRIED):
        some = slice(at, at + CARRIED)
        mine = documents[some]
        yield np.column_stack(
            [values[some].astype(np.int64), ranks[mine], nodes[mine], places[some]]
        )


def select_later_places(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Sorted rows (RUN) in; int64 (m, PLACE) of every occurrence of a run but its first out."""
    last: int | None = None
    for rows in pieces:
        if not len(rows):
            continue
        again = np.r_[rows[0, 0] == last, rows[1:, 0] == rows[:-1, 0]]
        last = int(rows[-1, 0])
        yield rows[again, -2:]


def merge_covered_words(places: np.ndarray, span: int) -> np.ndarray:
    """Sorted rows (node, word) in; int64 (r, 3) out: node, first word and end of each stretch that runs from there cover.

    Runs that overlap or touch make one stretch.
    """
    if not len(places):
        return np.zeros((0, 3), np.int64)
    apart = (places[1:, 0] != places[:-1, 0]) | (places[1:, 1] > places[:-1, 1] + span)
    starts = np.flatnonzero(np.r_[True, apart])
    lasts = np.r_[starts[1:], len(places)] - 1
    return np.column_stack([places[starts], places[lasts, 1] + span])


@dataclass(frozen=True, slots=True)
class TextCuts:
    """What is cut from the documents of a batch."""

    counts: np.ndarray
    """int64 (n,): cuts of each document."""
    starts: np.ndarray
    """int32 (m,): bytes of the document before each cut; sorted within a document, none touches another of its reason."""
    ends: np.ndarray
    """int32 (m,): bytes of the document up to its end."""
    labels: np.ndarray
    """uint8 (m,): why, LINE, PARAGRAPH or SPAN."""

    @property
    def bytes_of(self) -> dict[str, int]:
        """Bytes cut for each reason."""
        sums = np.bincount(
            self.labels, (self.ends - self.starts).astype(np.float64), len(REASONS) + 1
        )
        return {reason: int(size) for reason, size in zip(REASONS, sums[1:], strict=True)}

    @property
    def documents(self) -> int:
        """How many documents lose something."""
        return int((self.counts > 0).sum())

    def as_column(self) -> pa.ListArray:
        """The cuts as a column of CUTS."""
        names = pa.array(REASONS).take(pa.array(self.labels.astype(np.int64) - 1))
        fields = list(CUTS.value_type)
        structs = pa.StructArray.from_arrays(
            [pa.array(self.starts), pa.array(self.ends), names], fields=fields
        )
        offsets = np.r_[0, np.cumsum(self.counts)].astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), structs, type=CUTS)


def compute_cuts(
    batch: pa.RecordBatch, line_reasons: np.ndarray, units: TextUnits, words: np.ndarray
) -> TextCuts:
    """The cuts of a batch: of its lines by `line_reasons` uint8 (lines,), and of `words` (r, 3): document, first, end."""
    data, offsets = get_text_buffers(batch["text"])
    edges = np.asarray(offsets, np.int64)
    run_cuts = np.searchsorted(words[:, 0], np.arange(len(edges)))
    runs = np.ascontiguousarray(words[:, 1:])
    labels = label_bytes(data, edges, units.lines, line_reasons, runs, run_cuts)
    return collect_cuts(labels, edges - edges[0])


def assign_line_reasons(units: TextUnits, listed: HashList, line_bytes: int) -> np.ndarray:
    """uint8 (lines,): LINE where a line is listed and long enough, else PARAGRAPH where its paragraph is, else 0."""
    reasons = np.zeros(len(units.hashes), np.uint8)
    edges = np.zeros(len(reasons) + 1, np.int64)
    whole = listed.contains(units.paragraphs)
    edges[units.firsts[whole]] += 1
    edges[units.ends[whole]] -= 1
    reasons[np.cumsum(edges[:-1]) > 0] = PARAGRAPH
    long = np.flatnonzero(units.is_long(line_bytes))
    reasons[long[listed.contains(units.hashes[long])]] = LINE
    return reasons


def collect_cuts(labels: np.ndarray, edges: np.ndarray) -> TextCuts:
    """Neighbouring bytes of one label, uint8 (bytes,), as cuts; documents begin and end at `edges` int64 (n + 1)."""
    changes = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    borders = np.unique(np.concatenate([edges, changes]))
    starts, ends = borders[:-1], borders[1:]
    cut = labels[starts] > 0
    starts, ends = starts[cut], ends[cut]
    documents = np.searchsorted(edges, starts, "right") - 1
    counts = np.bincount(documents, minlength=len(edges) - 1).astype(np.int64)
    begin = edges[documents]
    return TextCuts(
        counts, (starts - begin).astype(np.int32), (ends - begin).astype(np.int32), labels[starts]
    )


assert tuple(range(1, len(REASONS) + 1)) == (LINE, PARAGRAPH, SPAN), (
    "reasons and labels must be in one order"
)
