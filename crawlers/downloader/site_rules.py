"""What a site publishes about its use: robots.txt, tdmrep.json and ai.txt, read from their answers.

Pure functions. In: status and body of each file. Out: `SiteRules`, and their packed form, which the
frontier keeps for a day.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from crawlers.downloader.robots import (
    AI_AGENTS,
    EVERYTHING_FORBIDDEN,
    LARGEST_ROBOTS,
    NOTHING_FORBIDDEN,
    Robots,
    describe_unavailable,
    encode_pattern,
    get_path,
    matches_path,
    read_robots,
)
from crawlers.frontier.database import storable
from crawlers.product import PRODUCT
from crawlers.rights import RightsSignal

ROBOTS_PATH = "/robots.txt"
RESERVATIONS_PATH = "/.well-known/tdmrep.json"
AI_PATH = "/ai.txt"


class FileAnswer(NamedTuple):
    """Status and body of one file of a site; status 0 stands for no answer."""

    status: int
    body: bytes


SiteAnswers = dict[str, FileAnswer]
"""Answers by path."""


class Reservation(NamedTuple):
    """One rule of a tdmrep.json: a path pattern, "0" or "1", and the address of a policy."""

    pattern: str
    value: str
    policy: str


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What one origin says: its robots.txt or why it cannot be fetched, reservations, its ai.txt."""

    robots: Robots = NOTHING_FORBIDDEN
    unreachable: str | None = None
    reservations: tuple[Reservation, ...] = ()
    ai: Robots = NOTHING_FORBIDDEN

    def iter_signals(self, url: str) -> Iterator[RightsSignal]:
        """Yield what the site says about the use of one of its pages."""
        for usage in self.robots.usage(PRODUCT, url):
            yield RightsSignal("robots.txt use", usage)
        refused = self.robots.refused_agents(AI_AGENTS, url)
        if refused:
            yield RightsSignal("robots.txt for AI", ", ".join(refused))
        if self.ai.groups and not self.ai.permits(PRODUCT, url):
            yield RightsSignal("ai.txt", "Disallow")
        yield from self._iter_reservation_signals(encode_pattern(get_path(url)))

    def _iter_reservation_signals(self, path: str) -> Iterator[RightsSignal]:
        """Yield the first reservation that matches: it alone holds (TDMRep, 6.2)."""
        for reservation in self.reservations:
            if matches_path(encode_pattern(reservation.pattern), path):
                yield RightsSignal("tdmrep.json tdm-reservation", reservation.value)
                if reservation.policy:
                    yield RightsSignal("tdmrep.json tdm-policy", reservation.policy)
                return


def read_site_rules(answers: SiteAnswers, failure: str | None) -> SiteRules:
    """Read the files of a site; `failure` says why robots.txt brought no answer at all."""
    unreachable = failure or describe_unavailable(answers[ROBOTS_PATH].status)
    if unreachable:
        return SiteRules(EVERYTHING_FORBIDDEN, unreachable)
    bodies = {
        path: answer.body[:LARGEST_ROBOTS]
        for path, answer in answers.items()
        if answer.status == 200
    }
    robots = read_robots(bodies[ROBOTS_PATH]) if ROBOTS_PATH in bodies else NOTHING_FORBIDDEN
    ai_body = bodies.get(AI_PATH)
    has_ai_rules = ai_body is not None and _is_text(ai_body)
    return SiteRules(
        robots=robots,
        reservations=read_reservations(bodies.get(RESERVATIONS_PATH, b"")),
        ai=read_robots(bodies[AI_PATH]) if has_ai_rules else NOTHING_FORBIDDEN,
    )


def _is_text(body: bytes) -> bool:
    """Whether an ai.txt is text, and not an HTML page that says "not found" with status 200."""
    return body.lstrip()[:1] != b"<"


def read_reservations(body: bytes) -> tuple[Reservation, ...]:
    """Read a tdmrep.json (TDMRep, 6.2); other content means no reservations.

    `true` for 1, and one rule without its list, are mistakes whose meaning is clear.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    rules = content if isinstance(content, list) else [content]
    return tuple(
        Reservation(
            storable(rule["location"]),
            _read_reservation_value(rule.get("tdm-reservation", "")),
            str(rule.get("tdm-policy") or ""),
        )
        for rule in rules
        if isinstance(rule, dict) and isinstance(rule.get("location"), str)
    )


def _read_reservation_value(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def pack_answers(answers: Mapping[str, FileAnswer], failure: str | None) -> str:
    """Encode answers as the JSON text that the frontier stores; bodies as base64."""
    encoded: dict[str, list[object]] = {}
    for path, answer in answers.items():
        body = base64.b64encode(answer.body[:LARGEST_ROBOTS]).decode()
        encoded[path] = [answer.status, body]
    return json.dumps({"answers": encoded, "failed": failure})


def unpack_answers(packed: str) -> tuple[SiteAnswers, str | None]:
    """Decode what `pack_answers` wrote."""
    content = json.loads(packed)
    answers = {
        path: FileAnswer(status, base64.b64decode(body))
        for path, (status, body) in content["answers"].items()
    }
    return answers, content["failed"]
