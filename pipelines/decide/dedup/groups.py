"""What is done with the sorted rows of a partition: groups of copies, star edges, clusters and their survivors.

Pure functions over pieces of int64 rows, sorted by all columns; the wiring is in `dedup.graph`. A group may be larger than
a piece, even than memory: what is carried from one piece to the next is a handful of numbers.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.decide.dedup.keys import RANK_WIDTH
from pipelines.engine.packed_rows import sort_rows

MAX_STAR = 10_000
"""Members of one star. A larger bucket becomes several, whose centres hang on the first: no node, and so no shard that
signatures are carried to, meets more edges of one bucket."""


def find_group_starts(keys: np.ndarray) -> np.ndarray:
    """int64: where each run of equal rows of `keys` (n,) or (n, k) begins."""
    if not len(keys):
        return np.zeros(0, np.int64)
    changed = keys[1:] != keys[:-1]
    return np.flatnonzero(np.r_[True, changed if keys.ndim == 1 else changed.any(axis=1)])


def locate_in_groups(keys: np.ndarray, before: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """int64 (n,) twice: the row where each row's group begins, and its place in that group.

    `before` rows of the first group went before.
    """
    starts = find_group_starts(keys)
    sizes = np.diff(np.r_[starts, len(keys)])
    begin = np.repeat(starts, sizes)
    place = np.arange(len(keys)) - begin
    if before:
        place[: sizes[0]] += before
    return begin, place


@dataclass(frozen=True, slots=True)
class _Open:
    """The group that a piece ended in: its key, how many rows it had, its first node and the centres of its last star."""

    key: list[int]
    count: int
    first: int
    centres: list[int]


def link_stars(
    pieces: Iterable[np.ndarray],
    keys: int,
    *,
    centres: int = 1,
    cap: int = MAX_STAR,
    on_giant: Callable[[int], object] = lambda _: None,
) -> Iterator[np.ndarray]:
    """Rows (key of `keys` columns, ..., node) in; edges (node, centre) out, to the first `centres` nodes of its group.

    At most `centres` edges a row, never the square of a group. A group of more than `cap` becomes a star for every `cap`
    rows, whose first node hangs on the first of all; `on_giant` is told how many such groups a piece has.
    """
    before: _Open | None = None
    for rows in pieces:
        if before is not None and before.key != rows[0, :keys].tolist():
            before = None
        begin, place = locate_in_groups(rows[:, :keys], before.count if before else 0)
        own, first = place % cap, rows[begin, -1]
        if giant := int((place == cap).sum()):
            on_giant(giant)
        if before:
            first[begin == 0] = before.first
        found = [np.column_stack([rows[:, -1], first])[(own == 0) & (place > 0)]]
        star, last = np.arange(len(rows)) - own, []
        for number in range(centres):
            centre = _nodes_at(rows, star + number, before.centres[number] if before else 0)
            found.append(np.column_stack([rows[:, -1], centre])[own > number])
            last.append(int(centre[-1]))
        yield np.concatenate(found)
        before = _Open(rows[-1, :keys].tolist(), int(place[-1]) + 1, int(first[-1]), last)


def _nodes_at(rows: np.ndarray, places: np.ndarray, before: int) -> np.ndarray:
    """The nodes at these rows; `before` where they lie before the piece. Behind its end there is none yet: any will do."""
    nodes: np.ndarray = np.where(places < 0, before, rows[np.clip(places, 0, len(rows) - 1), -1])
    return nodes


def count_group_sizes(pieces: Iterable[np.ndarray], keys: int) -> np.ndarray:
    """int64 (groups,): the rows of each group of equal first `keys` columns, in order."""
    found, last = [np.zeros(0, np.int64)], None
    for rows in pieces:
        starts = find_group_starts(rows[:, :keys])
        sizes = np.diff(np.r_[starts, len(rows)])
        if last == rows[0, :keys].tolist():
            found[-1][-1] += sizes[0]
            sizes = sizes[1:]
        if len(sizes):
            found.append(sizes)
        last = rows[-1, :keys].tolist()
    return np.concatenate(found)


def number_groups(
    pieces: Iterable[np.ndarray], keys: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(rows, number of each row's group, place of each row in its group) of every piece: groups count from 0 in order."""
    last, number, count = None, -1, 0
    for rows in pieces:
        key = rows[:, :keys]
        goes_on = last == key[0].tolist()
        begin, place = locate_in_groups(key, count if goes_on else 0)
        first = number if goes_on else number + 1
        group = first + np.cumsum(np.r_[0, np.diff(begin) > 0])
        yield rows, group, place
        last, number, count = key[-1].tolist(), int(group[-1]), int(place[-1]) + 1


def iter_distinct(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The rows without repetitions."""
    last: list[int] | None = None
    for rows in pieces:
        kept = rows[find_group_starts(rows)]
        if last == kept[0].tolist():
            kept = kept[1:]
        last = rows[-1].tolist()
        if len(kept):
            yield kept


def sort_unique_rows(rows: np.ndarray) -> np.ndarray:
    """The distinct rows, sorted."""
    if not len(rows):
        return rows
    found: np.ndarray = np.concatenate(list(iter_distinct([sort_rows(rows)])))
    return found


MEMBER = 9
"""Columns of a member: node, survivor, label, size, the survivor's id halves, place in the cluster, exact copy, same address."""


PLACE, EXACT_COPY = 6, 7
"""The columns that tell its place in the cluster, and an exact copy."""


def list_cluster_members(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """(label, exact copy, rank, node, same address) sorted in, members out.

    Exact copies come after all others of their cluster, so the places of the others count them alone. The pieces are
    walked through twice: how many a cluster has is known at its end.
    """
    sizes = count_group_sizes(pieces, 1)
    high = 2 + RANK_WIDTH - 2
    survivor: np.ndarray | None = None
    for rows, group, place in number_groups(pieces, 1):
        begin, _ = locate_in_groups(rows[:, 0])
        heads = rows[begin]
        if place[0] and survivor is not None:
            heads[begin == 0] = survivor
        survivor = heads[-1]
        columns = [
            rows[:, -2],
            heads[:, -2],
            rows[:, 0],
            sizes[group],
            heads[:, high],
            heads[:, high + 1],
            place,
        ]
        yield np.column_stack([*columns, rows[:, 1], rows[:, -1]])


def merge_flags(rows: np.ndarray) -> np.ndarray:
    """(node, tag, label) in, whole nodes: tag 0 its label, 1 the same address, 2 an exact copy. (node, label, exact, address) out."""
    starts = find_group_starts(rows[:, 0])
    labels = rows[starts]
    flags = np.zeros((len(starts), 2), np.int64)
    group = np.cumsum(np.r_[0, np.diff(rows[:, 0]) != 0])
    for column, tag in enumerate((2, 1)):
        flags[group[rows[:, 1] == tag], column] = 1
    found: np.ndarray = np.column_stack([labels[:, 0], labels[:, 2], flags])[labels[:, 1] == 0]
    return found


def count_agreement(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """int64 (n,): in how many elements two signatures uint32 (n, k) agree; / k estimates Jaccard's similarity."""
    counted: np.ndarray = (left == right).sum(axis=1, dtype=np.int64)
    return counted
