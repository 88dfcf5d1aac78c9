"""How long to leave a busy host alone: the Retry-After header, or pauses that double."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from crawlers.downloader.addresses import host_of
from crawlers.host_ledger import LONGEST_PAUSE

if TYPE_CHECKING:
    from scrapy.http import Response

    from crawlers.context import CrawlContext

LONGEST_BACK_OFF = 7 * 86400.0
"""Seconds a host is left alone at most: a typing error in its header must not exclude it for decades."""
FIRST_PAUSE = 5.0
"""Seconds of the first pause if a busy host does not say for how long; each next one is twice as long."""


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for (RFC 9110, 10.2.3); None if it is unreadable.

    The value is a number of seconds or an HTTP date; a date in the past asks for no wait.
    """
    if not value:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    with_timezone = moment.replace(tzinfo=moment.tzinfo or UTC)
    return max(0.0, (with_timezone - now).total_seconds())


def retry_after_of(response: Response) -> float | None:
    """Return the seconds a response asks for, counted from now; None if it names none."""
    header = response.headers.get(b"Retry-After")
    if not header:
        return None
    return parse_retry_after(header.decode("latin-1"), datetime.now(UTC))


def choose_back_off(response: Response, context: CrawlContext) -> float:
    """Choose how many seconds to leave a host alone that answered 429 or 503."""
    stated = retry_after_of(response)
    if stated is not None:
        return min(stated, LONGEST_BACK_OFF)
    first = min(FIRST_PAUSE, context.config.politeness.backoff)
    doublings = context.hosts.consecutive_429s(host_of(response.url))
    return min(LONGEST_PAUSE, first * 2.0**doublings)
