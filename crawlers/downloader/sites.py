"""What a site says of itself before any page: robots.txt, tdmrep.json and ai.txt, read once a day and kept in the frontier."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scrapy import Request

from crawlers.config import PRODUCT
from crawlers.downloader.addresses import host_of, place_of
from crawlers.downloader.failures import words_for
from crawlers.downloader.politeness import Forbidden, Held, Unreachable, wait_for
from crawlers.downloader.robots import (
    AI_AGENTS,
    EVERYTHING_FORBIDDEN,
    LARGEST,
    NOTHING_FORBIDDEN,
    Robots,
    encoded,
    matches,
    path_of,
    read_robots,
)
from crawlers.frontier.store import storable
from crawlers.outcome import Outcome
from crawlers.rights import Signal
from crawlers.session import Session

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

DAY, HOUR = 86400.0, 3600.0
"""How long what was read holds (RFC 9309, 2.4), and how long a failure to read it does."""
LONGEST_CRAWL_DELAY = 60.0
REDIRECTS = 5
"""Hops of robots.txt that are followed, to other hosts too (RFC 9309, 2.3.1.2)."""


@dataclass(frozen=True, slots=True)
class Site:
    """What one place (scheme, host, port) says: its robots.txt, or why it cannot be had; its TDM reservations; its ai.txt."""

    robots: Robots = NOTHING_FORBIDDEN
    unreachable: str | None = None
    reservations: tuple[tuple[str, str, str], ...] = ()
    ai: Robots = field(default=NOTHING_FORBIDDEN)

    def signals(self, url: str) -> Iterator[Signal]:
        """What the site says about the use of one of its pages."""
        for use in self.robots.uses(PRODUCT, url):
            yield Signal("robots.txt use", use)
        if shut := self.robots.shut_to(AI_AGENTS, url):
            yield Signal("robots.txt for AI", ", ".join(shut))
        if self.ai.groups and not self.ai.permits(PRODUCT, url):
            yield Signal("ai.txt", "Disallow")
        for pattern, reservation, policy in self.reservations:
            if matches(encoded(pattern), encoded(path_of(url))):
                yield Signal("tdmrep.json tdm-reservation", reservation)
                yield from [Signal("tdmrep.json tdm-policy", policy)] if policy else []
                return


def unreachable(status: int) -> str | None:
    """What is wrong with a robots.txt that the server failed to give; None where it answered, be it with "there is none"."""
    return f"HTTP {status}" if status >= 500 or status == 429 else None


def read_site(answers: dict[str, tuple[int, bytes]], failed: str | None) -> Site:
    """The site that its files stand for: path -> status and body; `failed` says why robots.txt brought no answer."""
    why = failed or unreachable(answers["/robots.txt"][0])
    if why:
        return Site(EVERYTHING_FORBIDDEN, why)
    found = {path: body[:LARGEST] for path, (code, body) in answers.items() if code == 200}
    robots = read_robots(found["/robots.txt"]) if "/robots.txt" in found else NOTHING_FORBIDDEN
    ai = (
        read_robots(found["/ai.txt"]) if _is_text(found.get("/ai.txt", b"<")) else NOTHING_FORBIDDEN
    )
    return Site(robots, None, read_reservations(found.get("/.well-known/tdmrep.json", b"")), ai)


def _is_text(body: bytes) -> bool:
    """Whether an ai.txt is one, and no page that says in HTML with status 200 that there is none."""
    return body.lstrip()[:1] != b"<"


def read_reservations(body: bytes) -> tuple[tuple[str, str, str], ...]:
    """(pattern, reservation, policy) of a tdmrep.json (TDMRep, 6.2); what is no such file says nothing.

    `true` for 1, and one rule without its list, are slips whose meaning is clear.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    rules = [
        one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)
    ]
    return tuple(
        (
            storable(one["location"]),
            _reservation(one.get("tdm-reservation", "")),
            str(one.get("tdm-policy") or ""),
        )
        for one in rules
        if isinstance(one.get("location"), str)
    )


def _reservation(stated: Any) -> str:
    return str(int(stated)) if isinstance(stated, bool) else str(stated)


class SiteMiddleware:
    """Reads what a site says before its first page, and refuses what robots.txt forbids."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._sites: dict[str, tuple[float, Site]] = {}
        self._reading: dict[str, asyncio.Future[Site]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> SiteMiddleware:
        """Scrapy's way to make one."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Refuse what is forbidden; leave with the others what the site says about them."""
        if (
            request.meta.get("robots") == "api"
            or request.meta.get("any_host")
            or request.meta.get("door") == "robots.txt"
        ):
            return
        site = await self._site(request)
        if site.unreachable and (session := self.crawler.spider.session).pause(
            host_of(request.url)
        ):
            raise Held(
                f"robots.txt unreachable ({site.unreachable}), {session.pause(host_of(request.url)):.0f} s to wait"
            )
        if site.unreachable:
            raise Unreachable(site.unreachable)
        if not site.robots.permits(PRODUCT, request.url):
            raise Forbidden("forbidden by robots.txt")
        request.meta["site_signals"] = tuple(site.signals(request.url))

    async def _site(self, request: Request) -> Site:
        parts = urlsplit(request.url)
        place = f"{parts.scheme}://{place_of(request.url)}"
        if place in self._reading:
            return await asyncio.shield(self._reading[place])
        until, site = self._sites.get(place, (0.0, Site()))
        if until > time.time():
            return site
        self._reading[place] = asyncio.ensure_future(self._read(place, request.url))
        try:
            return await self._reading[place]
        finally:
            del self._reading[place]

    async def _read(self, place: str, url: str) -> Site:
        session: Session = self.crawler.spider.session
        kept = session.frontier.site(place)
        now, known = time.time(), kept is not None
        if kept is None or not kept[0] - HOUR <= now < kept[0] + DAY:
            kept = now, await self._fetch(place, session)
        answers, failed = _unpacked(kept[1])
        site = read_site(answers, failed)
        if (
            site.unreachable and known
        ):  # it was open before: its requests wait, they have not failed
            session.hold(host_of(url), HOUR)
        if delay := site.robots.crawl_delay(PRODUCT):
            session.crawl_delays[host_of(url)] = min(delay, LONGEST_CRAWL_DELAY)
        session.read_hosts.add(host_of(url))
        self._sites[place] = (now + HOUR if site.unreachable else kept[0] + DAY), site
        return site

    async def _fetch(self, place: str, session: Session) -> str:
        """Read the files of a site and keep them; what failed is kept for this call only."""
        outcome, answers, failed = Outcome(), {}, None
        try:
            answers["/robots.txt"] = await self._get(f"{place}/robots.txt", outcome)
        except Exception as error:  # whatever broke: nobody said yes
            failed = words_for(error)
        reached = failed is None and not unreachable(answers["/robots.txt"][0])
        for path in (
            ("/.well-known/tdmrep.json", "/ai.txt")
            if reached and self.crawler.spider.source.kind == "news"
            else ()
        ):
            try:
                answers[path] = await self._get(f"{place}{path}", outcome)
            except Exception:
                answers[path] = (0, b"")
        said = _packed(answers, failed)
        if reached:
            session.remember_site(self.crawler.spider.source, place, said, outcome)
        else:
            session.note(self.crawler.spider.source, outcome)
        return said

    async def _get(self, url: str, outcome: Outcome) -> tuple[int, bytes]:
        meta = {
            "any_host": True,
            "captures": outcome.captures,
            "format": "discovery",
            "redirect_ttl": REDIRECTS,
        }
        response: Response = await self.crawler.engine.download_async(
            Request(url, meta=meta, dont_filter=True)
        )
        if response.status in (429, 503) and b"Retry-After" in response.headers:
            session: Session = self.crawler.spider.session
            session.hold(host_of(response.url), wait_for(response, session))
        return response.status, response.body


def _packed(answers: dict[str, tuple[int, bytes]], failed: str | None) -> str:
    told: dict[str, Any] = {
        path: [status, base64.b64encode(body[:LARGEST]).decode()]
        for path, (status, body) in answers.items()
    }
    return json.dumps({"answers": told, "failed": failed})


def _unpacked(said: str) -> tuple[dict[str, tuple[int, bytes]], str | None]:
    found = json.loads(said)
    return {
        path: (status, base64.b64decode(body)) for path, (status, body) in found["answers"].items()
    }, found["failed"]
