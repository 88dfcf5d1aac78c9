"""Divides the sources of a crawl among processes, so that one process asks each host."""

from __future__ import annotations

from crawlers.config import CrawlConfig
from crawlers.downloader.addresses import host_of, strip_www
from crawlers.sources.config import SourceConfig
from crawlers.sources.registry import Source
from gristmill.hashing import digest


def choose_sources(config: CrawlConfig) -> list[Source]:
    """Return the sources this process crawls.

    Sources that share a host stay together, since only one process can keep the pace of a host.
    """
    number, count = config.shard_position
    chosen = []
    for source in config.sources:
        host_digest = digest(_find_first_host(config, source))
        if int(host_digest[:15], 16) % count == number - 1:
            chosen.append(source)
    return chosen


def _find_first_host(config: CrawlConfig, source: SourceConfig) -> str:
    """The first, sorted, of all hosts that sources share with this one, directly or by others."""
    connected = _list_hosts(source)
    while True:
        extended = set(connected)
        for other in config.sources:
            hosts = _list_hosts(other)
            if not connected.isdisjoint(hosts):
                extended |= hosts
        if extended == connected:
            return min(connected)
        connected = extended


def _list_hosts(source: SourceConfig) -> set[str]:
    return {strip_www(host_of(url)) for url in source.entry_urls}
