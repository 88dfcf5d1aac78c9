"""Exceptions by which a middleware refuses a request before it is sent; the spider commits each one."""

from __future__ import annotations

from scrapy.exceptions import IgnoreRequest


class PrivateAddress(IgnoreRequest):
    """A host is, or points to, an address in a private network."""


class OtherHost(IgnoreRequest):
    """A redirect left the hosts of its source."""


class ForbiddenByRobots(IgnoreRequest):
    """The robots.txt of the host forbids the address."""


class RobotsUnreachable(IgnoreRequest):
    """The robots.txt of the host cannot be fetched, which forbids everything (RFC 9309, 2.3.1.4)."""


class HostPaused(IgnoreRequest):
    """The host is left alone for now: it asked for that after the request was scheduled."""
