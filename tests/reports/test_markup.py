"""The HTML builder lets no text become markup, and numbers are said as people read them."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_day,
    format_language,
    format_list,
    format_seconds,
    format_share,
    shorten,
)
from reports.drawing.markup import FORBIDDEN, Html, content, tag, text

ANYTHING = st.text(st.characters(codec=None))  # lone surrogates and control characters too
SHARP = st.text(st.sampled_from("<>&\"'/=! abc\x00\n"), max_size=40)


class Reader(HTMLParser):
    """Collects what a browser would see: elements with their attributes, and text."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.words = [], ""

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data):
        self.words += data

    def handle_comment(self, data):
        self.elements.append(("comment", {}))

    def handle_decl(self, data):
        self.elements.append(("declaration", {}))

    def handle_pi(self, data):
        self.elements.append(("instruction", {}))


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


@given(ANYTHING | SHARP)
def test_any_text_in_an_element_is_read_back_as_text_and_nothing_else(words):
    reader = read(tag("p", words))
    assert reader.elements == [("p", {})]
    assert reader.words == FORBIDDEN.sub("\ufffd", words)


@given(ANYTHING | SHARP)
def test_any_text_in_an_attribute_is_read_back_as_its_value(words):
    assert read(tag("p", title=words)).elements == [
        ("p", {"title": FORBIDDEN.sub("\ufffd", words)})
    ]


@given(ANYTHING)
def test_every_page_can_be_encoded(words):
    assert text(words).encode().decode() == text(words)


def test_elements_nest_and_lists_are_flattened():
    made = tag("ul", [tag("li", n) for n in (1, 2)], None, class_="a", aria_label="b", tabindex=0)
    assert made == '<ul class="a" aria-label="b" tabindex="0"><li>1</li><li>2</li></ul>'


def test_an_attribute_that_is_none_or_false_is_left_out_and_true_has_no_value():
    assert tag("details", "x", open=True, id=None, hidden=False) == "<details open>x</details>"


def test_an_attribute_may_be_called_name():
    assert tag("meta", name="viewport") == '<meta name="viewport">'


def test_void_elements_have_no_end():
    assert tag("br") == "<br>"


def test_markup_joined_with_plain_text_is_escaped_as_a_whole():
    assert content(tag("b", "x") + "<i>") == "&lt;b&gt;x&lt;/b&gt;&lt;i&gt;"


def test_markup_is_taken_as_it_stands():
    assert content(Html("<b>x</b>"), "<") == "<b>x</b>&lt;"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (format_count(1234567), "1,234,567"),
        (format_counted(1, "document"), "1 document"),
        (format_counted(2000, "document"), "2,000 documents"),
        (format_counted(2, "entry", "entries"), "2 entries"),
        (format_share(1, 3), "33.3 %"),
        (format_share(0, 3), "0.0 %"),
        (format_share(1, 10_000), "<0.1 %"),
        (format_share(9_999, 10_000), ">99.9 %"),
        (format_share(3, 3), "100.0 %"),
        (format_share(0, 0), "–"),
        (format_bytes(999), "999 B"),
        (format_bytes(1_234_567), "1.23 MB"),
        (format_bytes(999_700), "1 MB"),
        (format_bytes(5 * 10**15), "5e+03 TB"),
        (format_seconds(7.862), "7.9 s"),
        (format_seconds(125), "2 min 5 s"),
        (format_seconds(7300), "2 h 1 min"),
        (format_day(None), "–"),
        (format_day(0), "1970-01-01 00:00 UTC"),
        (format_language("zh"), "Chinese (zh)"),
        (format_language("xx"), "xx"),
        (format_language(""), "not identified yet"),
        (format_list([]), ""),
        (format_list(["a"]), "a"),
        (format_list(["a", "b", "c"]), "a, b and c"),
        (format_list(list("abcdef")), "a, b, c and 3 more"),
        (shorten("abcdef", 6), "abcdef"),
        (shorten("abc def", 5), "abc…"),
    ],
)
def test_numbers_and_names_are_said_as_people_read_them(said, words):
    assert said == words
