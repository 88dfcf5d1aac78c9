"""Licences as others name them: the Hub's identifiers for its front matter, and SPDX addresses for Croissant."""

from collections.abc import Iterable

from gristmill.rights.policy import SPDX_IDS, UNKNOWN

OTHER = "other"
LIST = "https://spdx.org/licenses/"
"""Where SPDX lists them; each has a page of its own there."""
SAME = frozenset(
    "apache-2.0 mit artistic-2.0 bsd-2-clause bsd-3-clause cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 "
    "cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 "
    "cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 isc mpl-2.0 unlicense unknown".split()
)
"""The identifiers of the Hub that are SPDX ids in lower case (huggingface.co/docs/hub/repositories-licenses)."""
FAMILIES = {
    "gfdl-": "gfdl",
    "gpl-2.0": "gpl-2.0",
    "gpl-3.0": "gpl-3.0",
    "lgpl-2.1": "lgpl-2.1",
    "lgpl-3.0": "lgpl-3.0",
    "agpl-3.0": "agpl-3.0",
    "odc-by-": "odc-by",
    "odbl-": "odbl",
    "pddl-": "pddl",
}
"""How SPDX ids begin -> the identifier of the Hub that covers them."""
WORDS = {UNKNOWN: "no licence that is known for certain"}


def hub_id(licence: str) -> str:
    """The Hub's identifier of an SPDX id or `unknown`; `other` where it has none."""
    name = licence.lower()
    if name in SAME:
        return name
    return next((known for start, known in FAMILIES.items() if name.startswith(start)), OTHER)


def unlisted(licences: Iterable[str]) -> list[str]:
    """The licences that the Hub has no identifier for, sorted."""
    return sorted(licence for licence in set(licences) if hub_id(licence) == OTHER)


def address(licence: str) -> str | None:
    """The address of an SPDX licence; None for what is none."""
    return f"{LIST}{licence}.html" if licence in SPDX_IDS else None
