"""The takedown list: what it covers, how it is spelled, and that no spelling lets a document slip back in."""

import datetime
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gristmill.errors import InputError
from gristmill.rights.takedown import (
    KINDS,
    Takedown,
    TakedownList,
    host_of,
    normalize_url,
    read_lines,
    read_takedowns,
    why_never_met,
    write_takedowns,
)

DAY = datetime.date(2026, 11, 23)


def listing(*rows):
    return TakedownList(Takedown(kind, value, "asked", DAY) for kind, value in rows)


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "takedowns.csv"
    path.write_bytes(text.encode(encoding))
    return path


def refused(tmp_path, text):
    with pytest.raises(InputError) as caught:
        read_takedowns(written(tmp_path, text))
    return caught.value


def test_an_id_an_author_an_address_and_a_domain_each_cover_their_document():
    takedowns = listing(
        ("id", "a1"), ("author", "f00"), ("url", "https://e.org/x"), ("domain", "gone.org")
    )
    assert takedowns.covers(id="a1")
    assert takedowns.covers(id="z", author="f00")
    assert takedowns.covers(id="z", url="https://e.org/x")
    assert takedowns.covers(id="z", url="https://gone.org/any/page?x=1")
    assert not takedowns.covers(id="z", url="https://e.org/y", author="f01")
    assert not takedowns.covers(id="z")


def test_a_value_of_one_kind_does_not_cover_another_kind():
    takedowns = listing(("author", "a1"), ("id", "f00"))
    assert not takedowns.covers(id="a1", author="f00")


@pytest.mark.parametrize(
    "url",
    ["https://gone.org", "http://www.gone.org/", "https://a.b.GONE.org:8443/x", "//gone.org/x"],
)
def test_a_domain_covers_itself_and_its_subdomains_on_any_port(url):
    assert listing(("domain", "gone.org")).covers(id="z", url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://notgone.org",
        "https://gone.org.example",
        "https://org",
        "https://example/gone.org",
        "",
    ],
)
def test_a_domain_covers_no_other_domain(url):
    assert not listing(("domain", "gone.org")).covers(id="z", url=url)


def test_a_subdomain_does_not_cover_its_parent():
    assert not listing(("domain", "blog.gone.org")).covers(id="z", url="https://gone.org/")


@pytest.mark.parametrize(
    "value", ["GONE.org", "gone.org.", "*.gone.org", ".gone.org", " gone.org "]
)
def test_a_domain_may_be_spelled_as_people_spell_it(tmp_path, value):
    path = written(tmp_path, f"kind,value,reason,date\ndomain,{value},asked,2026-11-23\n")
    assert read_takedowns(path).covers(id="z", url="https://www.gone.org/x")
    assert listing(("domain", value)).covers(id="z", url="https://www.gone.org/x")


@pytest.mark.parametrize(
    "value", ["https://gone.org/", "gone.org/x", "a b.org", "me@gone.org", ".", "*", "gone.org:80"]
)
def test_a_domain_that_could_never_match_is_refused_with_its_line(tmp_path, value):
    error = refused(tmp_path, f"kind,value,reason,date\ndomain,{value},asked,2026-11-23\n")
    assert error.where["at"] == f"{tmp_path}/takedowns.csv, line 2"


def test_a_domain_in_its_own_script_covers_its_punycode_and_the_other_way_round():
    assert listing(("domain", "bücher.example")).covers(
        id="z", url="https://xn--bcher-kva.example/x"
    )
    assert listing(("domain", "xn--bcher-kva.example")).covers(
        id="z", url="https://www.bücher.example/x"
    )


SAME = [
    ("http://example.org/a", "https://example.org/a"),
    ("https://EXAMPLE.org/a", "https://example.org/a"),
    ("https://example.org/a/", "https://example.org/a"),
    ("https://example.org/a#part", "https://example.org/a"),
    ("https://example.org", "https://example.org/"),
    ("example.org/a", "https://example.org/a"),
    ("Example.org/a", "https://example.org/a"),
    ("//example.org/a", "https://example.org/a"),
    ("  https://example.org/a\n", "https://example.org/a"),
    ("https://example.org:443/a", "https://example.org/a"),
    ("http://example.org:80/a", "https://example.org/a"),
    ("https://example.org./a", "https://example.org/a"),
    ("https://user:secret@example.org/a", "https://example.org/a"),
    ("https://zh.wikipedia.org/wiki/石磨", "https://zh.wikipedia.org/wiki/%E7%9F%B3%E7%A3%A8"),
    (
        "https://zh.wikipedia.org/wiki/%e7%9f%b3%e7%a3%a8",
        "https://zh.wikipedia.org/wiki/%E7%9F%B3%E7%A3%A8",
    ),
    (
        "https://en.wikipedia.org/wiki/Mill_(grinding)",
        "https://en.wikipedia.org/wiki/Mill_%28grinding%29",
    ),
    ("https://example.org/a b", "https://example.org/a%20b"),
    ("https://example.org/?q=石", "https://example.org/?q=%E7%9F%B3"),
    ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
]

OTHER = [
    ("https://example.org/a", "https://example.org/b"),
    ("https://example.org/a", "https://example.org/A"),
    ("https://example.org/a?x=1", "https://example.org/a?x=2"),
    ("https://example.org/a?x=1", "https://example.org/a"),
    ("https://example.org/a%2Fb", "https://example.org/a/b"),
    ("https://example.org/?a=1&b=2", "https://example.org/?a=1%26b=2"),
    ("https://example.org/a%3Fb", "https://example.org/a?b"),
    ("https://example.org:8443/a", "https://example.org/a"),
    ("https://www.example.org/a", "https://example.org/a"),
    ("https://example.org/a+b", "https://example.org/a%20b"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_one_address_are_the_same(one, other):
    assert normalize_url(one) == normalize_url(other)
    assert listing(("url", one)).covers(id="z", url=other)
    assert listing(("url", other)).covers(id="z", url=one)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_two_addresses_of_different_pages_stay_different(one, other):
    assert normalize_url(one) != normalize_url(other)


def test_an_address_is_compared_in_this_form():
    assert (
        normalize_url("HTTP://Example.org:80/A b/石/?q=1#x")
        == "https://example.org/A%20b/%E7%9F%B3?q=1"
    )


@given(st.text(max_size=40))
@example("\u2024")  # becomes a dot in punycode
@example("http://\u2024a\u3002/")
@example("http://\ufe52")
@example("0 #")
def test_any_text_as_an_address_is_compared_without_failing_and_only_once(text):
    once = normalize_url(text)
    assert normalize_url(once) == once
    assert isinstance(
        listing(("domain", "x.org"), ("url", "https://x.org/a")).covers(id="z", url=text), bool
    )


@pytest.mark.parametrize(
    "text",
    [
        "http://[",
        "http://[::1",
        "https://a:99999/x",
        "https://a:b/",
        "http://\x00",
        "%",
        "https://a/%zz",
    ],
)
def test_a_broken_address_of_one_document_does_not_stop_the_others(text):
    mask = listing(("url", "https://e.org/a")).mask(
        ["1", "2"], [text, "http://e.org/a"], [None, None]
    )
    assert mask == [False, True]


@given(
    st.from_regex(
        r"https?://[a-z]{1,8}\.org(/[a-zA-Z0-9_.%~()é石-]{0,6}){0,3}(\?[a-z=&%0-9]{0,6})?",
        fullmatch=True,
    )
)
def test_every_address_covers_itself(url):
    assert listing(("url", url)).covers(id="z", url=url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Www.Example.ORG:8080/x", "www.example.org"),
        ("https://example.org./", "example.org"),
        ("http://u:p@h.org/", "h.org"),
        ("example.org/x", "example.org"),
        ("", ""),
        ("/only/a/path", ""),
        ("http://[", ""),
        ("https://[::1]:80/", "::1"),
    ],
)
def test_the_host_of_an_address(url, host):
    assert host_of(url) == host


def test_a_mask_tells_for_every_row_what_covers_tells():
    takedowns = listing(("id", "1"), ("author", "x"), ("domain", "gone.org"))
    ids, urls, authors = (
        ["1", "2", "3", "4"],
        [None, "http://gone.org", None, None],
        [None, None, "x", "y"],
    )
    assert takedowns.mask(ids, urls, authors) == [True, True, True, False]
    assert TakedownList().mask(ids, urls, authors) == [False] * 4


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError):
        listing(("id", "1")).mask(["1", "2"], [None], [None])


cells = (
    st.text(string.printable + "é中文,\"'", min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool)
    .filter(lambda t: "\r" not in t)
)
rows = (
    st.builds(Takedown, st.sampled_from(["id", "author"]), cells, cells, st.dates())
    | st.builds(
        Takedown,
        st.just("url"),
        st.from_regex(r"[a-z]{1,6}\.org/[a-z石]{0,5}", fullmatch=True).map(normalize_url),
        cells,
        st.dates(),
    )
    | st.builds(
        Takedown,
        st.just("domain"),
        st.from_regex(r"[a-z]{1,6}\.org", fullmatch=True),
        cells,
        st.dates(),
    )
)


@given(st.lists(rows, max_size=6))
def test_any_list_reads_back_equal(tmp_path_factory, takedowns):
    path = tmp_path_factory.mktemp("takedown") / "list.csv"
    write_takedowns(path, takedowns)
    assert read_takedowns(path).rows == tuple(sorted(set(takedowns)))


def test_a_list_is_written_sorted_with_its_header(tmp_path):
    rows = [
        Takedown("url", "https://e.org/a", 'said "no", twice', DAY),
        Takedown("domain", "gone.org", "asked", DAY),
    ]
    write_takedowns(tmp_path / "list.csv", rows)
    assert (tmp_path / "list.csv").read_text() == (
        'kind,value,reason,date\ndomain,gone.org,asked,2026-11-23\nurl,https://e.org/a,"said ""no"", twice",2026-11-23\n'
    )


def test_no_list_is_the_empty_list():
    assert len(read_takedowns(None)) == 0
    assert not read_takedowns(None).covers(id="1", url="https://e.org", author="a")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffkind,value,reason,date\nid,1,asked,2026-11-23\n",
        "kind,value,reason,date\r\nid,1,asked,2026-11-23\r\n",
        "kind,value,reason,date\n\nid, 1 ,asked,2026-11-23\n\n",
    ],
)
def test_a_list_saved_by_a_spreadsheet_is_read(tmp_path, text):
    assert read_takedowns(written(tmp_path, text)).covers(id="1")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not a takedown list"),
        ("value,kind,reason,date\n", "not a takedown list"),
        ("kind;value;reason;date\n", "not a takedown list"),
        ("kind,value,reason,date\nid,1,asked\n", "a takedown row must have four fields"),
        ("kind,value,reason,date\nid,1,a,2026-11-23,x\n", "a takedown row must have four fields"),
        (
            "kind,value,reason,date\nname,1,asked,2026-11-23\n",
            f"a takedown needs a kind of {', '.join(KINDS)}, a value and a reason",
        ),
        (
            "kind,value,reason,date\nid, ,asked,2026-11-23\n",
            f"a takedown needs a kind of {', '.join(KINDS)}, a value and a reason",
        ),
        (
            "kind,value,reason,date\nid,1,,2026-11-23\n",
            f"a takedown needs a kind of {', '.join(KINDS)}, a value and a reason",
        ),
        (
            "kind,value,reason,date\nid,1,asked,23.11.2026\n",
            "a takedown's date must look like 2026-11-23",
        ),
    ],
)
def test_a_list_that_cannot_be_understood_is_refused(tmp_path, text, what):
    assert refused(tmp_path, text).what == what


def test_a_field_too_large_for_csv_is_refused_with_its_file(tmp_path):
    error = refused(tmp_path, "kind,value,reason,date\nid," + "1" * 200_000 + ",asked,2026-11-23\n")
    assert error.what == "a takedown list must be CSV"


def test_a_mistake_is_told_with_its_file_and_line(tmp_path):
    error = refused(tmp_path, "kind,value,reason,date\nid,1,asked,2026-11-23\nid,2,asked,soon\n")
    assert error.where == {"at": f"{tmp_path}/takedowns.csv, line 3", "given": "soon"}


def test_a_list_that_is_not_utf8_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be UTF-8"):
        read_takedowns(
            written(tmp_path, "kind,value,reason,date\nid,é,asked,2026-11-23\n", "latin-1")
        )


def test_a_missing_list_is_refused_and_never_taken_as_empty(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        read_takedowns(tmp_path / "none.csv")


def test_every_row_comes_with_its_line_a_wrong_one_as_its_error(tmp_path):
    path = written(
        tmp_path,
        'kind,value,reason,date\nid,1,"two\nlines",2026-11-23\n\nid,2,asked,soon\nid,3,asked,2026-11-23\n',
    )
    rows = list(read_lines(path))
    assert [line for line, _ in rows] == [3, 5, 6]
    assert isinstance(rows[1][1], InputError)
    assert [row.value for _, row in rows if isinstance(row, Takedown)] == ["1", "3"]


@pytest.mark.parametrize(
    ("kind", "value", "met"),
    [
        ("id", "0123456789abcdef" * 2, True),
        ("id", "0123456789ABCDEF" * 2, False),
        ("id", "0123456789abcdef" * 2 + "0", False),
        ("author", "f" * 32, True),
        ("author", "https://social.example/@ann", False),
        ("url", "not-a-url-but-a-locator", True),
        ("domain", "example.org", True),
    ],
)
def test_ids_and_pseudonyms_of_another_form_can_meet_no_document(kind, value, met):
    assert (why_never_met(Takedown(kind, value, "asked", DAY)) is None) == met
