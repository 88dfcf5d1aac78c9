"""Settings of the core's property tests, and a reader of the tables in a page."""

from html.parser import HTMLParser

import pytest
from hypothesis import settings

# A commit waits for the disk: how long that takes says nothing about the code under test.
settings.register_profile("gristmill", deadline=None)
settings.load_profile("gristmill")


class Tables(HTMLParser):
    """Reads the tables of a page: caption -> rows of cells, the head first."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, list[list[str]]] = {}
        self.rows: list[list[str]] = []
        self.caption, self.inside = "", ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        self.inside = tag if tag in ("td", "th", "caption") else self.inside

    def handle_endtag(self, tag):
        if tag == "table":
            assert self.caption not in self.found
            self.found[self.caption] = self.rows
        self.inside = "" if tag in ("td", "th", "caption") else self.inside

    def handle_data(self, data):
        if self.inside == "caption":
            self.caption += data
        elif self.inside:
            self.rows[-1][-1] += data


@pytest.fixture(scope="session")
def tables():
    """The tables of a page, as a reader sees them."""
    return lambda page: Tables(page).found
