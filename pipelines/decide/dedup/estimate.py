"""What `decide` will take for so many documents, before a run: memory, bytes regrouped, disk and time.

The widths of rows are those of the graph; how many documents are copies, and how fast rows are handled, are assumptions
that are printed with the result.
"""

from dataclasses import dataclass

from gristmill.formatting import format_bytes, format_seconds
from pipelines.decide.config import DecideConfig
from pipelines.decide.dedup.components import estimate_union_bytes
from pipelines.decide.dedup.graph import EDGE, PartitionPlan
from pipelines.decide.dedup.groups import MEMBER
from pipelines.decide.dedup.keys import BAND, CONTENT_KEY, ORDER_WIDTH
from pipelines.decide.dedup.signatures import SIGNATURE_WIDTH

COPIES = 0.4
"""Share of documents that meet another in some band, as in deduplicated crawls of the web."""
CENTRES = 2
"""Distinct centres that such a document meets: its bands mostly agree on two."""
ROUNDS = 4
"""Rounds of stars, where components are found by them."""
START = 230 << 20
"""Bytes that a process has before it reads a document: Python, Beam, Arrow, numba, their graph."""
PIECES = 6
"""Pieces a worker holds at the worst: what it gathered, sorted, cut and packed, on both sides of a regrouping."""
ROWS_A_SECOND = 2.5e6
"""Rows of 16 bytes that one worker regroups in a second, of all work between reading keys and writing decisions."""
DOCUMENTS_A_SECOND = 60_000
"""Documents that one worker judges and writes in a second."""


@dataclass(frozen=True, slots=True)
class DecideEstimate:
    """The estimate, in bytes and seconds; `shuffled` by what is regrouped."""

    documents: int
    way: str
    partitions: int
    memory: int
    shuffled: dict[str, int]
    seconds: float

    @property
    def total(self) -> int:
        """All bytes regrouped. Locally they lie on the disk until the run is sealed."""
        return sum(self.shuffled.values())


def estimate_cost(
    documents: int, config: DecideConfig, plan: PartitionPlan, memory: int, workers: int
) -> DecideEstimate:
    """What so many documents take with these settings."""
    at_once = estimate_union_bytes(documents) <= memory // 2
    shuffled = _shuffled(documents, config, at_once=at_once)
    held = (
        START
        + workers * PIECES * plan.chunk_bytes
        + (estimate_union_bytes(documents) if at_once else 0)
    )
    rows = sum(shuffled.values()) / 16
    took = (rows / ROWS_A_SECOND + documents / DOCUMENTS_A_SECOND) / workers
    way = "one union-find" if at_once else f"rounds of stars, {ROUNDS} assumed"
    return DecideEstimate(documents, way, plan.partitions, held, shuffled, took)


def _shuffled(documents: int, config: DecideConfig, *, at_once: bool) -> dict[str, int]:
    met = int(COPIES * documents)
    edges = int(CENTRES * met)
    compared = edges if config.near.min_similarity else 0
    widths = {
        "content keys": documents * CONTENT_KEY.width,
        "address keys": documents * CONTENT_KEY.width if config.url.max_documents else 0,
        "band keys": documents * config.near.bands * BAND.width,
        "candidates": edges * EDGE.width,
        "signatures of candidates": compared * (EDGE.width + SIGNATURE_WIDTH),
        "components": edges * 2 if at_once else edges * (EDGE.width + ROUNDS * 6),
        "ranks and clusters": met * (3 + 4 + ORDER_WIDTH + MEMBER.width),
        "signatures of survivors": met * (MEMBER.width + SIGNATURE_WIDTH),
    }
    return {name: 8 * columns for name, columns in widths.items()}


def format_estimate(found: DecideEstimate) -> list[str]:
    """The estimate as a person reads it."""
    shuffled = [
        f"    {name:<26}{format_bytes(count):>10}"
        for name, count in found.shuffled.items()
        if count
    ]
    return [
        f"{found.documents:,} documents: {found.way}, {found.partitions} partitions",
        f"  memory      about {format_bytes(found.memory)}",
        f"  regrouped   about {format_bytes(found.total)}, which lie on the disk until the run is done; elsewhere the runner has them",
        *shuffled,
        f"  time        about {format_seconds(found.seconds)}, and a few seconds to start",
        f"assumed: {COPIES:.0%} of the documents meet another in a band; repeated text and rules are not in it",
    ]
