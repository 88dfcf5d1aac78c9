"""Annotating without Beam: what becomes of each record, balanced counts, and columns that follow the schema."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.corpus.document import as_text
from gristmill.runs import receipts
from gristmill.runs.ledger import Tally
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.extract.html import ExtractedPage
from pipelines.annotate.extract.sandbox import ExtractionError
from pipelines.annotate.graph import (
    SCHEMA,
    STAGE,
    annotate_batch,
    annotate_item,
    annotate_split,
    extract_batch,
    extract_row,
    gather_row_groups,
    make_pseudonym,
)
from pipelines.annotate.input_files import choose_files
from pipelines.annotate.readers.records import (
    QUARANTINE_SCHEMA,
    RECORD_SCHEMA,
    Dropped,
    Quarantined,
    Split,
)
from pipelines.annotate.splits import make_plan

CONFIG = AnnotateConfig()


class Extractor:
    """Stands where the sandbox stands: gives a page, or raises what a bad one raises."""

    def __init__(self, page):
        self.page = page

    def extract(self, html, url):
        if html == "bad":
            raise ExtractionError("extraction_timeout", "more than 30 s")
        return self.page


PAGE = Extractor(ExtractedPage("Article text.", "Its title", "2024-05-06", "CC-BY-4.0"))


def record(text="Some text.", media="text", **more):
    row = {
        "id": "0" * 32,
        "text": text,
        "title": None,
        "url": "http://x/1",
        "source": "s",
        "kind": "web",
        "stated_lang": None,
        "published": None,
        "fetched": None,
        "licence": "unknown",
        "evidence": [],
        "opt_out": [],
        "author": None,
        "capture": {"file": "f", "offset": 7, "item": 0},
        "media": media,
    }
    return row | more


def batch(*rows):
    return pa.RecordBatch.from_pylist(list(rows), RECORD_SCHEMA)


@pytest.mark.parametrize(
    ("row", "text", "reason"),
    [
        (record("a\r\nb  c"), "a\nb c", None),
        (record(" \x00\n "), "", "no_text"),
        (record("''Some'' [[wiki|text]].", "wikitext"), "Some text.", None),
        (record("#REDIRECT [[A]]", "wikitext"), None, "redirect"),
        (record("{{only|a template}}", "wikitext"), "", "no_text"),
        (record("<p>one<br>two</p>", "status"), "one\ntwo", None),
        (record("<html>", "html"), "Article text.", None),
    ],
)
def test_each_medium_becomes_text_or_a_reason(row, text, reason):
    assert extract_row(row, PAGE) == reason
    if text is not None:
        assert row["text"] == text


def test_what_a_page_says_of_itself_fills_what_nobody_said():
    row = record("<html>", "html")
    extract_row(row, PAGE)
    assert (row["title"], row["published"].isoformat(), row["licence"]) == (
        "Its title",
        "2024-05-06T00:00:00+00:00",
        "CC-BY-4.0",
    )
    assert row["evidence"] == [{"signal": "page", "value": "CC-BY-4.0"}]


def test_what_the_crawl_said_of_a_page_stays():
    row = record("<html>", "html", title="Ours", licence="CC0-1.0")
    extract_row(row, PAGE)
    assert (row["title"], row["licence"], row["evidence"]) == ("Ours", "CC0-1.0", [])


def test_an_author_becomes_a_keyed_name_that_links_and_does_not_tell():
    assert (
        make_pseudonym("https://m.org/@a", "k1")
        == make_pseudonym("https://m.org/@a", "k1")
        != make_pseudonym("https://m.org/@a", "k2")
    )
    assert (
        len(make_pseudonym("a", "k")) == 32
        and make_pseudonym(None, "k") is None
        and make_pseudonym("", "k") is None
    )
    made = extract_batch(batch(record(author="mara")), CONFIG, PAGE, Tally(), [])
    assert made["author"].to_pylist() == [make_pseudonym("mara", CONFIG.author_key)]


def test_the_author_a_page_states_leaves_annotate_only_as_a_keyed_name():
    stated = Extractor(ExtractedPage("Article text.", author="Ada Miller"))
    keyed = CONFIG.model_copy(update={"author_key": "a long secret"})
    rows = batch(record("<html>", "html"), record("<html>", "html", author="mara"))
    made = extract_batch(rows, keyed, stated, Tally(), [])
    assert made["author"].to_pylist() == [
        make_pseudonym("Ada Miller", "a long secret"),
        make_pseudonym("mara", "a long secret"),
    ]
    assert extract_batch(rows, CONFIG, stated, Tally(), [])["author"].to_pylist() == [None, None]


def test_every_record_has_one_outcome():
    tally, broken = Tally(), []
    rows = [
        record("fine text here"),
        record("bad", "html"),
        record("\x00"),
        record("#REDIRECT [[A]]", "wikitext"),
        record("also fine"),
    ]
    items = [
        batch(*rows),
        Quarantined("f", 5, "bad_json", "why", source="t"),
        Dropped("not_content", "t"),
    ]
    kept = [annotate_item(item, CONFIG, PAGE, tally, broken) for item in items]
    assert [made.num_rows if made else None for made in kept] == [2, None, None]
    counts = {(entry.fate, entry.reason): entry.documents for entry in tally.entries()}
    assert sum(counts.values()) == 7
    assert counts[("quarantined", "extraction_timeout")] == counts[("quarantined", "bad_json")] == 1
    assert (
        counts[("dropped", "no_text")]
        == counts[("dropped", "redirect")]
        == counts[("dropped", "not_content")]
        == 1
    )
    assert [(item.reason, item.offset, item.source) for item in broken] == [
        ("extraction_timeout", 7, "s"),
        ("bad_json", 5, "t"),
    ]
    assert sum(entry.bytes for entry in tally.entries() if entry.fate == "kept") == len(
        "fine text here"
    ) + len("also fine")


def test_columns_follow_the_schema_and_the_records():
    made = annotate_batch(
        batch(record("The mill is old, and the river is wide."), record("这座老磨坊在河边。"))
    )
    assert made.schema == SCHEMA
    made.validate(full=True)
    assert made["lang"].to_pylist() == ["en", "zh"] and made["words"].to_pylist() == [
        9,
        5,
    ]  # 这座 老 磨坊 在 河边
    assert as_text(made["text"]).to_pylist()[1] == "这座老磨坊在河边。"


def test_a_batch_of_nothing_is_a_batch_of_nothing():
    assert annotate_batch(batch()).num_rows == 0
    assert extract_batch(batch(record("\x00")), CONFIG, PAGE, Tally(), []).num_rows == 0


def test_a_split_is_a_file_a_quarantine_and_a_receipt_that_balance(tmp_path):
    lines = [json.dumps({"text": f"Text number {i} of the mill."}) for i in range(5)]
    lines[2:2] = ['{"text": 5}', "", '{"text": " "}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    [split] = make_plan(choose_files([str(tmp_path / "a.jsonl")])[0], CONFIG, tmp_path)
    made = annotate_split(tmp_path, split, CONFIG, PAGE)
    assert made == receipts.read_receipt(tmp_path, STAGE, 0) and made.read == 7
    documents = pq.read_table(tmp_path / "documents/part-00000.parquet")
    assert documents.schema.equals(SCHEMA) and documents["text"].to_pylist() == [
        f"Text number {i} of the mill." for i in range(5)
    ]
    quarantine = pq.read_table(tmp_path / "quarantine/part-00000.parquet")
    assert quarantine.schema.equals(QUARANTINE_SCHEMA)
    assert quarantine.to_pylist() == [
        {
            "file": "a.jsonl",
            "offset": sum(len(line) + 1 for line in lines[:2]),
            "compressed_offset": -1,
            "reason": "bad_json",
            "error": "no string `text` in this line",
        }
    ]
    assert [(file.path, file.rows) for file in made.files] == [
        ("documents/part-00000.parquet", 5),
        ("quarantine/part-00000.parquet", 1),
    ]


def test_annotating_a_split_twice_gives_the_same_bytes(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps({"text": f"Text number {i}."}) for i in range(50)), encoding="utf-8"
    )
    [split] = make_plan(choose_files([str(tmp_path / "a.jsonl")])[0], CONFIG, tmp_path)
    first, second = (
        annotate_split(tmp_path / name, split, CONFIG, PAGE) for name in ("one", "two")
    )
    assert first == second


def test_a_split_of_a_remainder_is_one_broken_record(tmp_path):
    made = annotate_split(
        tmp_path,
        Split(3, "remainder", "/x/a.jsonl.gz", 100, 50, expected=1, note="cut"),
        CONFIG,
        PAGE,
    )
    assert [(entry.fate, entry.reason, entry.documents) for entry in made.entries] == [
        ("quarantined", "unknown_remainder", 1)
    ]


def test_a_batch_of_plain_text_is_extracted_as_row_by_row_and_keeps_its_other_columns():
    rows = [
        record(
            f" text  {i}\r\n" if i % 3 else " \x00",
            title=f"T{i}",
            evidence=[{"signal": "a", "value": "b"}],
            source=f"s{i % 2}",
        )
        for i in range(10)
    ]
    made, tally = [], [Tally(), Tally()]
    made.append(extract_batch(batch(*rows), CONFIG, PAGE, tally[0], []))
    mixed = extract_batch(batch(*rows, record("<html>", "html")), CONFIG, PAGE, tally[1], [])
    assert made[0].schema == RECORD_SCHEMA and made[0].to_pylist() == mixed.to_pylist()[:-1]
    assert made[0]["text"].to_pylist() == [f"text {i}" for i in range(10) if i % 3]
    assert (
        tally[0].entries() == tally[1].entries()
        and sum(entry.documents for entry in tally[0].entries()) == 4
    )


def test_row_groups_gather_small_batches_and_never_split_one():
    def sized(rows, width=1):
        return pa.RecordBatch.from_pylist([{"text": "x" * width}] * rows)

    parts = [
        sized(1),
        None,
        sized(400),
        sized(0),
        sized(599),
        sized(1),
        sized(5, 2 << 20),
        sized(900),
        sized(1, 20 << 20),
        sized(3),
    ]
    assert [table.num_rows for table in gather_row_groups(iter(parts))] == [1000, 1, 5, 900, 1, 3]
    assert list(gather_row_groups(iter([None, sized(0)]))) == []


def test_one_bad_row_of_a_thousand_leaves_one_row_group(tmp_path):
    texts = [f"Text number {i}.".encode() for i in range(999)] + [b"\xff"]
    pq.write_table(pa.table({"text": pa.array(texts, pa.binary())}), tmp_path / "a.parquet")
    [split] = make_plan(choose_files([str(tmp_path / "a.parquet")])[0], CONFIG, tmp_path)
    made = annotate_split(tmp_path, split, CONFIG, PAGE)
    file = pq.ParquetFile(tmp_path / "documents/part-00000.parquet")
    assert (made.read, file.num_row_groups, file.metadata.num_rows) == (1000, 1, 999)


def test_one_odd_date_costs_no_record(tmp_path):
    rows = [{"text": "one", "date": "0001-01-01T00:00:00+14:00"}, {"text": "two", "date": 20210102}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    [split] = make_plan(choose_files([str(tmp_path / "a.jsonl")])[0], CONFIG, tmp_path)
    annotate_split(tmp_path, split, CONFIG, PAGE)
    published = pq.read_table(tmp_path / "documents/part-00000.parquet")["published"].to_pylist()
    assert [day and day.date().isoformat() for day in published] == [None, "2021-01-02"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_split_of_no_records_has_a_file_and_a_receipt_of_nothing(name, tmp_path):
    if name.endswith("l"):
        (tmp_path / name).write_bytes(b"")
    else:
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / name)
    [split] = make_plan(choose_files([str(tmp_path / name)])[0], CONFIG, tmp_path)
    made = annotate_split(tmp_path, split, CONFIG, PAGE)
    assert (made.read, made.entries, made.files[0].rows) == (0, (), 0)
    assert pq.read_table(tmp_path / "documents/part-00000.parquet").schema.equals(SCHEMA)
