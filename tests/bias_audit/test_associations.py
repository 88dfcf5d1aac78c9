"""Planted associations come back in their order, and shuffled group words come back as nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from bias_audit import lexicon, matcher
from bias_audit.associations import Associations
from bias_audit.corpus import open_corpus
from bias_audit.scanners import LanguageScan

PLANTED = {
    "nurse": 0.95,
    "librarian": 0.8,
    "teacher": 0.65,
    "author": 0.5,
    "lawyer": 0.35,
    "pilot": 0.2,
    "plumber": 0.05,
}


def controlled(seed: int, *, sentences: int = 60, shares: dict[str, float] = PLANTED) -> list[str]:
    """A corpus whose share of female sentences per occupation is planted exactly; sentences are dealt to documents."""
    random = np.random.default_rng(seed)
    lines = [
        f"{'She' if i < round(share * sentences) else 'He'} met the {word} in town."
        for word, share in shares.items()
        for i in range(sentences)
    ]
    random.shuffle(lines)
    return [" ".join(lines[i : i + 3]) for i in range(0, len(lines), 3)]


def associate(
    prepared, texts: list[str], lang: str = "en", min_count: int = 5, prior: float = 0.1
) -> Associations:
    corpus = open_corpus(*prepared([(text, "wiki", lang, 0) for text in texts]))
    found = LanguageScan(lang, corpus.legend, min_count=min_count, prior_share=prior)
    for batch in corpus.batches():
        found.add(batch)
    return found.associations


def gender(rows: list[dict], kind: str = "occupations") -> dict[str, dict]:
    return {row["term"]: row for row in rows if row["axis"] == "gender" and row["kind"] == kind}


def test_planted_associations_are_recovered_in_rank_order(prepared):
    rows = gender(associate(prepared, controlled(1)).rows())
    measured = [rows[word]["log_odds"]["value"] for word in PLANTED]
    assert reference.spearmanr(list(PLANTED.values()), measured).statistic == pytest.approx(1.0)
    assert rows["nurse"]["log_odds"]["low"] > 0 > rows["plumber"]["log_odds"]["high"]
    assert rows["author"]["log_odds"]["low"] < 0 < rows["author"]["log_odds"]["high"]
    assert rows["nurse"]["p_holm"] < 0.001 < 0.9 < rows["author"]["p_holm"]
    assert rows["nurse"]["counts"] == [57, 3]


def test_a_permuted_control_finds_nothing(prepared):
    values, found = [], 0
    for seed in range(6):
        random = np.random.default_rng(seed)
        texts = controlled(seed)
        pronouns = iter(
            random.permutation([w for text in texts for w in text.split() if w in ("She", "He")])
        )
        shuffled = [
            " ".join(next(pronouns) if w in ("She", "He") else w for w in text.split())
            for text in texts
        ]
        rows = gender(
            associate(lambda part, s=seed: prepared(part, name=f"control-{s}"), shuffled).rows()
        )
        values += [
            row["log_odds"]["value"] / (row["log_odds"]["high"] - row["log_odds"]["low"])
            for row in rows.values()
        ]
        found += sum(row["p_holm"] < 0.05 for row in rows.values())
    assert found <= 1
    assert abs(float(np.mean(values))) < 0.15


def test_counts_z_and_ppmi_are_those_worked_out_by_hand(prepared):
    texts = (
        ["She is a nurse."] * 6
        + ["He is a nurse."] * 2
        + ["He is a pilot."] * 8
        + ["Nothing here."] * 4
    )
    found = associate(prepared, texts, min_count=2, prior=100 / 72)
    rows = gender(found.rows())
    a = 100 * 8 / 72
    y1, y2 = 6 + a, 2 + a
    delta = np.log(y1 / (24 + 100 - y1)) - np.log(y2 / (40 + 100 - y2))
    assert rows["nurse"]["counts"] == [6, 2]
    assert rows["nurse"]["log_odds"]["value"] == pytest.approx(delta, abs=1e-6)
    assert rows["nurse"]["log_odds"]["n"] == 8
    assert rows["nurse"]["z"] == pytest.approx(delta / np.sqrt(1 / y1 + 1 / y2), abs=1e-4)
    assert rows["nurse"]["ppmi"] == [pytest.approx(np.log2(6 * 20 / (6 * 8)), abs=1e-4), 0.0]
    assert rows["pilot"]["ppmi"] == [None, pytest.approx(np.log2(8 * 20 / (10 * 8)), abs=1e-4)]
    (totals, _, _) = found.totals()
    assert (
        totals["sentences"] == [6, 10]
        and totals["words"] == [24, 40]
        and totals["all_sentences"] == 20
    )


def test_a_rare_word_seen_beside_one_group_only_is_pulled_towards_zero(prepared):
    texts = ["He is a miner."] * 5 + ["She is a nurse."] * 200 + ["He is a pilot."] * 200
    weak, strong = (
        gender(
            associate(
                lambda part, s=share: prepared(part, name=f"prior-{s}"), texts, prior=share
            ).rows()
        )["miner"]
        for share in (0.001, 0.1)
    )
    assert weak["log_odds"]["value"] < strong["log_odds"]["value"] - 2 < 0


def test_sentences_that_mention_both_groups_count_for_neither(prepared):
    found = associate(prepared, ["She and he saw a nurse.", "She saw a nurse."], min_count=1)
    assert gender(found.rows()) == {}
    assert found.totals()[0]["sentences"] == [1, 0]
    assert found.totals()[0]["sentences_with_both"] == 1


def test_one_document_that_repeats_itself_is_weaker_evidence_than_many(prepared):
    lines = ["She is a nurse. "] * 40 + ["He is a nurse. "] * 40
    spread = associate(lambda part: prepared(part, name="many"), lines)
    bunched = associate(
        lambda part: prepared(part, name="ten"),
        ["".join(lines[i : i + 8]) for i in range(0, 80, 8)],
    )
    wide, narrow = gender(bunched.rows())["nurse"], gender(spread.rows())["nurse"]
    assert wide["counts"] == narrow["counts"] == [40, 40]
    assert wide["z"] == narrow["z"] == 0
    assert wide["log_odds"]["n"] == 10 and narrow["log_odds"]["n"] == 80
    assert wide["log_odds"]["high"] > 2 * narrow["log_odds"]["high"]


def test_one_document_alone_is_no_evidence_however_often_it_repeats_itself(prepared):
    found = associate(prepared, ["She is a nurse. " * 40, "He is a pilot. " * 40])
    assert found.rows() == []
    assert found.totals()[0]["sentences"] == [40, 40]


def test_terms_below_the_minimum_count_are_left_out(prepared):
    texts = ["She is a nurse."] * 4 + ["He is a pilot."] * 5
    assert set(gender(associate(prepared, texts).rows())) == {"pilot"}


def test_chinese_associations_work_the_same_way(prepared):
    rows = gender(associate(prepared, ["她是护士。"] * 8 + ["他是司机。"] * 8, "zh").rows())
    assert rows["护士"]["log_odds"]["value"] > 0 > rows["司机"]["log_odds"]["value"]


def test_dropped_documents_are_not_counted():
    words = lexicon.load_lexicon("en")
    found = Associations(words, min_count=1, prior_share=0.1)
    import pyarrow as pa

    scan = matcher.scan(
        pa.array(["She is a nurse.", "He is a pilot."]), matcher.compile_lexicon(words)
    )
    found.add(scan, np.array([True, False]))
    assert found.totals()[0]["sentences"] == [1, 0]
    assert found.sentences == 1
