"""What other rooms read of a crawl: the metadata record of a capture, and the details of its manifest.

These are the forms in which they are stored; the names of fields and keys stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter

CAPTURES_FOLDER = "captures"
"""The folder of a crawl run that holds its WARC files."""


@dataclass(frozen=True, slots=True)
class CaptureMetadata:
    """The JSON of a WARC metadata record: what a capture is, and the evidence of its rights.

    `kind` is the genre of the source. `format` says how the payload is read (`html`, `mediawiki-api`,
    `mastodon-api`; `discovery` holds no documents). `robots` is `allowed`, or `api` for interfaces that
    are not subject to robots.txt.
    """

    source: str
    kind: str
    format: str
    lang_hint: str | None
    licence: str
    evidence: tuple[dict[str, str], ...]
    opt_out: tuple[str, ...]
    robots: str

    def as_dict(self) -> dict[str, object]:
        """Return the fields as they are stored; their order does not matter, keys are sorted."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class WaitingHost:
    """Requests of one host that a session left in its queue, and why."""

    queued: int
    why: str


@dataclass(frozen=True, slots=True)
class CrawlDetails:
    """The `details` of a crawl's manifest, beside its counts.

    `crawl` names the crawl with the number of its generation. `licences` counts stored documents by
    source and licence, `fetched` captures by source. `unreachable` maps origins to reasons, `waiting`
    hosts to what is left there. `takedowns` counts the rows of the takedown list. Older runs have
    neither of the last two.
    """

    crawl: str
    policy: str
    licences: dict[str, dict[str, int]]
    fetched: dict[str, int]
    unreachable: dict[str, str]
    failures: list[str]
    queued: int
    waiting: dict[str, WaitingHost] = field(default_factory=dict)
    takedowns: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return the details as the manifest stores them."""
        return asdict(self)


def read_details(details: Mapping[str, object]) -> CrawlDetails:
    """Read the details of a crawl's manifest; raises pydantic's ValidationError for other content."""
    return TypeAdapter(CrawlDetails).validate_python(details)
