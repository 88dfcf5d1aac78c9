"""Hosts, origins and IP addresses: names out of URLs, and which IP addresses are not public."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses that hold an IPv4 address in their last 32 bits (RFC 6052)."""


def host_of(url: str) -> str:
    """Return the host name of a URL in lower case, as punycode if it has letters beyond ASCII."""
    host = (urlsplit(url).hostname or "").lower()
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return host


def origin_of(url: str) -> str:
    """Return the host of a URL with the port it names: robots.txt holds for that alone (RFC 9309, 2.3)."""
    network_location = urlsplit(url).netloc
    without_password = network_location.rpartition("@")[2]
    return without_password.lower()


def strip_www(host: str) -> str:
    """Remove `www.`: publishers link to themselves with and without it."""
    return host.removeprefix("www.")


def is_private(address: str) -> bool:
    """Whether an IP address is anything but public: private, loopback, link-local, reserved, multicast."""
    without_zone = address.partition("%")[0]
    ip = ipaddress.ip_address(without_zone)
    if isinstance(ip, ipaddress.IPv6Address):
        # A mapped, 6to4 or NAT64 address leads to the IPv4 address inside: that one counts.
        embedded = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = embedded or ip
    return ip.is_multicast or not ip.is_global


def parse_literal_address(host: str) -> str | None:
    """Return the IP address that a host is written as, also as `127.1` or `0x7f.1`; None for names.

    `localhost` counts as 127.0.0.1. Behind a proxy no name is looked up on this machine, so an
    address has to be recognized as it is written.
    """
    name = host.partition("%")[0].strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not re.fullmatch(r"[0-9a-fx.]+", name):
        return None
    try:
        # inet_aton reads the short, octal and hexadecimal forms that browsers accept.
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        return None
