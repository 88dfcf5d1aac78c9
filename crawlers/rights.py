"""What a source says about the use of its text, read as signals, and one function that judges them.

Signals are plain (name, value) pairs, stored as evidence beside every capture. Reading them decides
nothing; `judge` does, with the licences and policies of `gristmill.rights.policy`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crawlers.product import PRODUCT
from gristmill.rights.policy import (
    OPT_OUTS,
    UNKNOWN,
    RightsPolicy,
    normalize_licence,
    status_refusals,
    why_refused,
)

if TYPE_CHECKING:
    from parsel import Selector

LICENCE_TIERS = (("rel=license", "rightsinfo"), ("json-ld license",), ("footer link",))
"""Signals that name a licence, the strongest first: about the page, in its metadata, in its footer."""
NO_TRAINING = re.compile(r"\bai-train\s*=\s*no\b|\btrain-ai\s*=\s*n\b", re.IGNORECASE)
"""Content signals (contentsignals.org), and the vocabulary of the IETF's AI Preferences group."""
VALUED_DIRECTIVES = {"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"}
"""Robots directives that look like `agent: words`, with a value behind the colon."""
TDM_SIGNALS = ("meta tdm-reservation", "tdmrep.json tdm-reservation")


@dataclass(frozen=True, slots=True)
class RightsSignal:
    """One statement of a source: where it was read, and its value."""

    signal: str
    value: str

    def as_dict(self) -> dict[str, str]:
        """Return the form in which it is stored."""
        return {"signal": self.signal, "value": self.value}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The licence (SPDX id or `unknown`), the refusals, why the policy refuses, and the evidence.

    `refused` is None if the text may be used.
    """

    licence: str
    opt_out: tuple[str, ...]
    refused: str | None
    evidence: tuple[RightsSignal, ...]


NO_VERDICT = Verdict(UNKNOWN, (), None, ())
"""The verdict on an answer that holds no documents."""


def judge(signals: Sequence[RightsSignal], policy: RightsPolicy) -> Verdict:
    """Judge signals under a policy; refusals that it does not heed are recorded all the same."""
    refusals = set(_iter_refusals(signals))
    opt_out = tuple(name for name in OPT_OUTS if name in refusals)
    licence = _choose_licence(signals)
    return Verdict(licence, opt_out, why_refused(licence, opt_out, policy), tuple(signals))


def _choose_licence(signals: Sequence[RightsSignal]) -> str:
    """The licence of the strongest tier that names one; `unknown` if two of a tier disagree."""
    for tier in LICENCE_TIERS:
        licences = {parse_licence(signal.value) for signal in signals if signal.signal in tier}
        licences.discard(UNKNOWN)
        if licences:
            return licences.pop() if len(licences) == 1 else UNKNOWN
    return UNKNOWN


def parse_licence(text: str) -> str:
    """Return the SPDX id of a licence's name or address; spdx.org carries it in its paths."""
    spdx_page = re.match(
        r"https?://spdx\.org/licenses/([\w.+-]+?)(?:\.html|\.json)?/?$", text.strip()
    )
    return normalize_licence(spdx_page[1] if spdx_page else text)


def _iter_refusals(signals: Sequence[RightsSignal]) -> Iterator[str]:
    # TDMRep: the header overrides the page and the file of the site.
    has_tdm_header = any(signal.signal == "tdm-reservation header" for signal in signals)
    for signal in signals:
        if has_tdm_header and signal.signal in TDM_SIGNALS:
            continue
        yield from _iter_signal_refusals(signal)


def _iter_signal_refusals(signal: RightsSignal) -> Iterator[str]:
    match signal.signal:
        case "X-Robots-Tag" | "meta robots":
            yield from _iter_directive_refusals(signal.value)
        case "tdm-reservation header" | "meta tdm-reservation" | "tdmrep.json tdm-reservation" if (
            signal.value.strip() == "1"
        ):
            yield "tdm-reservation"
        case "robots.txt use" | "Content-Usage" if NO_TRAINING.search(signal.value):
            yield "notrain"
        case "robots.txt for AI" | "ai.txt":
            yield "noai"
        case "json-ld isAccessibleForFree" if signal.value.lower() == "false":
            yield "paywall"
        case "mastodon":
            yield signal.value


def _iter_directive_refusals(value: str) -> Iterator[str]:
    """Yield the refusals in a list of robots directives for us.

    What follows `agent:` concerns that agent only.
    """
    words: set[str] = set()
    agent = PRODUCT
    for directive in re.split("[,;]", value.lower()):
        name, colon, remainder = directive.partition(":")
        if colon and name.strip() in VALUED_DIRECTIVES:
            continue
        if colon and re.fullmatch(r"[a-z][\w-]*", name.strip()):
            agent = name.strip()
            directive = remainder
        if agent == PRODUCT:
            words.update(directive.split())  # some sites write spaces instead of commas
    if words & {"noai", "noml"}:
        yield "noai"
    if words & {"notrain", "notraining"}:
        yield "notrain"
    if words & {"noindex", "none"}:
        yield "noindex"


HEADER_SIGNALS = (
    ("x-robots-tag", "X-Robots-Tag"),
    ("tdm-reservation", "tdm-reservation header"),
    ("tdm-policy", "tdm-policy header"),
    ("content-usage", "Content-Usage"),
)
"""Headers in lower case, and the signals they are stored as."""


def page_signals(
    headers: Mapping[str, Sequence[str]], page: Selector | None
) -> tuple[RightsSignal, ...]:
    """Return what a page says about its use, in its headers (lower case) and in its HTML; each once."""
    signals: list[RightsSignal] = []
    for header, name in HEADER_SIGNALS:
        signals += [RightsSignal(name, value) for value in headers.get(header, ())]
    for value in headers.get("link", ()):
        signals += [RightsSignal("rel=license", url) for url in _find_licence_links(value)]
    if page is not None:
        signals += _iter_html_signals(page)
    return tuple(dict.fromkeys(signals))


def _find_licence_links(header: str) -> list[str]:
    """The addresses with rel=license in a Link header (RFC 8288)."""
    return re.findall(
        r'<([^>]+)>\s*;[^,]*\brel=(?:"(?:[^",]* )?license(?: [^",]*)?"|license\b(?!-))', header
    )


def _iter_html_signals(page: Selector) -> Iterator[RightsSignal]:
    for meta in page.css("meta[name][content]"):
        name = meta.attrib["name"].strip().lower()
        content = meta.attrib["content"]
        if name in ("robots", PRODUCT):
            yield RightsSignal("meta robots", content)
        elif name in ("tdm-reservation", "tdm-policy"):
            yield RightsSignal(f"meta {name}", content)
    for link in page.css('[rel~="license"][href], [rel~="licence"][href]'):
        yield RightsSignal("rel=license", link.attrib["href"])
    for text in page.css('script[type^="application/ld+json"]::text').getall():
        yield from _iter_linked_data_signals(text)
    for href in page.css('footer a[href*="creativecommons.org/"]::attr(href)').getall():
        yield RightsSignal("footer link", href)


def _iter_linked_data_signals(text: str) -> Iterator[RightsSignal]:
    """Yield what a block of JSON-LD (schema.org) says about licence and paywall."""
    try:
        content = json.loads(text, strict=False)  # line breaks inside of strings are common
    except (ValueError, RecursionError):
        return
    for node in _iter_nodes(content):
        licence = node.get("license")
        if isinstance(licence, str):
            yield RightsSignal("json-ld license", licence)
        is_free = node.get("isAccessibleForFree")
        if isinstance(is_free, bool | str) and not _is_venue(node):
            yield RightsSignal("json-ld isAccessibleForFree", str(is_free))


def _is_venue(node: Mapping[str, object]) -> bool:
    """Whether a node is an event, a place or a product: its price says nothing about the page."""
    stated = node.get("@type")
    types = stated if isinstance(stated, list) else [stated]
    suffixes = ("Event", "Place", "Product", "Attraction", "Museum")
    return any(str(type_name).endswith(suffixes) for type_name in types)


def _iter_nodes(content: object) -> Iterator[dict[str, object]]:
    """Yield the top-level nodes of a JSON-LD block and of its `@graph`.

    Images and authors inside of them are left out: their licence is not the page's.
    """
    for node in content if isinstance(content, list) else [content]:
        if not isinstance(node, dict):
            continue
        yield node
        graph = node.get("@graph")
        if isinstance(graph, list):
            yield from (part for part in graph if isinstance(part, dict))


def status_signals(status: Mapping[str, object]) -> tuple[RightsSignal, ...]:
    """Return the refusals of a Mastodon status and its account, each once."""
    words: Iterable[str] = (refusal.word for refusal in status_refusals(status))
    return tuple(RightsSignal("mastodon", word) for word in dict.fromkeys(words))


def rightsinfo_signals(query: Mapping[str, object]) -> tuple[RightsSignal, ...]:
    """Return the licence of a wiki from siteinfo's rightsinfo: its address, or its name without one."""
    info = query.get("rightsinfo")
    if not isinstance(info, dict):
        return ()
    licence = str(info.get("url") or info.get("text") or "")
    return (RightsSignal("rightsinfo", licence),) if licence else ()
