"""Politeness as plain functions: Retry-After, private addresses, hosts of URLs."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.downloader.addresses import (
    host_of,
    is_private,
    origin_of,
    parse_literal_address,
    strip_www,
)
from crawlers.downloader.retry_after import parse_retry_after

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Mon, 23 Nov 2026 12:02:00 GMT", 120.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_a_time_or_nothing(value):
    found = parse_retry_after(value, NOW)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "100.64.0.1",
        "::ffff:100.64.0.1",
        "2002:7f00:1::",
        "64:ff9b::a00:1",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_private_addresses_are_private(address):
    assert is_private(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
def test_public_addresses_are_not(address):
    assert not is_private(address)


def test_hosts_are_compared_without_www_case_and_port():
    assert host_of("https://User@WWW.Example.org:8443/a") == "www.example.org"
    assert (
        strip_www("www.example.org") == "example.org"
        and strip_www("wwwexample.org") == "wwwexample.org"
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("93.184.216.34", "93.184.216.34"),
        ("::1", "::1"),
        ("[fe80::1%eth0]", "fe80::1"),
        ("n.example", None),
        ("localhost", "127.0.0.1"),
        ("", None),
    ],
)
def test_a_host_that_is_written_as_an_address_is_told_from_a_name(host, address):
    assert parse_literal_address(host) == address


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://user:secret@News.Example:8443/a?b=c", "news.example:8443"),
        ("http://news.example/", "news.example"),
        ("//news.example:80", "news.example:80"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_a_place_is_host_and_port_and_never_a_password(url, place):
    assert origin_of(url) == place
