"""Pages: the article is read without its boilerplate, limits hold, and a page that kills the extractor costs only itself."""

import multiprocessing
import operator
import os
import signal
import time

import pytest

from pipelines.annotate.config import PageLimits
from pipelines.annotate.extract import sandbox as sandbox_module
from pipelines.annotate.extract.html import (
    ExtractedPage,
    PageTooBig,
    check_limits,
    extract_page,
    extract_status_text,
)
from pipelines.annotate.extract.sandbox import ExtractionError, Sandbox

LIMITS = PageLimits()
PARAGRAPHS = [
    "The old mill beside the river had not turned for forty years, and its wheel was green with moss.",
    "When the new owner arrived in spring, she cleaned the channel by hand and counted every broken paddle.",
    "By autumn the stones were grinding again, and people came from three villages to see the flour.",
    "The baker said that bread had not tasted like this since his grandmother was a girl.",
]
ARTICLE = f"""<!DOCTYPE html><html lang="en"><head><title>The mill turns again</title>
<meta property="og:title" content="The mill turns again"><meta name="date" content="2024-05-06">
<link rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/"></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/news">Latest news</a></li></ul></nav>
<div class="cookie-banner">We use cookies. Accept all cookies</div>
<article><h1>The mill turns again</h1>{"".join(f"<p>{text}</p>" for text in PARAGRAPHS)}</article>
<aside class="sidebar"><h3>Most read</h3><a href="/x">Ten things about ducks</a></aside>
<script>var tracking = "never shown";</script><style>.hidden {{ display: none }}</style>
<footer>Copyright Example News. Imprint and privacy</footer></body></html>"""


def test_the_article_is_read_without_its_boilerplate():
    page = extract_page(ARTICLE, "https://news.example.org/mill", LIMITS)
    assert all(text in page.text for text in PARAGRAPHS)
    for noise in ("Latest news", "cookies", "ducks", "never shown", "display", "Imprint"):
        assert noise not in page.text
    assert (page.title, page.date, page.licence) == (
        "The mill turns again",
        "2024-05-06",
        "CC-BY-SA-4.0",
    )


def test_a_chinese_article_is_read():
    text = "这座老磨坊在河边，四十年来没有转动过，水车上长满了绿色的苔藓。春天来了，新的主人用手清理了水渠。"
    page = extract_page(
        f"<html><body><nav>首页 新闻</nav><article><h1>磨坊</h1><p>{text}</p><p>{text[::-1]}</p></article></body></html>",
        None,
        LIMITS,
    )
    assert text in page.text


@pytest.mark.parametrize(
    "html",
    ["", " ", "<html></html>", "<body><script>1</script></body>", "<html><body>   </body></html>"],
)
def test_a_page_without_text_is_empty(html):
    assert extract_page(html, None, LIMITS) == ExtractedPage("")


@pytest.mark.parametrize(
    "html",
    [
        "no tags at all",
        "<p>open <b>never <i>closed",
        "<<<>>>",
        "<p>\x00\x01</p>",
        "</div></div><p>x",
        "<table><p>y</table>",
    ],
)
def test_broken_pages_are_read_without_an_exception(html):
    assert isinstance(extract_page(html, None, LIMITS), ExtractedPage)


@pytest.mark.parametrize(
    ("html", "limits", "what"),
    [
        ("x" * 101, PageLimits(page_bytes=100), "101 characters, the limit is 100"),
        ("<p>a" * 11, PageLimits(page_elements=10), "11 elements, the limit is 10"),
        ("<div>" * 60 + "x", PageLimits(page_depth=50), "nested deeper than 50"),
    ],
)
def test_pages_beyond_a_limit_are_refused_saying_which(html, limits, what):
    with pytest.raises(PageTooBig, match=what):
        extract_page(html, None, limits)


def test_pages_at_a_limit_are_read():
    check_limits("x" * 100, PageLimits(page_bytes=100))
    check_limits("<p>a" * 10, PageLimits(page_elements=10))
    extract_page("<div>" * 40 + "x", None, PageLimits(page_depth=60))


def test_a_very_deep_page_is_refused_without_recursion():
    with pytest.raises(PageTooBig, match="nested deeper"):
        extract_page("<b>" * 90_000 + "x", None, LIMITS)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello</p><p>World</p>", "Hello\n\nWorld"),
        ("<p>one<br>two</p>", "one\ntwo"),
        (
            '<p>see <a href="https://x.org"><span class="invisible">https://</span>x.org</a></p>',
            "see https://x.org",
        ),
        ("<p>a &amp; b</p>", "a & b"),
        ("", ""),
    ],
)
def test_a_status_is_its_lines(html, text):
    assert extract_status_text(html).strip() == text


class Deed:
    """Something that happens in the child when it takes the page out of the pipe."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.fixture(scope="module")
def box():
    """A sandbox whose child is already there."""
    with Sandbox(PageLimits(seconds=60)) as made:
        assert "old mill" in made.extract(ARTICLE, None).text
        yield made


def assert_next_page_works(box):
    assert box.extract(ARTICLE, None).text.count("The old mill") == 1


def test_the_sandbox_gives_what_the_extractor_gives(box):
    assert box.extract(ARTICLE, "https://x.org/a") == extract_page(
        ARTICLE, "https://x.org/a", LIMITS
    )


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("x" * (LIMITS.page_bytes + 1), "page_too_big"),
        ("<p>" * (LIMITS.page_elements + 1), "page_too_big"),
        ("<b>" * 5_000, "page_too_big"),
        (None, "extraction_failed"),
    ],
)
def test_a_page_that_cannot_be_read_costs_one_page_and_keeps_the_child(html, reason, box):
    child = box._child
    with pytest.raises(ExtractionError) as caught:
        box.extract(html, None)
    assert caught.value.reason == reason
    assert_next_page_works(box)
    assert box._child is child


@pytest.mark.parametrize(
    "deed",
    [
        Deed(os._exit, 9),
        Deed(signal.raise_signal, signal.SIGKILL),
        Deed(operator.mul, "<b>", 1 << 45),
    ],
    ids=["exits", "killed", "eats memory"],
)
def test_a_child_that_dies_costs_one_page_and_the_next_works(deed, box):
    with pytest.raises(ExtractionError) as caught:
        box.extract(deed, None)
    assert caught.value.reason == "extraction_crashed"
    assert_next_page_works(box)


def test_a_child_that_sleeps_is_ended_and_the_next_page_works(box, monkeypatch):
    monkeypatch.setattr(box, "limits", PageLimits(seconds=0.3))
    with pytest.raises(ExtractionError) as caught:
        box.extract(Deed(time.sleep, 3600), None)  # longer than a test may take
    assert caught.value.reason == "extraction_timeout"
    monkeypatch.undo()
    assert_next_page_works(box)


def test_a_killed_child_costs_one_page(box):
    box._child.kill()
    box._child.join()
    with pytest.raises(ExtractionError, match="extraction_crashed"):
        box.extract(ARTICLE, None)
    assert_next_page_works(box)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "extraction_memory"),
        (PageTooBig("why"), "page_too_big"),
        (RecursionError("deep"), "extraction_failed"),
        (ValueError("odd"), "extraction_failed"),
    ],
)
def test_whatever_a_page_provokes_has_a_reason(error, reason, monkeypatch):
    def provoke(*_):
        raise error

    monkeypatch.setattr(sandbox_module, "extract_page", provoke)
    assert sandbox_module._extract_or_explain("<p>", None, LIMITS)[0] == reason


def test_closing_twice_and_closing_unused_is_fine():
    made = Sandbox(LIMITS)
    made.close()
    made.close()


class _Answers(Sandbox):
    """A sandbox whose children answer from a list: what happens when a child that read pages before is out of memory."""

    def __init__(self, answers):
        super().__init__(LIMITS)
        self.answers, self.children = list(answers), 0

    def _extract(self, html, url):
        if self._pipe is None:
            self._pipe, self.children = multiprocessing.Pipe()[0], self.children + 1
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            raise ExtractionError(answer, "")
        return answer


def test_a_page_out_of_memory_in_a_used_child_is_tried_once_more_in_a_new_one():
    page = ExtractedPage("text", "title")
    made = _Answers([page, "extraction_memory", page])
    assert [made.extract("<p>", None), made.extract("<p>", None)] == [page, page]
    assert made.children == 2


@pytest.mark.parametrize(
    ("answers", "left", "children"),
    [
        (["extraction_memory"], 0, 1),
        (["extraction_crashed", "never"], 1, 1),
        (["extraction_timeout", "never"], 1, 1),
    ],
)
def test_a_page_that_fails_in_a_new_child_or_for_another_reason_is_not_tried_again(
    answers, left, children
):
    made = _Answers(answers)
    with pytest.raises(ExtractionError) as caught:
        made.extract("<p>", None)
    assert (caught.value.reason, len(made.answers), made.children) == (answers[0], left, children)


def test_a_child_whose_parent_is_gone_ends_without_a_word(capfd):
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=sandbox_module._serve, args=(theirs, LIMITS)
    )
    child.start()
    theirs.close()
    ours.send(("<p>word", None))  # it meets the end while it writes, or reads
    ours.close()
    child.join(60)
    assert child.exitcode == 0
    assert capfd.readouterr().err == ""
