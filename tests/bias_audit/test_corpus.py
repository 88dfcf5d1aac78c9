"""Documents are read with exactly the decisions made about them."""

from __future__ import annotations

import pyarrow as pa
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
        ("a", "wiki", "en", True, 0), ("c", "wiki", "en", False, 6), ("b", "news", "zh", False, 1),
        ("d", "news", "zh", True, 0),
    ]  # fmt: skip
    assert corpus.rows == 4
    assert corpus.legend == ("too_short", "blocked_word", "duplicate")


def test_files_longer_than_a_batch_stay_aligned(prepared):
    rows = [(str(i), "wiki", "en", i % 3) for i in range(4_500)]
    assert [(int(text), reasons) for text, _, _, _, reasons in read(open_corpus(*prepared(rows)))] == [
        (i, i % 3) for i in range(4_500)
    ]


def test_without_decisions_every_document_is_kept(prepared):
    annotate, _ = prepared([("a", "wiki", "en", 3)])
    corpus = open_corpus(annotate, None)
    assert read(corpus) == [("a", "wiki", "en", True, 0)]
    assert corpus.legend == ()


def test_decisions_about_other_files_are_refused(prepared):
    annotate, _ = prepared([("a", "wiki", "en", 0)], name="one")
    _, decide = prepared([("a", "wiki", "en", 0)], [("b", "wiki", "en", 0)], name="two")
    with pytest.raises(RunError, match="not made about these documents"):
        open_corpus(annotate, decide)


def test_decisions_with_another_number_of_rows_are_refused(prepared):
    annotate, _ = prepared([("a", "wiki", "en", 0)], name="one")
    _, decide = prepared([("a", "wiki", "en", 0), ("b", "wiki", "en", 0)], name="two")
    with pytest.raises(RunError, match="another number of rows"):
        read(open_corpus(annotate, decide))


def test_texts_arrive_as_plain_string_arrays(prepared):
    (batch,) = open_corpus(*prepared([("她", "wiki", "zh", 0)])).batches()
    assert batch.texts.type == pa.string()
    assert len(batch) == 1
