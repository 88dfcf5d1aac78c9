"""What a source says about the use of its text, read as signals, and one pure function that judges them.

Signals are plain (name, value) pairs kept as evidence beside every capture. Reading them never decides anything; `judge`
does, with the licence vocabulary and the policies of `gristmill.rights.policy`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parsel import Selector

from gristmill.rights.policy import (
    OPT_OUTS,
    UNKNOWN,
    RightsPolicy,
    normalize_licence,
    status_refusals,
    why_refused,
)

AGENT = "gristmill"
LICENCE_TIERS = (("rel=license", "rightsinfo"), ("json-ld license",), ("footer link",))
"""Statements about the page itself come before those in its metadata, those before links in a footer."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing a source said: where it was read, and its words."""

    signal: str
    value: str

    def record(self) -> dict[str, str]:
        """The form in which it is stored."""
        return {"signal": self.signal, "value": self.value}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The licence (SPDX id or `unknown`), the refusals stated, why the policy refuses (None = it may be used), the evidence."""

    licence: str
    opt_out: tuple[str, ...]
    refused: str | None
    evidence: tuple[Signal, ...]


def judge(signals: Sequence[Signal], policy: RightsPolicy) -> Verdict:
    """Judge what was said under a policy. Refusals are recorded even where the policy does not heed them."""
    stated = set(_refusals(signals))
    opt_out = tuple(name for name in OPT_OUTS if name in stated)
    licence = _licence(signals)
    return Verdict(licence, opt_out, why_refused(licence, opt_out, policy), tuple(signals))


def _licence(signals: Sequence[Signal]) -> str:
    """The licence of the strongest kind of statement that names one; `unknown` where two of a kind disagree."""
    for tier in LICENCE_TIERS:
        named = {licence_of(signal.value) for signal in signals if signal.signal in tier} - {
            UNKNOWN
        }
        if named:
            return named.pop() if len(named) == 1 else UNKNOWN
    return UNKNOWN


def licence_of(text: str) -> str:
    """The SPDX id of a licence's name or address; addresses at spdx.org carry it in their path."""
    if found := re.match(
        r"https?://spdx\.org/licenses/([\w.+-]+?)(?:\.html|\.json)?/?$", text.strip()
    ):
        return normalize_licence(found[1])
    return normalize_licence(text)


def _refusals(signals: Iterable[Signal]) -> Iterator[str]:
    tdm_header = [s.value for s in signals if s.signal == "tdm-reservation header"]
    for signal in signals:
        match signal.signal:
            case "X-Robots-Tag" | "meta robots":
                yield from _directives(signal.value)
            case "tdm-reservation header":
                yield from ["tdm-reservation"] * (signal.value.strip() == "1")
            case "meta tdm-reservation" if not tdm_header:  # TDMRep: the header overrides the page
                yield from ["tdm-reservation"] * (signal.value.strip() == "1")
            case "tdmrep.json tdm-reservation" if not tdm_header:
                yield from ["tdm-reservation"] * (signal.value.strip() == "1")
            case "robots.txt use" | "Content-Usage":
                yield from ["notrain"] * bool(_NO_TRAINING.search(signal.value))
            case "robots.txt for AI" | "ai.txt":
                yield "noai"
            case "json-ld isAccessibleForFree":
                yield from ["paywall"] * (signal.value.lower() == "false")
            case "mastodon":
                yield signal.value


_NO_TRAINING = re.compile(r"\bai-train\s*=\s*no\b|\btrain-ai\s*=\s*n\b", re.IGNORECASE)
"""Content signals (contentsignals.org) and the vocabulary of the IETF's AI Preferences group, in robots.txt or a header."""
VALUED = {"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"}


def _directives(value: str) -> Iterator[str]:
    """The refusals in one robots directive list; what follows `agent:` concerns that agent only."""
    words: set[str] = set()
    agent = AGENT
    for part in re.split("[,;]", value.lower()):
        name, colon, rest = part.partition(":")
        if colon and name.strip() in VALUED:
            continue
        if colon and re.fullmatch(r"[a-z][\w-]*", name.strip()):
            agent, part = name.strip(), rest
        if agent == AGENT:
            words.update(part.split())  # some write spaces between them
    yield from ["noai"] * bool(words & {"noai", "noml"})
    yield from ["notrain"] * bool(words & {"notrain", "notraining"})
    yield from ["noindex"] * bool(words & {"noindex", "none"})


def page_signals(headers: Mapping[str, Sequence[str]], page: Selector | None) -> tuple[Signal, ...]:
    """Everything a page says about its use, in its headers (names in lower case) and in its HTML."""
    out = [Signal("X-Robots-Tag", value) for value in headers.get("x-robots-tag", ())]
    out += [Signal("tdm-reservation header", value) for value in headers.get("tdm-reservation", ())]
    out += [Signal("tdm-policy header", value) for value in headers.get("tdm-policy", ())]
    out += [Signal("Content-Usage", value) for value in headers.get("content-usage", ())]
    out += [
        Signal("rel=license", url)
        for value in headers.get("link", ())
        for url in _linked_licences(value)
    ]
    return tuple(dict.fromkeys([*out, *(_html_signals(page) if page is not None else ())]))


def _linked_licences(header: str) -> list[str]:
    return re.findall(
        r'<([^>]+)>\s*;[^,]*\brel=(?:"(?:[^",]* )?license(?: [^",]*)?"|license\b(?!-))', header
    )


def _html_signals(page: Selector) -> Iterator[Signal]:
    for meta in page.css("meta[name][content]"):
        name, content = meta.attrib["name"].strip().lower(), meta.attrib["content"]
        if name in ("robots", AGENT):
            yield Signal("meta robots", content)
        elif name in ("tdm-reservation", "tdm-policy"):
            yield Signal(f"meta {name}", content)
    for link in page.css('[rel~="license"][href], [rel~="licence"][href]'):
        yield Signal("rel=license", link.attrib["href"])
    for text in page.css('script[type^="application/ld+json"]::text').getall():
        yield from _linked_data_signals(text)
    for href in page.css('footer a[href*="creativecommons.org/"]::attr(href)').getall():
        yield Signal("footer link", href)


def _linked_data_signals(text: str) -> Iterator[Signal]:
    try:
        found = json.loads(text, strict=False)  # line breaks inside of strings are common
    except (ValueError, RecursionError):
        return
    for thing in _things(found):
        if isinstance(licence := thing.get("license"), str):
            yield Signal("json-ld license", licence)
        if isinstance(free := thing.get("isAccessibleForFree"), bool | str) and not _is_no_text(
            thing
        ):
            yield Signal("json-ld isAccessibleForFree", str(free))


def _is_no_text(thing: Mapping[str, Any]) -> bool:
    """Whether a thing is an event, a place or a product: what it costs to go there says nothing about the page."""
    kinds = thing.get("@type")
    named = kinds if isinstance(kinds, list) else [kinds]
    return any(
        str(kind).endswith(("Event", "Place", "Product", "Attraction", "Museum")) for kind in named
    )


def _things(found: Any) -> Iterator[dict[str, Any]]:
    """The top-level objects of a JSON-LD block: not the images or authors inside, whose licence is not the page's."""
    for thing in found if isinstance(found, list) else [found]:
        if isinstance(thing, dict):
            yield thing
            graph = thing.get("@graph")
            yield from (
                (part for part in graph if isinstance(part, dict))
                if isinstance(graph, list)
                else ()
            )


def status_signals(status: Mapping[str, Any]) -> tuple[Signal, ...]:
    """The refusals of a Mastodon status and its account."""
    return tuple(
        Signal("mastodon", word)
        for word in dict.fromkeys(found.word for found in status_refusals(status))
    )


def rightsinfo_signals(query: Mapping[str, Any]) -> tuple[Signal, ...]:
    """The licence of a wiki, from siteinfo's rightsinfo: the address, or the name where there is no address."""
    info = query.get("rightsinfo")
    info = info if isinstance(info, dict) else {}
    stated = str(info.get("url") or info.get("text") or "")
    return (Signal("rightsinfo", stated),) if stated else ()
