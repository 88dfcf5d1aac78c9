"""Every planted case of the demo site ends as it was meant to: each outcome of the funnel occurs."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from crawlers.demo.site import PLANTED
from gristmill import cli
from gristmill.corpus.shards import open_shard
from gristmill.runs.finished import FinishedRun, list_runs

RULES = {"gopher", "too_short", "extraction_failed", "bad_charset"}
Row = dict[str, Any]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, FinishedRun]:
    """The demo site crawled and prepared, as `make demo` does it, by step."""
    out = tmp_path_factory.mktemp("demo")
    configs = repository / "configs"
    assert cli.run(["crawl", "--config", str(configs / "crawl/demo.toml"), "--out", str(out)]) == 0
    assert (
        cli.run(["prepare", "--config", str(configs / "prepare/demo.toml"), "--out", str(out)]) == 0
    )
    return {run.step: run for run in list_runs(out)}


@pytest.fixture(scope="session")
def fates(demo: dict[str, FinishedRun]) -> dict[str, Row]:
    """By URL: the document with its decision, and the names of all its reasons."""
    legend = demo["decide"].details["reasons"]
    documents = (
        pq.read_table(demo["annotate"].files("documents/")).drop_columns(["signature"]).to_pylist()
    )
    decisions = pq.read_table(demo["decide"].files("decisions/")).to_pylist()
    found = {}
    for document, decision in zip(documents, decisions, strict=True):
        reasons = [name for bit, name in enumerate(legend) if decision["reasons"] >> bit & 1]
        found[document["url"]] = {**document, **decision, "why": reasons}
    return found


def planted(outcome: str) -> list[Any]:
    cases = [case for case in PLANTED if case.outcome == outcome and case.step != "crawl"]
    assert cases, outcome
    return cases


@pytest.mark.parametrize("outcome", ["opt_out", "language"])
def test_a_refusal_or_a_foreign_language_drops_the_document_for_that_reason(
    fates: dict[str, Row], outcome: str
) -> None:
    for case in planted(outcome):
        assert outcome in fates[case.locator]["why"], case.name


@pytest.mark.parametrize("outcome", ["exact_duplicate", "near_duplicate"])
def test_of_a_copy_and_its_original_exactly_one_stays(fates: dict[str, Row], outcome: str) -> None:
    for case in planted(outcome):
        assert case.original is not None
        pair = [fates[case.locator], fates[case.original]]
        assert any(outcome in row["why"] for row in pair), case.name
        ids = {row["id"] for row in fates.values() if row["keep"]}
        assert all(
            row["kept_id"] in ids or row["kept_id"] in {r["id"] for r in fates.values()}
            for row in pair
            if row["why"]
        )
        assert sum(row["keep"] for row in pair) <= 1


def test_junk_is_dropped_by_rules(fates: dict[str, Row]) -> None:
    for case in planted("gopher") + planted("too_short"):
        assert fates[case.locator]["why"], case.name
        assert not set(fates[case.locator]["why"]) & {
            "exact_duplicate",
            "near_duplicate",
            "opt_out",
        }, case.name


def test_personal_data_is_masked_in_what_leaves_the_corpus(
    demo: dict[str, FinishedRun], fates: dict[str, Row]
) -> None:
    import sentencepiece

    packed = demo["pack"]
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(packed.file("tokenizer/tokenizer.model"))
    )
    shards = [path for path in packed.files("") if path.suffix == ".arrow"]
    texts = {
        row["id"]: processor.decode(row["input_ids"])
        for path in shards
        for row in open_shard(path).to_pylist()
    }
    for case in planted("pii"):
        row = fates[case.locator]
        assert row["personal"], case.name
        raw = row["text"].encode()
        found = [raw[span["start"] : span["end"]].decode() for span in row["personal"]]
        if row["keep"]:
            assert not any(value in texts[row["id"]] for value in found), case.name
            assert any(
                f"<{name}>" in texts[row["id"]] for name in ("EMAIL", "PHONE", "IP", "ID")
            ), case.name
    assert any(fates[case.locator]["keep"] for case in planted("pii"))


def test_broken_pages_are_counted_and_broken_items_are_quarantined(
    demo: dict[str, FinishedRun], fates: dict[str, Row]
) -> None:
    counts = demo["annotate"].counts
    assert (
        counts["dropped:empty_body"] == counts["dropped:no_text"] == counts["dropped:redirect"] == 1
    )
    quarantine = pq.read_table(demo["annotate"].files("quarantine/")).to_pylist()
    assert sorted(row["reason"] for row in quarantine) == ["bad_item", "bad_item"]
    for case in planted("extraction_failed") + planted("redirect"):
        if case.step == "prepare":
            assert case.locator not in fates, case.name


def test_what_the_crawl_refused_or_failed_to_fetch_is_in_its_ledger(
    demo: dict[str, FinishedRun],
) -> None:
    counts = demo["crawl"].counts
    names = {key.split(":")[-1] for key in counts}
    for case in PLANTED:
        if case.step == "crawl":
            assert case.outcome in names, case.name


def test_every_step_balances(demo: dict[str, FinishedRun]) -> None:
    for step in ("annotate", "decide", "pack"):
        counts = demo[step].counts
        assert counts["read"] == counts["kept"] + counts["dropped"] + counts["quarantined"], step
    assert demo["decide"].counts["read"] == demo["annotate"].counts["kept"]
    assert demo["pack"].counts["kept"] == demo["decide"].counts["kept"]


def test_licences_and_refusals_travel_from_the_capture_to_the_document(
    fates: dict[str, Row],
) -> None:
    licences = {row["licence"] for row in fates.values()}
    assert {"CC0-1.0", "PSF-2.0", "unknown"} <= licences
    refused = [row for row in fates.values() if row["opt_out"]]
    assert refused
    assert all(row["evidence"] for row in refused)


def test_authors_of_posts_are_pseudonyms(fates: dict[str, Row]) -> None:
    posts = [row for row in fates.values() if row["kind"] == "social"]
    assert len(posts) > 50
    assert all(len(row["author"]) == 32 and "@" not in row["author"] for row in posts)


def test_the_vocabulary_has_the_chinese_of_the_demo_as_pieces(
    demo: dict[str, FinishedRun], fates: dict[str, Row]
) -> None:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(demo["tokenizer"].file("tokenizer/tokenizer.model"))
    )
    texts = [row["text"] for row in fates.values() if row["lang"] == "zh" and row["keep"]]
    ids = [number for text in texts for number in processor.encode(text)]
    bytes_share = sum(processor.is_byte(number) for number in ids) / len(ids)
    assert bytes_share < 0.2
