"""One crawl under way: where its captures go, what became of every document, and who must wait."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crawlers.config import CrawlConfig, Source
from crawlers.rights import Verdict
from crawlers.warc import Exchange, WarcWriter
from gristmill.ledger import Tally
from gristmill.progress import Progress
from gristmill.rights import POLICIES, RightsPolicy

LONGEST_PAUSE = 300.0
"""A host that asks for more patience than this (seconds) is given up for this crawl."""


@dataclass(slots=True)
class Session:
    """What all spiders of a crawl share.

    `origins` maps host names to the proxy address that serves them (the demo site); `unreachable` says of each host whose
    robots.txt or API could not be had what was wrong.
    """

    config: CrawlConfig
    writer: WarcWriter
    progress: Progress
    origins: Mapping[str, str] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    fetched: Counter[str] = field(default_factory=Counter)
    licences: Counter[tuple[str, str]] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)
    stopped: str | None = None
    fault: BaseException | None = None
    _held: dict[str, float] = field(default_factory=dict)

    @property
    def policy(self) -> RightsPolicy:
        """The policy under which this crawl judges."""
        return POLICIES[self.config.policy]

    def capture(self, source: Source, exchange: Exchange, *, format: str, verdict: Verdict, robots: str) -> None:
        """Write one response with its rights evidence."""
        metadata: dict[str, Any] = {
            "source": source.name,
            "kind": source.kind,
            "format": format,
            "lang_hint": source.lang,
            "licence": verdict.licence,
            "evidence": [signal.record() for signal in verdict.evidence],
            "opt_out": list(verdict.opt_out),
            "robots": robots,
        }
        self.writer.write(exchange, metadata)
        self.fetched[source.name] += 1

    def stored(self, source: Source, verdict: Verdict, size: int) -> None:
        """Count one document that was stored: kept, or dropped where the policy refuses it (its capture remains as evidence)."""
        lang = source.lang or ""
        if verdict.refused:
            self.tally.add("dropped", verdict.refused, source=source.name, lang=lang, size=size)
        else:
            self.tally.add("kept", source=source.name, lang=lang, size=size)
        self.licences[source.name, verdict.licence] += 1
        self._advance(source)

    def dropped(self, source: Source, reason: str) -> None:
        """Count one document that was found and not fetched, or is no document."""
        self.tally.add("dropped", reason, source=source.name, lang=source.lang or "")
        self._advance(source)

    def failed(self, source: Source, reason: str, where: str) -> None:
        """Count one document that could not be had."""
        self.tally.add("quarantined", reason, source=source.name, lang=source.lang or "")
        self.failures.append(f"{reason}  {where}")
        self._advance(source)

    def _advance(self, source: Source) -> None:
        self.documents[source.name] += 1
        self.progress.advance(1, note=f"{self.writer.captures} captures, {self.writer.bytes / 1e6:.1f} MB")

    def hold(self, host: str, seconds: float) -> None:
        """Ask nothing of a host for so long."""
        self._held[host] = max(self._held.get(host, 0.0), time.monotonic() + seconds)

    def pause(self, host: str) -> float:
        """How many seconds a host must still be left alone."""
        return max(0.0, self._held.get(host, 0.0) - time.monotonic())

    def licence_table(self) -> dict[str, dict[str, int]]:
        """Documents by source and licence."""
        out: dict[str, dict[str, int]] = {}
        for (source, licence), count in sorted(self.licences.items()):
            out.setdefault(source, {})[licence] = count
        return out


NOTHING_SAID = Verdict("unknown", (), None, ())
