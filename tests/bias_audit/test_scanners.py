"""Mentions are counted over kept documents, by source and language, with clustered intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import TypeAdapter

from bias_audit.corpus import open_corpus
from bias_audit.scanners import LanguageScan, MentionSums
from bias_audit.stats import RateSums, RatioSums, rate_from_sums, ratio_from_sums


def as_json(row) -> dict:
    """A row as it is written to audit.json."""
    return TypeAdapter(type(row)).dump_python(row, mode="json", by_alias=True)


def clustered_rate(counts: np.ndarray, sizes: np.ndarray):
    """Events per unit of size over the documents that have any, from whole arrays."""
    used = sizes > 0
    counts, sizes = counts[used], sizes[used]
    products = (counts**2).sum(), (counts * sizes).sum(), (sizes**2).sum()
    return rate_from_sums(int(used.sum()), RateSums(counts.sum(), sizes.sum(), *products))


def clustered_log_ratio(first: np.ndarray, second: np.ndarray):
    """log(sum of first / sum of second) over the documents that have any, from whole arrays."""
    documents = int(((first + second) > 0).sum())
    products = (first**2).sum(), (first * second).sum(), (second**2).sum()
    return ratio_from_sums(documents, RatioSums(first.sum(), second.sum(), *products))


def scan(prepared, rows, lang="en") -> LanguageScan:
    corpus = open_corpus(*prepared(rows))
    found = LanguageScan(lang, corpus.legend, min_count=1, prior_share=0.1)
    for batch in corpus.batches():
        if batch.lang == lang:
            found.add(batch)
    return found


def test_mentions_are_counted_by_source_over_kept_documents_only(prepared):
    rows = [
        ("She met her mother.", "wiki", "en", 0),
        ("He met his Chinese friend.", "wiki", "en", 0),
        ("He he he.", "wiki", "en", 1),
        ("He left.", "news", "en", 0),
        ("他走了", "wiki", "zh", 0),
    ]
    table = {row.source: as_json(row) for row in scan(prepared, rows).slice_rows()}
    assert list(table) == ["news", "wiki", "(all)"]
    assert {key: table["wiki"][key] for key in ("documents", "words", "unit", "lang")} == {
        "documents": 2,
        "words": 9,
        "unit": "word",
        "lang": "en",
    }
    assert table["wiki"]["groups"]["gender/female"]["mentions"] == 3
    assert table["wiki"]["groups"]["gender/female"]["documents"] == 1
    assert table["wiki"]["groups"]["gender/female"]["per_million"]["value"] == pytest.approx(
        1e6 * 3 / 9
    )
    assert table["(all)"]["groups"]["gender/male"]["mentions"] == 3
    assert table["(all)"]["groups"]["region/east_asia"]["mentions"] == 1
    assert table["news"]["groups"]["gender/male"]["per_million"] is None


def test_the_pronoun_ratio_counts_pronouns_and_not_nouns(prepared):
    rows = [("She and her man.", "wiki", "en", 0), ("He has a wife.", "wiki", "en", 0)]
    (_, total) = map(as_json, scan(prepared, rows).slice_rows())
    assert total["pronoun_log_ratio"]["value"] == pytest.approx(math.log(2), abs=1e-6)
    assert total["pronoun_log_ratio"]["n"] == 2


def test_chinese_rates_are_per_million_han_characters(prepared):
    rows = [("她是老师。abc", "wiki", "zh", 0), ("他走了其他", "wiki", "zh", 0)]
    (_, total) = map(as_json, scan(prepared, rows, "zh").slice_rows())
    assert total["unit"] == "Han character"
    assert total["words"] == 9
    assert total["groups"]["gender/male"]["mentions"] == 1


def test_streamed_sums_equal_the_estimates_from_whole_arrays():
    random = np.random.default_rng(5)
    words = random.integers(0, 300, 60).astype(np.float64)
    mentions = random.poisson(0.02 * words[:, None], (60, 3)).astype(np.float64)
    pronouns = random.poisson(0.3, (60, 2)).astype(np.float64)
    words[0] = 0
    mentions[0] = 0
    halves = MentionSums(3), MentionSums(3)
    halves[0].add(words[1:20], mentions[1:20], pronouns[1:20])
    halves[1].add(words[20:], mentions[20:], pronouns[20:])
    halves[0].merge(halves[1])
    whole = clustered_rate(mentions[:, 1], words)
    streamed = halves[0].rate(1)
    assert whole is not None and streamed is not None
    assert halves[0].documents == 59
    assert streamed.value == pytest.approx(1e6 * whole.value)
    assert halves[0].pronoun_log_ratio() == clustered_log_ratio(pronouns[1:, 0], pronouns[1:, 1])
