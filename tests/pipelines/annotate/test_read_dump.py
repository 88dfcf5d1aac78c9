"""MediaWiki dumps: articles in their newest revision, whatever the packing, and a cut stream gives its whole pages."""

import bz2
import gzip
import itertools
import lzma
import tracemalloc
from collections import Counter

import pytest

from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.extract.normalize import normalize
from pipelines.annotate.extract.wikitext import extract_wikitext, is_redirect
from pipelines.annotate.input_files import choose_files
from pipelines.annotate.readers import dump_pages
from pipelines.annotate.readers.records import Dropped, Quarantined
from pipelines.annotate.readers.registry import read_split
from pipelines.annotate.splits import make_plan

RUNS = itertools.count()

SITE = (
    "<siteinfo><sitename>Wikipedia</sitename><dbname>enwiki</dbname>"
    "<base>https://en.wikipedia.org/wiki/Main_Page</base></siteinfo>"
)


def page(title, *texts, ns="0", number=1):
    space = f"<ns>{ns}</ns>" if ns is not None else ""
    revisions = "".join(
        f"<revision><id>{100 + i}</id><timestamp>202{i}-01-01T00:00:00Z</timestamp><text xml:space='preserve'>{text}</text></revision>"
        for i, text in enumerate(texts)
    )
    return f"<page><title>{title}</title>{space}<id>{number}</id>{revisions}</page>"


def dump(*pages, site=SITE, version="0.11"):
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-{version}/" version="{version}">{site}{"".join(pages)}</mediawiki>'.encode()


def read(path, folder, config=AnnotateConfig()):
    rows, broken, left = [], [], []
    plan = make_plan(choose_files([str(path)])[0], config, folder / f"run{next(RUNS)}")
    for item in itertools.chain.from_iterable(read_split(split, config.columns) for split in plan):
        if isinstance(item, Quarantined):
            broken.append(item)
        elif isinstance(item, Dropped):
            left.append(item)
        else:
            rows += item.to_pylist()
    return rows, broken, left


@pytest.fixture
def read_bytes(tmp_path):
    """A function that writes a dump and reads it."""

    def make(data, name="enwiki-latest.xml"):
        (tmp_path / name).write_bytes(data)
        return read(tmp_path / name, tmp_path)

    return make


@pytest.mark.parametrize("version", ["0.3", "0.8", "0.10", "0.11"])
def test_a_page_is_a_record_with_its_address_licence_and_revision(version, read_bytes):
    rows, broken, left = read_bytes(dump(page("Old mill", "A &amp; ''b''."), version=version))
    assert broken == left == []
    wanted = {
        "text": "A & ''b''.",
        "title": "Old mill",
        "url": "https://en.wikipedia.org/wiki/Old_mill",
        "source": "enwiki",
        "kind": "wiki",
        "licence": "CC-BY-SA-4.0",
        "media": "wikitext",
        "evidence": [{"signal": "revision", "value": "100"}],
        "opt_out": [],
        "capture": {
            "file": "enwiki-latest.xml",
            "offset": dump(version=version).index(b"</mediawiki>"),
            "item": 0,
        },
        "fetched": None,
        "author": None,
    }
    assert {name: rows[0][name] for name in wanted} == wanted
    assert (
        rows[0]["published"].isoformat() == "2020-01-01T00:00:00+00:00" and len(rows[0]["id"]) == 32
    )


PACKERS = {
    "xml": bytes,
    "xml.gz": gzip.compress,
    "xml.bz2": bz2.compress,
    "xml.xz": lzma.compress,
    "bz2": bz2.compress,
}


@pytest.mark.parametrize("end", PACKERS)
def test_packing_changes_no_record(end, read_bytes):
    data = dump(*(page(f"P{i}", f"text {i}", number=i) for i in range(100)))
    rows, broken, _ = read_bytes(PACKERS[end](data), f"enwiki.{end}")
    assert [(row["title"], row["text"]) for row in rows] == [
        (f"P{i}", f"text {i}") for i in range(100)
    ] and broken == []


def test_a_multistream_file_is_read_to_its_end(read_bytes):
    data = dump(page("A", "a"), page("B", "b"))
    rows, broken, _ = read_bytes(
        bz2.compress(data[:300]) + bz2.compress(data[300:]), "enwiki.xml.bz2"
    )
    assert [row["title"] for row in rows] == ["A", "B"] and broken == []


def test_the_newest_revision_is_read_whatever_the_order(read_bytes):
    rows, _, _ = read_bytes(dump(page("A", "old", "new")))
    assert rows[0]["text"] == "new" and rows[0]["evidence"][0]["value"] == "101"
    swapped = (
        page("A", "old", "new")
        .replace("2020-", "x-")
        .replace("2021-", "2019-")
        .replace("x-", "2020-")
    )
    assert read_bytes(dump(swapped))[0][0]["text"] == "old"


def test_pages_outside_the_article_space_are_left_out_and_counted(read_bytes):
    rows, broken, left = read_bytes(
        dump(
            page("A", "a"),
            page("Talk:A", "t", ns="1"),
            page("Template:X", "x", ns="10"),
            page("File:Y", "y", ns=None),
        )
    )
    assert [row["title"] for row in rows] == ["A"] and broken == []
    assert Counter((item.reason, item.source) for item in left) == {("not_an_article", "enwiki"): 3}


def test_a_title_with_a_colon_is_an_article_where_the_space_says_so(read_bytes):
    assert [row["title"] for row in read_bytes(dump(page("Star Trek: Voyager", "a")))[0]] == [
        "Star Trek: Voyager"
    ]


def test_a_page_without_a_revision_costs_itself(read_bytes):
    rows, broken, _ = read_bytes(dump(page("A", "a"), page("B"), page("C", "c")))
    assert [row["title"] for row in rows] == ["A", "C"]
    assert [(item.reason, item.offset) for item in broken] == [
        ("bad_item", dump(page("A", "a")).index(b"</mediawiki>"))
    ]


@pytest.mark.parametrize(
    ("title", "end"),
    [("What is it?", "What_is_it%3F"), ("100%", "100%25"), ("AC/DC", "AC/DC"), ("磨坊", "磨坊")],
)
def test_an_address_does_not_end_inside_the_title(title, end, read_bytes):
    assert read_bytes(dump(page(title, "a")))[0][0]["url"] == f"https://en.wikipedia.org/wiki/{end}"


def test_a_dump_of_another_wiki_claims_no_licence(read_bytes):
    site = SITE.replace("en.wikipedia.org", "wiki.example.org").replace("enwiki", "example")
    rows, _, _ = read_bytes(dump(page("A", "a"), site=site))
    assert (rows[0]["licence"], rows[0]["source"]) == ("unknown", "example")


def test_a_dump_that_does_not_name_its_site_is_called_after_its_file(read_bytes):
    rows, _, _ = read_bytes(
        dump(page("A", "a"), page("B", "a", number=2), site=""), "frwiki-20260101.xml"
    )
    assert {(row["source"], row["url"]) for row in rows} == {("frwiki", None)} and len(
        {row["id"] for row in rows}
    ) == 2


@pytest.mark.parametrize("end", ["xml", "xml.gz", "xml.bz2", "xml.xz"])
def test_a_cut_dump_gives_its_whole_pages_and_one_remainder(end, read_bytes):
    texts = [
        f"text {i} " + "".join(chr(97 + (i * k * k) % 26) for k in range(1, 300)) for i in range(60)
    ]
    data = PACKERS[end](dump(*(page(f"P{i}", text, number=i) for i, text in enumerate(texts))))
    for cut in range(1, len(data) - 12, max(1, len(data) // 40)):
        rows, broken, _ = read_bytes(data[:cut], f"enwiki.{end}")
        assert [row["text"] for row in rows] == texts[: len(rows)], cut
        assert [item.reason for item in broken] == ["unknown_remainder"], cut


@pytest.mark.parametrize(
    "data",
    [
        b" ",
        b"no xml",
        b"<mediawiki>",
        b"<a/>" * 3,
        b"\xff\xfe\x00",
        b'<?xml version="1.0" encoding="gbk"?><a>x</a>',
        b'<?xml version="1.0" encoding="klingon"?><a>x</a>',
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&z;</a>',
    ],
)
def test_what_is_no_dump_is_one_remainder_and_no_exception(data, read_bytes):
    rows, broken, _ = read_bytes(data)
    assert rows == [] and [item.reason for item in broken] == ["unknown_remainder"]


def test_a_page_that_is_no_xml_costs_itself(read_bytes):
    rows, broken, _ = read_bytes(
        dump(page("A", "a"), page("B", "\0"), page("C", "&none;"), page("D", "d"))
    )
    assert [row["title"] for row in rows] == ["A", "D"] and [item.reason for item in broken] == [
        "bad_item"
    ] * 2


@pytest.mark.parametrize(
    "large", [page("B", "x" * 3000), page("B", *["x"] * 20), page("B" * 3000, "x")], ids=range(3)
)
def test_a_page_of_any_size_costs_itself_and_is_not_held(large, read_bytes, monkeypatch):
    monkeypatch.setattr(dump_pages, "MAX_PAGE", 2800)
    rows, broken, _ = read_bytes(dump(page("A", "a"), large, page("C", "c")))
    assert [row["title"] for row in rows] == ["A", "C"]
    start = dump(page("A", "a")).index(b"</mediawiki>")
    assert rows[1]["capture"]["offset"] == start + len(large)
    assert [(item.reason, item.offset, item.source) for item in broken] == [
        ("too_large", start, "enwiki")
    ]


def test_a_page_that_never_ends_costs_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(dump_pages, "MAX_PAGE", 1 << 20)
    path = tmp_path / "enwiki.xml.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"<mediawiki><page><title>A</title><revision><text>")
        for _ in range(30):
            file.write(b"x" * (1 << 20))
    tracemalloc.start()
    try:
        assert [item.reason for item in read(path, tmp_path)[1]] == [
            "too_large",
            "unknown_remainder",
        ]
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_of_entities_is_refused(read_bytes):
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<!DOCTYPE m [<!ENTITY a0 "{"x" * 1000}">{entities}]><mediawiki><page><title>&a11;</title></page></mediawiki>'
    rows, broken, _ = read_bytes(bomb.encode())
    assert rows == [] and {item.reason for item in broken} == {"bad_item"}


@pytest.mark.parametrize(
    ("name", "rows", "broken"),
    [
        ("article-pear.xml", 1, 0),
        ("article-pear-0.10.xml", 1, 0),
        ("article-pyrus.xml", 1, 0),
        ("article-pyrus-utf16.xml", 1, 0),
        ("article-pyrus-utf16.xml.bz2", 1, 0),
        ("article-pyrus.xml.bz2", 1, 0),
        ("article-pyrus.xml.gz", 1, 0),
        ("article-pyrus.xml.xz", 1, 0),
        ("pair-0.10.xml", 1, 0),
    ],
)
def test_pywikibots_samples(name, rows, broken, shared_data, tmp_path):
    found = read(shared_data / "crawl/mediawiki/pywikibot/xml" / name, tmp_path)
    assert (len(found[0]), len(found[1])) == (rows, broken), found
    assert all(row["text"] and row["title"] for row in found[0])


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("bgwiki-latest-pages-articles-shortened.xml.bz2", "bgwiki"),
        ("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "enwiki"),
    ],
)
def test_real_dumps_are_read_to_prose_without_markup(name, source, shared_data, tmp_path):
    rows, broken, _left = read(shared_data / "corpus" / name, tmp_path)
    assert rows and {row["source"] for row in rows} == {source}
    assert len({row["id"] for row in rows}) == len(rows) and len(broken) <= 1
    prose = [
        normalize(extract_wikitext(row["text"])) for row in rows if not is_redirect(row["text"])
    ]
    marked = sum(any(mark in text for mark in ("{{", "[[", "<ref", "{|")) for text in prose)
    assert marked <= 0.05 * len(prose), f"markup is left in {marked} of {len(prose)} pages"
