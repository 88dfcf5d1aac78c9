"""The rights of a document: licences as SPDX ids (or `unknown`), opt-outs as words, and the policy
that decides.

Vocabulary: https://spdx.org/licenses/. A licence we cannot name for certain is `unknown`; whether
`unknown` may be trained on is the policy's choice, never the reader's.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gristmill.config import Config

UNKNOWN = "unknown"

OPT_OUTS = (
    "noai",
    "noindex",
    "notrain",
    "tdm-reservation",
    "nobot",
    "not-discoverable",
    "not-indexable",
    "paywall",
)
"""The refusals a source can state; each is recorded with the evidence it was read from."""

SPDX_IDS = frozenset(
    f"CC-{kind}-{version}"
    for kind in ("BY", "BY-SA", "BY-NC", "BY-ND", "BY-NC-SA", "BY-NC-ND")
    for version in ("1.0", "2.0", "2.5", "3.0", "4.0")
) | frozenset(
    "CC0-1.0 CC-PDDC CC-PDM-1.0 GFDL-1.2-or-later GFDL-1.3-or-later GFDL-1.3-only MIT MIT-0 "
    "Apache-2.0 BSD-2-Clause BSD-3-Clause ISC MPL-2.0 GPL-2.0-only GPL-2.0-or-later "
    "GPL-3.0-only GPL-3.0-or-later LGPL-2.1-or-later LGPL-3.0-or-later AGPL-3.0-only "
    "AGPL-3.0-or-later PSF-2.0 Python-2.0 ODC-By-1.0 ODbL-1.0 PDDL-1.0 OGL-UK-3.0 Unlicense "
    "0BSD Artistic-2.0 "
    # The national ports of Creative Commons that SPDX lists: other legal texts than the
    # unported ones.
    "CC-BY-2.5-AU CC-BY-3.0-AT CC-BY-3.0-AU CC-BY-3.0-DE CC-BY-3.0-IGO CC-BY-3.0-NL "
    "CC-BY-3.0-US CC-BY-NC-3.0-DE CC-BY-NC-ND-3.0-DE CC-BY-NC-ND-3.0-IGO CC-BY-NC-SA-2.0-DE "
    "CC-BY-NC-SA-2.0-FR CC-BY-NC-SA-2.0-UK CC-BY-NC-SA-3.0-DE CC-BY-NC-SA-3.0-IGO "
    "CC-BY-ND-3.0-DE CC-BY-SA-2.0-UK CC-BY-SA-2.1-JP CC-BY-SA-3.0-AT CC-BY-SA-3.0-DE "
    "CC-BY-SA-3.0-IGO".split()
)
"""The SPDX ids this project meets; all other texts are `unknown` until added here."""

_BY_LOWER = {name.lower(): name for name in SPDX_IDS}
_CC_URL = re.compile(
    r"(?<![\w-])creativecommons\.org/licen[sc]es/(by(?:-nc)?(?:-nd|-sa)?)"
    r"/(\d\.\d)(?![\d.])(?:/([a-z]{2,3})(?!\w))?",
    re.IGNORECASE,
)
_CC_NAME = re.compile(
    r"\b(?:cc|creative commons)[\s-]+((?:by|attribution)"
    r"(?:[\s-]*(?:nc|non[\s-]?commercial))?"
    r"(?:[\s-]*(?:sa|share[\s-]?alike|nd|no[\s-]?deriv(?:ative)?s?(?:[\s-]works)?))?)"
    r"[\s-]+(?:licen[sc]e[\s-]+)?(?:v(?:ersion)?\s*)?(\d\.\d)(?!\.?\d)"
    r"(?:[\s-]+((?-i:IGO|AT|AU|DE|FR|JP|NL|UK|US))\b)?",
    re.IGNORECASE,
)
_FIXED = (
    (
        re.compile(
            r"(?<![\w-])creativecommons\.org/publicdomain/zero/1\.0"
            r"|\bcc[\s-]?(?:0\b(?!\.\d)|zero\b)",
            re.I,
        ),
        "CC0-1.0",
    ),
    (
        re.compile(
            r"(?<![\w-])creativecommons\.org/publicdomain/mark/1\.0|^\s*public domain mark\b", re.I
        ),
        "CC-PDM-1.0",
    ),
    (
        re.compile(
            r"apache\.org/licenses/license-2\.0"
            r"|\bapache[\s-]+(?:license,?[\s-]+)?(?:version )?2\.0\b",
            re.I,
        ),
        "Apache-2.0",
    ),
    (
        re.compile(
            r"opensource\.org/licenses?/mit(?![\w-])"
            r"|^\s*(?:the )?mit(?: licen[sc]e)?\s*(?:\((?:mit|expat|x11)\))?\s*$",
            re.I,
        ),
        "MIT",
    ),
    (re.compile(r"gnu\.org/(?:copyleft|licenses)/fdl(?!-1\.[0-2])", re.I), "GFDL-1.3-or-later"),
    (
        re.compile(r"nationalarchives\.gov\.uk/doc/open-government-licence/version/3", re.I),
        "OGL-UK-3.0",
    ),
    (re.compile(r"^\s*public domain\s*\.?\s*$", re.I), "CC-PDDC"),
)
_DOUBT = re.compile(r"(?i:all rights reserved)|\S AND \S")
"""What makes a text more than the one licence it names: a reservation, or a conjunction of SPDX
ids.
"""


def normalize_licence(text: str | None) -> str:
    """The SPDX id that a licence's id, name or URL means, or `unknown`.

    Where several are named, Creative Commons goes before the others, and of those the first wins.
    """
    if not text or _DOUBT.search(text):
        return UNKNOWN
    exact = _BY_LOWER.get(text.strip().lower())
    if exact is not None:
        return exact
    creative_commons = _CC_URL.search(text) or _CC_NAME.search(text)
    if creative_commons is not None:
        terms, version, country = creative_commons.groups()
        port = f"-{country.lower()}" if country else ""
        return _BY_LOWER.get(f"cc-{_read_cc_terms(terms)}-{version}{port}", UNKNOWN)
    for pattern, name in _FIXED:
        if pattern.search(text):
            return name
    return UNKNOWN


def _read_cc_terms(words: str) -> str:
    """ "Attribution-ShareAlike" or "by sa" as the code "by-sa"."""
    letters = re.sub(r"[\s-]+", "", words.lower())
    codes = []
    for code, spellings in _CC_TERMS:
        for spelling in spellings:
            if letters.startswith(spelling):
                codes.append(code)
                letters = letters.removeprefix(spelling)
                break
    return "-".join(codes)


_CC_TERMS = (
    ("by", ("attribution", "by")),
    ("nc", ("noncommercial", "nc")),
    ("sa", ("sharealike", "sa")),
    ("nd", ("noderiv", "nd")),
)
"""The terms of a Creative Commons licence in their order, each with its spellings,
longest first.
"""


class RightsPolicy(Config):
    """What may be trained on: allowed licences (globs over SPDX ids; empty = any), and whether
    refusals bind.
    """

    licences: tuple[str, ...] = ()
    allow_unknown: bool = True
    honour_opt_outs: bool = True

    def allows_licence(self, licence: str) -> bool:
        """Whether documents under `licence` (SPDX id or `unknown`) may be used."""
        if licence == UNKNOWN:
            return self.allow_unknown
        return not self.licences or any(
            fnmatch.fnmatchcase(licence, allowed) for allowed in self.licences
        )


OPEN_LICENCES = (
    "CC0-1.0",
    "CC-PD*",
    "CC-BY-[0-9]*",
    "CC-BY-SA-*",
    "MIT*",
    "Apache-2.0",
    "BSD-*",
    "PSF-2.0",
    "Python-2.0",
    "GFDL-*",
    "ODC-By-1.0",
    "OGL-UK-3.0",
    "ISC",
    "Unlicense",
    "0BSD",
    "MPL-2.0",
)

POLICIES = {
    "strict-eu": RightsPolicy(allow_unknown=True, honour_opt_outs=True),
    "research": RightsPolicy(allow_unknown=True, honour_opt_outs=False),
    "open-licence-only": RightsPolicy(
        licences=OPEN_LICENCES, allow_unknown=False, honour_opt_outs=True
    ),
}
"""strict-eu: the text-and-data-mining exception of Directive (EU) 2019/790 art. 4, which a stated
refusal ends; research: art. 3, for research organisations; open-licence-only: a licence that
permits reuse, and no refusal.
"""


def why_refused(licence: str, opt_out: Iterable[str], policy: RightsPolicy) -> str | None:
    """The reason why `policy` refuses a document (`opt_out`, `licence`), or None where it may be
    used.
    """
    if policy.honour_opt_outs and any(opt_out):
        return "opt_out"
    return None if policy.allows_licence(licence) else "licence"


class Refusal(NamedTuple):
    """A refusal (one of OPT_OUTS) that was read, and what it was read from: a field, and what
    stands there.
    """

    word: str
    field: str
    value: str


_TAG_INSIDE_WORDS = re.compile(r"</?(?:a|span)\b[^>]*>", re.IGNORECASE)
_HASHTAGS = {
    "nobot": "nobot",
    "nobots": "nobot",
    "noai": "noai",
    "noindex": "noindex",
    "noarchive": "noindex",
}
_CONSENT_FLAGS = (
    ("discoverable", False, "not-discoverable"),
    ("indexable", False, "not-indexable"),
    ("noindex", True, "noindex"),
)
"""Flags of a Mastodon account: its name, the value that refuses, and the refusal."""
_HASHTAG = re.compile(rf"#({'|'.join(_HASHTAGS)})\b", re.IGNORECASE)


def status_refusals(status: Mapping[str, Any]) -> list[Refusal]:
    """What a Mastodon status and its account refuse.

    Read are consent flags, visibility, and hashtags such as #nobot in the biography.

    Only hashtags count there: the same letters in a word or an address refuse nothing.
    """
    stated = status.get("account")
    account: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {}
    refusals = [
        Refusal(word, f"account.{name}", str(refusing).lower())
        for name, refusing, word in _CONSENT_FLAGS
        if account.get(name) is refusing
    ]
    visibility = status.get("visibility") or "public"
    if visibility != "public":
        refusals.append(Refusal("not-indexable", "visibility", str(visibility)))
    biography = _TAG_INSIDE_WORDS.sub("", str(account.get("note") or ""))
    for hashtag in _HASHTAG.finditer(biography):
        refusals.append(Refusal(_HASHTAGS[hashtag[1].lower()], "account.note", hashtag[0]))
    return list(dict.fromkeys(refusals))
