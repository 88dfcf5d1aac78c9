"""Addresses of hosts: names out of URLs, and which IP addresses are not public."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def host_of(url: str) -> str:
    """The host name of a URL, in lower case and as it is asked for: punycode, where it has letters beyond ASCII."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return host


def place_of(url: str) -> str:
    """The host of a URL with its port, where it names one: robots.txt holds for that place alone (RFC 9309, 2.3)."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def bare(host: str) -> str:
    """A host without `www.`: publishers link to themselves both ways."""
    return host.removeprefix("www.")


def is_private(address: str) -> bool:
    """Whether an IP address is anything but public: private, loopback, link-local, reserved, multicast."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        # the IPv4 address that a mapped, 6to4 or NAT64 address leads to counts
        inner = found.ipv4_mapped or found.sixtofour
        if found in NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        found = inner or found
    return found.is_multicast or not found.is_global


def literal(host: str) -> str | None:
    """The IP address that a host of a URL is written as, also as `127.1` or `0x7f.1`, or that `localhost` is; None for names.

    Behind a proxy nothing is looked up here: what says where it leads must be seen as it is written.
    """
    name = host.partition("%")[0].strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return (
            socket.inet_ntoa(socket.inet_aton(name)) if re.fullmatch(r"[0-9a-fx.]+", name) else None
        )
    except OSError:
        return None
