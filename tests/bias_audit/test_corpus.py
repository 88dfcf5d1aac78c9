"""Documents are read with exactly the decisions made about them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bias_audit.corpus import open_corpus
from gristmill.errors import RunError


def read(corpus) -> list[tuple]:
    return [
        (text, source, batch.lang, bool(keep), int(reasons))
        for batch in corpus.batches()
        for text, source, keep, reasons in zip(
            batch.texts.to_pylist(), batch.sources, batch.keep, batch.reasons, strict=True
        )
    ]


def test_every_row_meets_its_own_decision(prepared):
    first = [("a", "wiki", "en", 0), ("b", "news", "zh", 1), ("c", "wiki", "en", 6)]
    second = [("d", "news", "zh", 0)]
    corpus = open_corpus(*prepared(first, second))
    assert read(corpus) == [
        ("a", "wiki", "en", True, 0),
        ("c", "wiki", "en", False, 6),
        ("b", "news", "zh", False, 1),
        ("d", "news", "zh", True, 0),
    ]
    assert corpus.rows == 4
    assert corpus.legend == ("too_short", "blocked_word", "duplicate")


def test_files_longer_than_a_batch_stay_aligned(prepared):
    rows = [(str(i), "wiki", "en", i % 3) for i in range(4_500)]
    assert [
        (int(text), reasons) for text, _, _, _, reasons in read(open_corpus(*prepared(rows)))
    ] == [(i, i % 3) for i in range(4_500)]


def test_without_decisions_every_document_is_kept(prepared):
    annotate, _ = prepared([("a", "wiki", "en", 3)])
    corpus = open_corpus(annotate, None)
    assert read(corpus) == [("a", "wiki", "en", True, 0)]
    assert corpus.legend == ()


def test_decisions_about_other_files_are_refused(prepared):
    annotate, _ = prepared([("a", "wiki", "en", 0)], name="one")
    _, decide = prepared([("a", "wiki", "en", 0)], [("b", "wiki", "en", 0)], name="two")
    with pytest.raises(RunError, match="not as many shards as its documents"):
        open_corpus(annotate, decide)


def test_decisions_about_documents_of_another_content_are_refused_before_a_row_is_read(prepared):
    """Both files have the same name and as many rows; only the hash inside tells them apart."""
    annotate, _ = prepared([("a", "wiki", "en", 0)], name="one")
    _, decide = prepared([("b", "wiki", "en", 1)], name="two")
    with pytest.raises(RunError, match="these decisions were made for other documents") as refused:
        open_corpus(annotate, decide)
    assert refused.value.exit_code == 2
    assert str(annotate.path) in str(refused.value) and str(decide.path) in str(refused.value)
    assert "run `gristmill decide` again" in str(refused.value)


def decide_with(sealed, annotate, rows: int, metadata: dict[str, str] | None):
    """A decide run whose one file has so many rows, and this schema metadata."""

    def fill(path) -> None:
        (path / "decisions").mkdir()
        table = pa.table({"keep": [True] * rows, "reasons": pa.array([0] * rows, pa.uint64())})
        pq.write_table(
            table.replace_schema_metadata(metadata), path / "decisions" / "part-00000.parquet"
        )

    details = {"reasons": ["too_short", "blocked_word", "duplicate"]}
    return sealed("decide", f"{rows}-{metadata}", [annotate], fill, details)


def test_decisions_that_name_no_documents_are_refused(prepared, sealed):
    annotate, _ = prepared([("a", "wiki", "en", 0)])
    with pytest.raises(RunError, match="made for other documents"):
        open_corpus(annotate, decide_with(sealed, annotate, 1, None))


def test_decisions_with_another_number_of_rows_are_refused_whatever_they_name(prepared, sealed):
    annotate, _ = prepared([("a", "wiki", "en", 0)])
    (file,) = annotate.data_files("documents/")
    with pytest.raises(RunError, match="has not as many rows as its documents"):
        open_corpus(
            annotate, decide_with(sealed, annotate, 2, {"gristmill.documents": file.sha256})
        )


def test_one_bad_pair_among_several_files_is_enough(prepared):
    good, other = [("a", "wiki", "en", 0)], [("b", "wiki", "en", 0)]
    annotate, _ = prepared(good, good, name="one")
    _, decide = prepared(good, other, name="two")
    with pytest.raises(RunError, match=r"part-00001\.parquet"):
        open_corpus(annotate, decide)


def test_a_cut_documents_file_is_refused(prepared):
    annotate, decide = prepared([("a", "wiki", "en", 0)])
    path = annotate.path / "documents" / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RunError, match="missing or cut"):
        open_corpus(annotate, decide)


def test_texts_arrive_as_plain_string_arrays(prepared):
    (batch,) = open_corpus(*prepared([("她", "wiki", "zh", 0)])).batches()
    assert batch.texts.type == pa.string()
    assert len(batch) == 1
