"""The settings of Scrapy for a polite, safe crawl that keeps evidence of every response."""

from __future__ import annotations

import urllib.request
from typing import Any

from crawlers.config import CrawlConfig, make_user_agent
from crawlers.downloader.addresses import host_of

# Scrapy calls middlewares with low numbers first on the way out, and last on the way back.
MIDDLEWARES: dict[str, int | None] = {
    "crawlers.downloader.politeness.AddressMiddleware": 80,
    "crawlers.downloader.sites.SiteMiddleware": 100,
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,  # SiteMiddleware's work
    # After the capture: redirects are evidence, too.
    "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": 540,
    # Just after decompression, which has 590.
    "crawlers.downloader.capture.CaptureMiddleware": 580,
    "crawlers.downloader.politeness.PaceMiddleware": 900,
}


def make_settings(config: CrawlConfig) -> dict[str, Any]:
    """Make the settings of one crawl session."""
    politeness = config.politeness
    return {
        "USER_AGENT": make_user_agent(config),
        "COOKIES_ENABLED": False,
        "REFERER_ENABLED": False,
        # In 2.19 an HTTP server that runs Python code, on by default.
        "REMOTE_CONTROL_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOAD_MAXSIZE": politeness.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_TIMEOUT": politeness.timeout,
        "DOWNLOAD_DELAY": politeness.delay,
        "DOWNLOAD_DELAY_JITTER": 0.0,  # else half of the delay would do
        "CONCURRENT_REQUESTS": politeness.concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": politeness.concurrency_per_host,
        "AUTOTHROTTLE_ENABLED": politeness.autothrottle,
        "AUTOTHROTTLE_START_DELAY": politeness.delay,
        "REDIRECT_MAX_TIMES": 10,
        # Within a second it is a redirect. Later it is a page that renews itself, and following it
        # would fetch that page ten times.
        "METAREFRESH_MAXDELAY": 1,
        "RETRY_ENABLED": False,  # the frontier repeats requests, in later sessions too
        "LOG_LEVEL": "ERROR",
        "SCHEDULER": "crawlers.downloader.scheduler.FrontierScheduler",
        "TWISTED_DNS_RESOLVER": "crawlers.downloader.politeness.PublicResolver",
        "PRIVATE_HOSTS": _list_private_hosts(config),
        # Spiders yield no items, and Scrapy starts this many tasks for each answer.
        "CONCURRENT_ITEMS": 1,
        "SPIDER_MIDDLEWARES_BASE": {},  # spiders commit what they read themselves
        "DOWNLOADER_MIDDLEWARES": MIDDLEWARES,
    }


def _list_private_hosts(config: CrawlConfig) -> list[str]:
    """Hosts that may have private addresses: those of the configuration, proxies, the demo site."""
    proxies = [host_of(address) for address in urllib.request.getproxies().values()]
    demo = ["127.0.0.1"] if config.demo.serve else []
    return [*config.private_hosts, *proxies, *demo]
