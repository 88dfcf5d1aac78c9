"""A planted rule that drops one group's documents more often is measured exactly."""

from __future__ import annotations

import pytest

from bias_audit import disparity
from bias_audit.corpus import open_corpus
from bias_audit.scanners import LanguageScan

SHORT, BLOCKED = 1, 2


def measure(
    prepared, rows, *, min_documents: int = 1, langs: tuple[str, ...] = ("en",)
) -> dict[tuple[str, str], dict]:
    corpus = open_corpus(*prepared(rows))
    scans = {
        lang: LanguageScan(lang, corpus.legend, min_count=5, prior_share=0.1) for lang in langs
    }
    for batch in corpus.batches():
        if batch.lang in scans:
            scans[batch.lang].add(batch)
    found = disparity.compare_rules(
        [scan.disparity for scan in scans.values()], min_documents=min_documents
    )
    return {(row["reason"], row["group"]): row for row in found}


def planted() -> list[tuple[str, str, str, int]]:
    """100 Muslim documents of which 40 are blocked, 200 others of which 20 are; 30 of each are too short."""
    rows = [
        ("A Muslim family.", "web", "en", (BLOCKED if i < 40 else 0) | (SHORT if i % 10 < 3 else 0))
        for i in range(100)
    ]
    return rows + [
        ("A happy family.", "web", "en", (BLOCKED if i < 20 else 0) | (SHORT if i >= 170 else 0))
        for i in range(200)
    ]


def test_a_planted_rule_is_measured_exactly(prepared):
    row = measure(prepared, planted())["blocked_word", "religion/muslim"]
    assert (row["drop_rate"]["value"], row["drop_rate"]["n"]) == (0.4, 100)
    assert (row["other_drop_rate"]["value"], row["other_drop_rate"]["n"]) == (0.1, 200)
    assert row["risk_ratio"]["value"] == pytest.approx(4.0)
    assert row["stratified_risk_ratio"]["value"] == pytest.approx(4.0)
    assert row["stratified_risk_ratio"]["low"] > 2
    assert row["pass_ratio"]["value"] == pytest.approx(0.6 / 0.9, abs=1e-6)
    assert row["four_fifths_warning"] is True
    assert row["p_holm"] < 0.001


def test_every_reason_of_a_document_counts_and_not_only_the_first(prepared):
    table = measure(prepared, planted())
    assert table["too_short", "religion/muslim"]["drop_rate"]["value"] == 0.3
    assert table["too_short", "religion/muslim"]["other_drop_rate"]["value"] == 0.15
    dropped = table["(dropped)", "religion/muslim"]
    assert dropped["drop_rate"]["value"] == (40 + 6 * 3) / 100
    assert dropped["other_drop_rate"]["value"] == (20 + 30) / 200


def test_a_rule_that_never_fires_and_a_group_never_mentioned_have_no_row(prepared):
    table = measure(prepared, planted())
    assert {reason for reason, _ in table} == {"too_short", "blocked_word", "(dropped)"}
    assert {group for _, group in table} == {"religion/muslim"}


def test_a_group_in_too_few_documents_has_no_row(prepared):
    assert measure(prepared, planted(), min_documents=101) == {}


def test_a_difference_that_only_comes_from_the_source_disappears_when_strata_are_compared(prepared):
    rows = [("She left.", "tweets", "en", SHORT if i % 10 < 8 else 0) for i in range(200)]
    rows += [("Rain today.", "tweets", "en", SHORT if i % 10 < 8 else 0) for i in range(50)]
    rows += [("She left.", "wiki", "en", SHORT if i % 10 < 1 else 0) for i in range(50)]
    rows += [("Rain today.", "wiki", "en", SHORT if i % 10 < 1 else 0) for i in range(200)]
    row = measure(prepared, rows)["too_short", "gender/female"]
    assert row["risk_ratio"]["value"] == pytest.approx(0.66 / 0.24)
    assert row["stratified_risk_ratio"]["value"] == pytest.approx(1.0)
    assert row["strata"] == 2
    assert row["p_holm"] == 1.0


def test_a_difference_that_only_comes_from_length_disappears_too(prepared):
    rows = [("he " * 100, "web", "en", 0) for _ in range(40)] + [
        ("rain " * 100, "web", "en", 0) for _ in range(10)
    ]
    rows += [("he left", "web", "en", SHORT if i % 2 else 0) for i in range(10)]
    rows += [("rain left", "web", "en", SHORT if i % 2 else 0) for i in range(40)]
    row = measure(prepared, rows)["too_short", "gender/male"]
    assert row["risk_ratio"]["value"] == pytest.approx(0.1 / 0.4)
    assert row["stratified_risk_ratio"]["value"] == pytest.approx(1.0)


def test_languages_are_strata_of_one_row(prepared):
    rows = [("She left.", "web", "en", BLOCKED if i < 4 else 0) for i in range(10)]
    rows += [("Rain fell.", "web", "en", BLOCKED if i < 2 else 0) for i in range(10)]
    rows += [("她走了。", "web", "zh", BLOCKED if i < 4 else 0) for i in range(10)]
    rows += [("下雨了。", "web", "zh", BLOCKED if i < 2 else 0) for i in range(10)]
    row = measure(prepared, rows, langs=("en", "zh"))["blocked_word", "gender/female"]
    assert row["strata"] == 2
    assert row["stratified_risk_ratio"]["value"] == pytest.approx(2.0)
    assert row["drop_rate"]["n"] == 20


def test_a_rule_that_drops_everything_is_no_disparity(prepared):
    rows = [("She left.", "web", "en", SHORT)] * 30 + [("Rain fell.", "web", "en", SHORT)] * 30
    row = measure(prepared, rows)["too_short", "gender/female"]
    assert row["risk_ratio"]["value"] == 1.0
    assert row["p_holm"] == 1.0
    assert row["pass_ratio"] is None
    assert row["four_fifths_warning"] is False
