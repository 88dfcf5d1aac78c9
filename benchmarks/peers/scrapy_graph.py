"""Plain Scrapy over a graph of pages, as its documentation wires it: follows every link, an item a page.

    python scrapy_graph.py FIRST-URL ITEMS.jsonl [JOBDIR | CONCURRENT_ITEMS]

With a JOBDIR it goes on where an earlier call ended. With a number it starts so many tasks for the items of a page (Scrapy: 100).
Items are appended to a JSON Lines feed.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess


class Graph(scrapy.Spider):
    """Every page that links lead to."""

    name = "graph"

    async def start(self) -> AsyncIterator[scrapy.Request]:
        yield scrapy.Request(sys.argv[1], dont_filter=False)

    def parse(self, response: Any) -> Iterator[Any]:
        yield {"url": response.url}
        yield from response.follow_all(css="a")


def main() -> None:
    settings = {
        "FEEDS": {sys.argv[2]: {"format": "jsonlines", "overwrite": False}},
        "LOG_LEVEL": "ERROR",
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "DOWNLOAD_DELAY": 0,
        "ROBOTSTXT_OBEY": True,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        **{"CONCURRENT_ITEMS" if option.isdigit() else "JOBDIR": option for option in sys.argv[3:]},
    }
    process = CrawlerProcess(settings)
    process.crawl(Graph)
    process.start()


if __name__ == "__main__":
    main()
