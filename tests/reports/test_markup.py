"""The HTML builder lets no text become markup, and numbers are said as people read them."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

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
from reports.drawing.inline import (
    format_code,
    format_link,
    isolate_direction,
    join_markup,
    link_term,
)
from reports.drawing.tables import Table, split_table
from reports.drawing.templates import (
    FORBIDDEN,
    ContentsEntry,
    escape_markdown,
    load_environment,
    render,
    render_page,
)

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


def only_text(words):
    """What a parser reads of text: the forbidden characters are replaced when the page is put together."""
    return FORBIDDEN.sub("\ufffd", words)


@given(ANYTHING | SHARP)
def test_any_text_in_an_element_is_read_back_as_text_and_nothing_else(words):
    for made, elements in (
        (format_code(words), [("code", {})]),
        (isolate_direction(words), [("bdi", {})]),
        (join_markup("", [words]), []),
    ):
        reader = read(only_text(made))
        assert reader.elements == elements
        assert "<" not in made.replace("<code>", "").replace("</code>", "").replace(
            "<bdi>", ""
        ).replace("</bdi>", "")


@given(ANYTHING | SHARP)
def test_any_text_in_an_attribute_is_read_back_as_its_value(words):
    assert read(only_text(format_link("name", words))).elements == [
        ("a", {"href": only_text(words)})
    ]


@given(ANYTHING | SHARP)
def test_any_text_in_a_page_is_text_and_can_be_encoded(words):
    page = render_page(words, [ContentsEntry("top", words)], join_markup("", [words]))
    page.encode()
    plain = render_page("a", [ContentsEntry("top", "a")], join_markup("", ["a"]))
    names = [name for name, _ in read(page).elements]
    assert names == [name for name, _ in read(plain).elements]
    assert not FORBIDDEN.search(page)


@given(ANYTHING | SHARP)
def test_any_text_in_a_table_is_read_back_cell_by_cell(words):
    table = Table(words, ("#a", words.lstrip("#~"), "~c"), [(words, format_code(words), words)])
    elements = read(only_text(render_table(table))).elements
    assert [name for name, _ in elements] == [
        *["div", "table", "caption", "thead", "tr", "th", "th", "th"],
        *["tbody", "tr", "th", "td", "code", "td"],
    ]
    assert elements[0][1]["aria-label"] == only_text(words)


def render_table(table):
    """A table as pages show it."""
    return load_environment().get_template("parts.html.jinja").module.long_table(split_table(table))


def test_markup_joined_with_plain_text_escapes_the_plain_text_only():
    assert join_markup(" <", [format_code("x"), "<i>"]) == "<code>x</code> &lt;&lt;i&gt;"


def test_a_title_cannot_end_the_isolation_of_its_direction():
    assert isolate_direction("a\u2069b\u202e") == "<bdi>a\ufffdb\ufffd</bdi>"


def test_a_term_leads_to_its_place_in_the_glossary():
    assert link_term("bits per byte", "Bits") == (
        '<a href="#word-bits-per-byte" class="term">Bits</a>'
    )


def test_a_name_that_a_template_misses_is_an_error():
    with pytest.raises(UndefinedError, match="versions"):
        render("chain/footer.html.jinja", runs="a")


def test_a_row_of_another_width_than_its_table_is_refused():
    with pytest.raises(ValueError, match="a row of 2 cells in a table of 1 columns"):
        Table("caption", ("a",), [("1", "2")])


def test_markdown_from_outside_is_text_within_one_cell():
    assert escape_markdown("a|b\n<c>`&") == "a\\|b &lt;c&gt;'&amp;"


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
