"""What a document is, whatever it was read from: script, stated language, hashes of address and lines, facts of its page.

Every test goes through the whole annotate step: plan, reader, extraction in the sandbox, signals, Parquet.
"""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from pipelines.annotate.config import AnnotateConfig, InputColumns
from pipelines.annotate.extract.sandbox import Sandbox
from pipelines.annotate.graph import SCHEMA, annotate_split, list_dictionary_columns, make_pseudonym
from pipelines.annotate.input_files import choose_files
from pipelines.annotate.signals.urls import hash_url
from pipelines.annotate.splits import make_plan

KEY = "a long secret"
CONFIG = AnnotateConfig(author_key=KEY)
MILLION = 10**6


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(CONFIG.limits) as started:
        yield started


@pytest.fixture
def annotate(tmp_path, sandbox):
    """A function that writes one input and gives its documents as they lie in Parquet."""

    def run(name, data, config=CONFIG):
        (tmp_path / name).write_bytes(data)
        plan = make_plan(choose_files([str(tmp_path / name)])[0], config, tmp_path)
        for split in plan:
            receipt = annotate_split(tmp_path, split, config, sandbox)
            assert {entry.fate for entry in receipt.entries} <= {"kept"}
        return pq.read_table(tmp_path / "documents")

    return run


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def hashes_of(*folded):
    return [xxhash.xxh64_intdigest(line.encode()) for line in folded]


def one(table, *names):
    [row] = table.select(list(names)).to_pylist()
    return tuple(row.values())


def test_a_line_of_json_has_every_column(annotate):
    row = {
        "text": "The OLD mill.\n\n  It\tturns. ",
        "url": "HTTP://Example.org:80/a/?utm_source=x",
        "lang": "en-GB",
    }
    table = annotate("a.jsonl", lines(row))
    assert table.schema.equals(SCHEMA)
    table.validate(full=True)
    assert one(table, "script", "script_share", "stated_lang") == ("Latn", 1.0, "en")
    assert one(table, "url", "url_hash") == (
        row["url"],
        xxhash.xxh3_128_digest(b"http://example.org/a"),
    )
    assert one(table, "line_hashes") == (hashes_of("the old mill.", "it turns."),)


def test_what_a_line_does_not_state_is_null(annotate):
    assert one(
        annotate("a.jsonl", lines({"text": "中文"})), "stated_lang", "url_hash", "script"
    ) == (
        None,
        None,
        "Hani",
    )


def test_the_identifier_is_not_moved_by_what_is_stated(annotate):
    text = "The old mill stood beside the river and the door was shut for the winter."
    table = annotate(
        "a.jsonl",
        lines({"text": text}, {"text": text, "lang": "de"}, {"text": text, "lang": "none"}),
    )
    assert (
        table["lang"].to_pylist() == ["en"] * 3 and len(set(table["lang_score"].to_pylist())) == 1
    )
    assert table["stated_lang"].to_pylist() == [None, "de", None]


def test_a_column_of_languages_of_another_name_is_read_from_a_table(annotate, tmp_path):
    config = AnnotateConfig(columns=InputColumns(lang="language_script"))
    table = pa.table(
        {
            "text": ["古い水車が川にある。", "x"],
            "language_script": ["jpn_Jpan", None],
            "lang": ["de", "de"],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    made = annotate("a.parquet", (tmp_path / "in.parquet").read_bytes(), config)
    assert made.select(["stated_lang", "script"]).to_pylist() == [
        {"stated_lang": "ja", "script": "Jpan"},
        {"stated_lang": None, "script": "Latn"},
    ]


@pytest.mark.parametrize(
    "column", [pa.array([1, 2]), pa.array([["en"], None]), pa.array([b"en", b"\xff"]), pa.nulls(2)]
)
def test_a_column_called_lang_that_states_no_language_costs_no_record(column, annotate, tmp_path):
    pq.write_table(pa.table({"text": ["one", "two"], "lang": column}), tmp_path / "in.parquet")
    made = annotate("a.parquet", (tmp_path / "in.parquet").read_bytes())
    assert made["stated_lang"].to_pylist() == [None, None]


def http(
    body, *headers, url="https://Example.org/mill/?fbclid=1#top", media="text/html; charset=utf-8"
):
    """A WARC with one response."""
    message = (
        "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {media}", *headers, "", ""]).encode() + body
    )
    fields = [
        "WARC/1.1",
        "WARC-Type: response",
        f"WARC-Target-URI: {url}",
        "WARC-Date: 2026-01-02T03:04:05Z",
        "WARC-Record-ID: <urn:uuid:a>",
        "Content-Type: application/http; msgtype=response",
        f"Content-Length: {len(message)}",
    ]
    return "\r\n".join([*fields, "", ""]).encode() + message + b"\r\n\r\n"


def about(**what):
    body = json.dumps(what).encode()
    fields = [
        "WARC/1.1",
        "WARC-Type: metadata",
        "WARC-Refers-To: <urn:uuid:a>",
        "WARC-Date: 2026-01-02T03:04:05Z",
        "WARC-Record-ID: <urn:uuid:b>",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*fields, "", ""]).encode() + body + b"\r\n\r\n"


PARAGRAPHS = "".join(
    f"<p>The old mill stood beside the river, and number {i} of its millers told anybody who asked how the wheel was built.</p>"
    for i in range(9)
)
PAGE = f"""<!DOCTYPE html><html lang="de-AT"><head><title>The mill turns again</title>
<meta name="author" content="Ada Miller"><meta property="article:published_time" content="2024-05-06">
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head>
<body><article><h1>The mill turns again</h1>{PARAGRAPHS}</article></body></html>"""


def test_all_that_a_page_states_comes_along_into_its_document(annotate):
    table = annotate("a.warc", http(PAGE.encode()))
    assert one(table, "title", "stated_lang", "licence", "author") == (
        "The mill turns again",
        "de",
        "CC-BY-4.0",
        make_pseudonym("Ada Miller", KEY),
    )
    assert one(table, "published") == (datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC),)
    assert one(table, "evidence") == ([{"signal": "page", "value": "CC-BY-4.0"}],)
    assert one(table, "lang", "script") == ("en", "Latn")
    assert one(table, "url_hash") == (xxhash.xxh3_128_digest(b"https://example.org/mill"),)
    text, found = one(table, "text", "line_hashes")
    assert found == hashes_of(
        *(" ".join(line.lower().split()) for line in text.split("\n") if line.strip())
    )
    assert len(found) >= 9


def test_a_page_without_facts_leaves_its_columns_null(annotate):
    page = f"<html><body><article>{PARAGRAPHS}</article></body></html>"
    table = annotate("a.warc", http(page.encode()))
    assert one(table, "title", "stated_lang", "licence", "author", "published") == (
        None,
        None,
        "unknown",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("lang", "headers", "stated"),
    [
        ("", ["Content-Language: fr-CA"], "fr"),
        ("", ["content-language: fr, en"], None),
        (' lang="es"', ["Content-Language: fr"], "es"),
        (' lang="x-default"', ["Content-Language: fr"], "fr"),
        ("><meta property='og:locale' content='pt_BR'", [], "pt"),
        ("><meta http-equiv='Content-Language' content='it'", [], "it"),
    ],
)
def test_a_page_knows_its_language_better_than_its_server(lang, headers, stated, annotate):
    page = f"<html{lang}><body><article>{PARAGRAPHS}</article></body></html>"
    assert one(annotate("a.warc", http(page.encode(), *headers)), "stated_lang") == (stated,)


def test_a_page_of_an_api_answer_has_the_language_of_its_wiki(annotate):
    revision = {
        "revid": 9,
        "timestamp": "2026-01-01T00:00:00Z",
        "slots": {"main": {"content": "Die alte Mühle steht."}},
    }
    pages = [
        {
            "title": "A",
            "fullurl": f"https://de.x.org/{i}",
            "revisions": [revision],
            "pagelanguage": lang,
        }
        for i, lang in enumerate(["de", "zh-hant", None])
    ]
    body = json.dumps({"query": {"pages": pages}}).encode()
    wiki = about(source="w", kind="wiki", format="mediawiki-api", licence="CC-BY-SA-4.0")
    made = annotate("a.warc", http(body, "Content-Language: en", media="application/json") + wiki)
    assert made["stated_lang"].to_pylist() == ["de", "zh", None]
    assert made["url_hash"].to_pylist() == [hash_url(f"https://de.x.org/{i}") for i in range(3)]


def test_a_post_has_the_language_its_author_chose(annotate):
    posts = [
        {
            "content": "<p>Guten Tag</p>",
            "url": f"https://m.org/@a/{lang}",
            "created_at": "2026-01-01T00:00:00Z",
            "account": {"url": "https://m.org/@a"},
            "language": lang,
        }
        for lang in ("de", None)
    ]
    social = about(source="m", kind="social", format="mastodon-api", licence="unknown")
    made = annotate("a.warc", http(json.dumps(posts).encode(), media="application/json") + social)
    assert made["stated_lang"].to_pylist() == ["de", None]


def dump(root):
    return (
        f"<mediawiki {root}><siteinfo><dbname>jawiki</dbname><base>https://ja.wikipedia.org/wiki/Main</base></siteinfo>"
        "<page><title>水車 A</title><ns>0</ns><id>1</id><revision><id>9</id><timestamp>2026-01-01T00:00:00Z</timestamp>"
        "<text>古い'''水車'''が川のそばにある。\n\nThe END</text></revision></page></mediawiki>"
    ).encode()


@pytest.mark.parametrize(
    ("root", "stated"),
    [
        ('version="0.11" xml:lang="ja"', "ja"),
        ("xml:lang='zh-Hant'", "zh"),
        ('version="0.11"', None),
        ('xml:lang=""', None),
    ],
)
def test_a_page_of_a_dump_has_the_language_of_its_wiki(root, stated, annotate):
    table = annotate("jawiki.xml", dump(root))
    assert one(table, "stated_lang", "script", "licence") == (stated, "Jpan", "CC-BY-SA-4.0")
    assert one(table, "url_hash") == (
        xxhash.xxh3_128_digest(b"https://ja.wikipedia.org/wiki/%E6%B0%B4%E8%BB%8A_A"),
    )
    assert one(table, "line_hashes") == (hashes_of("古い水車が川のそばにある。", "the end"),)


def test_a_long_line_and_hostile_text_go_the_whole_way(annotate):
    texts = ["x" * MILLION, "\u202eשלום\u0301", "a\x00B\n\u2028c"]
    table = annotate("a.jsonl", lines(*({"text": text} for text in texts)))
    assert table["line_hashes"].to_pylist() == [
        hashes_of("x" * MILLION),
        hashes_of("\u202eשלום\u0301"),
        hashes_of("ab", "c"),
    ]
    assert table["script"].to_pylist() == ["Latn", "Hebr", "Latn"]


def test_hashes_of_lines_are_stored_plainly_and_all_else_as_parquet_likes(annotate, tmp_path):
    annotate("a.jsonl", lines(*({"text": f"Line {i}\nand {i}"} for i in range(50))))
    group = pq.read_metadata(tmp_path / "documents/part-00000.parquet").row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    with_dictionary = {path for path, column in columns.items() if column.has_dictionary_page}
    assert (
        "line_hashes.list.element" not in with_dictionary
        and {"source", "lang", "script"} < with_dictionary
    )
    assert set(columns) - set(list_dictionary_columns(SCHEMA)) == {"line_hashes.list.element"}
    assert columns["line_hashes.list.element"].compression == "ZSTD"
