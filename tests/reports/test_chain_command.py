"""From run folders to the page: a whole chain is collected, followed, drawn twice with equal bytes, and refused where it is unsound."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gristmill import cli
from gristmill.config import Config
from gristmill.corpus.document import DOCUMENT_SCHEMA
from gristmill.corpus.shards import shard_name, shard_schema, write_shard
from gristmill.errors import RunError, UserError
from gristmill.runs import receipts, storage
from gristmill.runs.finished import LEDGER, MANIFEST, find_latest, list_runs, open_run
from gristmill.runs.ledger import Entry, Tally, ledger_table, totals
from gristmill.runs.run import start_run
from reports.chain import command as report_command
from reports.chain.collect import collect_report, withhold_secrets
from reports.chain.page import draw_page
from reports.chain.reasons import list_conditions

PERSONAL = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("type", pa.string())]))
DOCUMENTS = DOCUMENT_SCHEMA.append(pa.field("personal", PERSONAL, nullable=False))
DECISIONS = pa.schema(
    [
        ("keep", pa.bool_()),
        ("reasons", pa.uint64()),
        ("cluster", pa.int64()),
        ("cluster_size", pa.int32()),
        ("kept_id", pa.string()),
        ("similarity", pa.float32()),
    ]
)
QUARANTINE = pa.schema(
    [
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("compressed_offset", pa.int64()),
        ("reason", pa.string()),
        ("error", pa.string()),
    ]
)
NASTY = '<script>alert("1")</script>'


class Settings(Config):
    """A small step's configuration."""

    word: str = ""
    author_key: str = "only we know this"


class Chain:
    """Writes the runs of a small corpus into one folder, each from the ones before."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def seal(self, step, inputs=(), *, write=lambda path: None, entries=(), word="", **sealed):
        given = [found.as_input() for found in inputs]
        with start_run(step, out=self.out, config=Settings(word=word), inputs=given) as run:
            if run.finished:
                return run.finished
            write(run.path)
            if entries:
                with storage.open_for_commit(run.path / LEDGER) as file:
                    pq.write_table(ledger_table({0: entries}), file)
                read = sum(entry.documents for entry in entries)
                sealed["counts"] = {"read": read, **totals(entries), **sealed.get("counts", {})}
            return run.finish(**sealed)

    def crawl(self):
        details = {
            "fetched": {"news": 5},
            "licences": {},
            "policy": "strict-eu",
            "failures": [f"http_500  {NASTY}"],
        }
        return self.seal("crawl", entries=[Entry("news", "", "kept", "", 4, 40)], details=details)

    def annotate(self, inputs=(), word=""):
        tally = Tally()
        tally.add("kept", source="news", lang="en", documents=3, size=60)
        tally.add("quarantined", "bad_item", source="news", lang="und")

        def write(path):
            table(
                path / "documents" / "part-00000.parquet",
                [
                    document("a", f"{NASTY} a@b.org"),
                    document("b", "Twice."),
                    document("c", "Twice."),
                ],
                DOCUMENTS,
            )
            row = {
                "file": "/machine/secret/00000.warc.gz",
                "offset": 12,
                "compressed_offset": -1,
                "reason": "bad_item",
                "error": NASTY,
            }
            table(path / "quarantine" / "part-00000.parquet", [row], QUARANTINE)

        return self.seal("annotate", inputs, write=write, entries=tally.entries(), word=word)

    def decide(self, annotated, word=""):
        tally = Tally()
        tally.add("kept", source="news", lang="en", size=20)
        tally.add("dropped", "exact_duplicate", source="news", lang="en", size=20)
        tally.add("dropped", "too_short", source="news", lang="en", size=20)
        rows = [
            decision(False, 4),
            decision(cluster=1, size=2),
            decision(False, 3, cluster=1, size=2, kept_id="b", similarity=1.0),
        ]

        def write(path):
            table(path / "decisions" / "part-00000.parquet", rows, DECISIONS)

        details = {
            "reasons": ["exact_duplicate", "near_duplicate", "too_short"],
            "documents": annotated.id,
        }
        return self.seal(
            "decide", [annotated], write=write, entries=tally.entries(), details=details, word=word
        )

    def tokenizer(self, decided):
        details = {"tokenizer": "7e", "vocab_size": 300, "sample_documents": 1, "sample_bytes": 20}
        return self.seal("tokenizer", [decided], counts={"documents": 1}, details=details)

    def pack(self, decided, tokenizer, word=""):
        entries = [
            Entry("news", "en", "dropped", "decided", 2, 0),
            Entry("news", "en", "kept", "", 1, 6),
        ]
        row = {
            "input_ids": np.arange(9),
            "sentences": [0],
            "id": "b",
            "source": "news",
            "lang": "en",
            "bytes": 6,
        }

        def write(path):
            schema = shard_schema(300, {})
            write_shard(
                path / "train" / shard_name(0, 1),
                [pa.RecordBatch.from_pylist([row], schema)],
                schema,
            )

        def files(path):
            return [receipts.describe_file(path, f"train/{shard_name(0, 1)}", rows=1)]

        details = {"tokenizer": "7e", "vocab_size": 300, "splits": {}}
        given = [found.as_input() for found in (decided, tokenizer)]
        with start_run("pack", out=self.out, config=Settings(word=word), inputs=given) as run:
            if run.finished:
                return run.finished
            write(run.path)
            with storage.open_for_commit(run.path / LEDGER) as file:
                pq.write_table(ledger_table({0: entries}), file)
            return run.finish(
                counts={"read": 3, **totals(entries), "tokens": 9},
                details=details,
                files=files(run.path),
            )

    def pretrain(self, packed, objective="causal"):
        last = {"step": 2, "validation_loss": 1.5, "bits_per_byte": 2.5}

        def write(path):
            rows = [
                {"step": 0, "validation_loss": 3.0, "bits_per_byte": 4.0},
                {"step": 1, "tokens": 8, "loss": 2.0},
                last,
            ]
            storage.commit_bytes(
                path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode()
            )
            storage.commit_json(
                path / "samples.json",
                {"kind": "continuation", "samples": [{"prompt": "Once", "text": NASTY}]},
            )

        details = {
            "objective": objective,
            "tokenizer": "7e",
            "first_validation": {"step": 0, "validation_loss": 3.0, "bits_per_byte": 4.0},
            "last_validation": last,
            "export": {"max_logit_difference": 0.0, "tokenizer_texts_checked": 3},
        }
        return self.seal(
            "pretrain",
            [packed],
            write=write,
            counts={"steps": 2, "tokens": 16, "parameters": 5},
            details=details,
            word=objective,
        )

    def audit(self, *inputs):
        content = {
            "schema": "gristmill.audit/2",
            "models": [],
            "rules": None,
            "corpus": None,
            "limits": [NASTY],
        }

        def write(path):
            storage.commit_json(path / "audit.json", content)
            storage.commit_bytes(path / "audit.html", b"<!doctype html>")

        return self.seal(
            "audit",
            inputs,
            write=write,
            counts={"pairs_scored": 0},
            details={"headlines": [f"  {NASTY}"]},
        )

    def whole(self):
        crawled = self.crawl()
        annotated = self.annotate([crawled])
        decided = self.decide(annotated)
        packed = self.pack(decided, self.tokenizer(decided))
        return self.audit(
            annotated, decided, self.pretrain(packed), self.pretrain(packed, "mlm_nsp")
        )


def table(path, rows, schema):
    with storage.open_for_commit(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema), file)


def document(id, text):
    at = text.find("a@b.org")
    spans = [{"start": at, "end": at + 7, "type": "email"}] if at >= 0 else []
    return {
        "id": id,
        "text": text,
        "source": "news",
        "kind": "news",
        "lang": "en",
        "lang_score": 0.9,
        "script": "Latn",
        "script_share": 1.0,
        "licence": "CC0-1.0",
        "opt_out": [],
        "evidence": [{"signal": "rel=license", "value": NASTY}],
        "personal": spans,
        "capture": {"file": "00000.warc.gz", "offset": 7, "item": 0},
    }


def decision(keep=True, reasons=0, cluster=-1, size=1, kept_id=None, similarity=None):
    return {
        "keep": keep,
        "reasons": reasons,
        "cluster": cluster,
        "cluster_size": size,
        "kept_id": kept_id,
        "similarity": similarity,
    }


@pytest.fixture
def chain(tmp_path):
    return Chain(tmp_path / "runs")


@pytest.fixture
def audited(chain):
    return chain.whole()


# ---- collecting


def test_the_whole_chain_of_one_run_is_collected(audited, tmp_path):
    facts = collect_report([audited], tmp_path / "report.html")
    assert [(run.step, run.depth, len(run.parents)) for run in facts.runs] == [
        ("crawl", 0, 0),
        ("annotate", 1, 1),
        ("decide", 2, 1),
        ("tokenizer", 3, 1),
        ("pack", 4, 2),
        ("pretrain", 5, 1),
        ("pretrain", 5, 1),
        ("audit", 6, 4),
    ]
    assert facts.folder == "runs"
    assert facts.corpus is not None and facts.corpus.documents == 3
    assert facts.tokens is not None and [
        (s.split, s.documents, s.tokens, s.bytes) for s in facts.tokens.slices
    ] == [("train", 1, 9, 6)]
    assert facts.tokens.lengths == (0, 0, 0, 1)
    assert [training.objective for training in facts.trainings] == ["causal", "mlm_nsp"]
    assert [audit.headlines for audit in facts.audits] == [(f"  {NASTY}",)]


def test_a_quarantined_record_names_its_file_without_the_folders_of_the_machine(audited, tmp_path):
    found = collect_report([audited], tmp_path / "report.html").quarantined
    assert [(q.step, q.file, q.offset, q.reason, q.error) for q in found] == [
        ("annotate", "00000.warc.gz", 12, "bad_item", NASTY)
    ]


def test_the_audit_is_linked_as_seen_from_the_page(audited, tmp_path):
    links = collect_report([audited], tmp_path / "site" / "report.html").audits[0].links
    assert links == (
        ("audit.html", f"../runs/{audited.id}/audit.html"),
        ("audit.json", f"../runs/{audited.id}/audit.json"),
    )


def test_secret_settings_are_withheld_at_any_depth():
    config = {
        "author_key": "s",
        "keys": "shown",
        "monkey": "shown",
        "a": {"api_token": "s", "n": 1},
        "list": [{"password": "s"}],
        "key": 5,
    }
    assert withhold_secrets(config) == {
        "author_key": "(withheld)",
        "keys": "shown",
        "monkey": "shown",
        "a": {"api_token": "(withheld)", "n": 1},
        "list": [{"password": "(withheld)"}],
        "key": 5,
    }


def test_a_foreign_tokenizer_brings_its_chain_but_not_its_numbers(chain, tmp_path):
    foreign = chain.tokenizer(chain.decide(chain.annotate(word="other"), word="other"))
    own = chain.decide(chain.annotate(word="own"))
    facts = collect_report([chain.pack(own, foreign)], tmp_path / "report.html")
    assert [(run.step, run.main) for run in facts.runs] == [
        ("annotate", True),
        ("decide", True),
        ("annotate", False),
        ("decide", False),
        ("tokenizer", True),
        ("pack", True),
    ]
    decided = facts.last("decide")
    assert decided is not None and decided.id == own.id


def test_runs_of_several_corpora_are_refused(chain, tmp_path):
    annotated = chain.annotate()
    ends = [chain.decide(annotated), chain.decide(annotated, word="other")]
    with pytest.raises(UserError, match="several corpora") as caught:
        collect_report(ends, tmp_path / "report.html")
    assert all(end.id in str(caught.value) for end in ends)


def test_a_run_whose_source_was_redone_is_refused(chain, tmp_path):
    annotated = chain.annotate()
    decided = chain.decide(annotated)
    manifest = storage.read_json(annotated.path / MANIFEST)
    storage.commit_json(annotated.path / MANIFEST, {**manifest, "counts": {"kept": 4}})
    with pytest.raises(RunError, match="redone"):
        collect_report([decided], tmp_path / "report.html")


# ---- the page of a real chain


def test_the_page_holds_what_every_step_recorded(audited, tmp_path):
    drawn = draw_page(collect_report([audited], tmp_path / "report.html"))
    headline = "1 document from 1 source in English, and a causal model and a BERT trained on them"
    for words in (
        headline,
        "<code>too_short</code>",
        "CC0-1.0",
        "strict-eu",
        "http_500",
        "2.500",
        "bad_item",
    ):
        assert words in drawn
    assert (
        "The ledger balances: read = kept + dropped + quarantined in crawl, annotate, decide and pack."
        in drawn
    )


def test_nothing_of_the_crawled_text_becomes_markup_and_no_secret_or_machine_path_is_told(
    audited, tmp_path
):
    drawn = draw_page(collect_report([audited], tmp_path / "report.html"))
    assert "<script" not in drawn and drawn.count("&lt;script&gt;") >= 6
    assert "a@b.org" not in drawn and "[email]" in drawn
    assert "only we know this" not in drawn and "(withheld)" in drawn
    assert str(tmp_path) not in drawn and "/machine" not in drawn


def test_the_same_runs_give_the_same_bytes(audited, tmp_path):
    first, second = (
        draw_page(collect_report([audited], tmp_path / "report.html")) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("step", ["crawl", "annotate", "decide", "tokenizer", "pack", "pretrain"])
def test_every_step_can_be_the_last(audited, tmp_path, step):
    end = find_latest(audited.path.parent, step)
    drawn = draw_page(collect_report([end], tmp_path / "report.html"))
    assert end.id in drawn and "Not part of this chain: " in drawn


def test_a_decide_run_without_its_documents_is_told_of_by_its_ledger(chain, tmp_path):
    decided = chain.decide(chain.annotate())
    alone = tmp_path / "alone" / decided.id
    alone.parent.mkdir()
    decided.path.rename(alone)
    drawn = draw_page(collect_report([open_run(alone)], tmp_path / "report.html"))
    assert "<code>exact_duplicate</code>" in drawn
    assert "This chain has no documents beside it" in drawn


# ---- the command


def gristmill(*arguments):
    return CliRunner().invoke(cli.build_app(), ["report", *map(str, arguments)])


def test_the_command_writes_the_page_and_prints_its_path_last(audited, tmp_path):
    done = gristmill(audited.path, "--out", tmp_path / "a" / "report.html")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(tmp_path / "a" / "report.html")
    assert (
        (tmp_path / "a" / "report.html").read_text().startswith('<!doctype html>\n<html lang="en">')
    )
    assert "good: The ledger balances" in done.stderr


def test_with_json_the_command_prints_one_object(audited, tmp_path):
    done = gristmill(audited.path, "--out", tmp_path / "report.html", "--json")
    told = json.loads(done.stdout)
    assert told["path"] == str(tmp_path / "report.html")
    assert told["bytes"] == (tmp_path / "report.html").stat().st_size
    assert told["runs"][0].startswith("crawl-") and told["runs"][-1] == audited.id
    assert (
        "look: 1 record could not be read in annotate (bad_item 1): each is named below."
        in told["verdict"]
    )
    assert told["seconds"] >= 0


def test_without_a_run_the_newest_corpus_is_told_of_with_all_its_models_and_its_newest_audit(
    audited, chain, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    models = [run.id for run in list_runs("runs", "pretrain")]
    packed = find_latest("runs", "pack")
    assert sorted(run.id for run in report_command.find_newest(Path("runs"))) == sorted(
        [packed.id, *models, audited.id]
    )
    later = chain.audit(find_latest("runs", "pretrain"))
    done = gristmill()
    assert done.exit_code == 0, done.output
    drawn = (tmp_path / "report.html").read_text()
    assert later.id in drawn and audited.id not in drawn and all(id in drawn for id in models)
    assert "no RUN is given: the newest pack run, 2 of its models, 1 of its audits" in done.stderr
    assert all(id in done.stderr for id in [packed.id, *models, later.id])


def test_runs_of_another_corpus_are_left_out_and_named(audited, chain, capsys):
    other = chain.decide(chain.annotate(word="newer"), word="newer")
    packed = chain.pack(other, find_latest(chain.out, "tokenizer"))
    model = chain.pretrain(packed, "other")
    stray = chain.annotate(word="newest")
    assert [run.id for run in report_command.find_newest(chain.out)] == [packed.id, model.id]
    told = capsys.readouterr().err
    assert f"left out, newer but not of this corpus: {stray.id}" in told and audited.id not in told


def test_an_audit_of_a_run_that_was_redone_since_is_left_out(audited, chain):
    for place in chain.out.glob("pretrain-*/manifest.json"):
        storage.commit_json(place, {**storage.read_json(place), "exit_code": 0, "version": "other"})
    assert [run.step for run in report_command.find_newest(chain.out)] == [
        "pack",
        "pretrain",
        "pretrain",
    ]


@pytest.mark.parametrize("step", ["crawl", "annotate", "decide", "pack"])
def test_without_a_pack_run_the_furthest_step_of_a_corpus_is_taken(chain, step):
    crawled = chain.crawl()
    if step != "crawl":
        annotated = chain.annotate([crawled])
    if step in ("decide", "pack"):
        decided = chain.decide(annotated)
    if step == "pack":
        chain.pack(decided, chain.tokenizer(decided))
    assert [run.step for run in report_command.find_newest(chain.out)] == [step]


def test_an_empty_folder_or_a_folder_as_page_is_refused_with_a_way_out(audited, tmp_path):
    with pytest.raises(RunError, match="gristmill report RUN"):
        report_command.find_newest(tmp_path / "nothing")
    with pytest.raises(UserError, match=re.escape("--out ")):
        report_command.write_page([audited], tmp_path)


def test_the_command_needs_neither_arrow_nor_frameworks_to_be_offered():
    code = (
        "import sys, typer; from gristmill import report_command; report_command.register(typer.Typer()); "
        "print([name for name in ('torch', 'apache_beam', 'numba', 'reports.chain.page') if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


# ---- what is missing or damaged is a sentence, never a crash


FILES = (
    "annotate-*/documents/part-00000.parquet",
    "annotate-*/quarantine/part-00000.parquet",
    "decide-*/decisions/part-00000.parquet",
    "pack-*/train/*.arrow",
    "pretrain-*/metrics.jsonl",
    "pretrain-*/samples.json",
    "audit-*/audit.json",
)


@pytest.mark.parametrize("harm", ["gone", "cut"])
@pytest.mark.parametrize("pattern", FILES)
def test_a_data_file_that_is_gone_or_cut_is_named_with_what_to_do(
    audited, chain, tmp_path, pattern, harm
):
    (place, *_) = sorted(chain.out.glob(pattern))
    place.unlink() if harm == "gone" else place.write_bytes(place.read_bytes()[:-1])
    done = gristmill(audited.path, "--out", tmp_path / "report.html")
    assert isinstance(done.exception, UserError) and done.exception.exit_code == 2
    assert place.name in str(done.exception) and "to fix" in str(done.exception)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["telemetry.json", "ledger.parquet"])
def test_runs_without_their_bookkeeping_are_told_of_by_the_rest(audited, chain, tmp_path, name):
    for place in chain.out.glob(f"*/{name}"):
        place.unlink()
    drawn = draw_page(collect_report([audited], tmp_path / "report.html"))
    assert audited.id in drawn and "CC0-1.0" in drawn


def test_an_unfinished_run_is_refused_with_what_to_do(audited, tmp_path):
    (audited.path / MANIFEST).unlink()
    done = gristmill(audited.path, "--out", tmp_path / "report.html")
    assert isinstance(done.exception, RunError) and "unfinished" in str(done.exception)


@pytest.mark.parametrize("gone", ["crawl", "annotate", "decide", "tokenizer", "pack", "pretrain"])
def test_a_run_that_was_deleted_leaves_a_page_about_the_others(audited, chain, tmp_path, gone):
    for place in chain.out.glob(f"{gone}-*"):
        place.rename(tmp_path / place.name)
    drawn = draw_page(collect_report([audited], tmp_path / "report.html"))
    assert (
        audited.id in drawn and "Not part of this chain: " in drawn
        if gone != "tokenizer"
        else audited.id in drawn
    )


# ---- hostile words in every place that people or servers fill


@pytest.fixture
def hostile(chain):
    """A chain whose sources, reasons, languages, file names and details are all markup."""
    rows = [
        Entry(NASTY, NASTY, "kept", "", 4, 40),
        Entry(NASTY, NASTY, "dropped", NASTY, 1, 1),
        Entry(NASTY, NASTY, "quarantined", NASTY, 1, 0),
    ]
    details = {"fetched": {NASTY: 5}, "policy": NASTY, "failures": [NASTY]}
    crawled = chain.seal("crawl", entries=rows, details=details)
    text = document(NASTY, NASTY) | {
        "source": NASTY,
        "licence": NASTY,
        "lang": NASTY,
        "opt_out": [NASTY],
    }
    text["capture"] = {"file": NASTY, "offset": 1, "item": 0}

    def documents(path):
        table(path / "documents" / "part-00000.parquet", [text, text], DOCUMENTS)

    files = [{"name": NASTY, "bytes": 1, "records": 1}]
    kept = [Entry(NASTY, NASTY, "kept", "", 2, 40)]
    annotated = chain.seal(
        "annotate",
        [crawled],
        write=documents,
        entries=kept,
        details={"input_files": files, "passed_over": [NASTY]},
    )

    def decisions(path):
        pair = [
            decision(cluster=1, size=2),
            decision(False, 1, cluster=1, size=2, kept_id=NASTY, similarity=0.8),
        ]
        table(path / "decisions" / "part-00000.parquet", pair, DECISIONS)

    rule = {
        "name": NASTY,
        "preset": NASTY,
        "signal": NASTY,
        "min": 1,
        "by_language": {NASTY: {"min": 2}},
        "only_languages": [NASTY],
    }
    entries = [Entry(NASTY, NASTY, "kept", "", 1, 20), Entry(NASTY, NASTY, "dropped", NASTY, 1, 20)]
    return chain.seal(
        "decide",
        [annotated],
        write=decisions,
        entries=entries,
        details={"reasons": [NASTY], "rules": [rule]},
        word=NASTY,
    )


def test_no_place_that_others_fill_lets_markup_through(hostile, tmp_path):
    drawn = draw_page(collect_report([hostile], tmp_path / "report.html"))
    assert "<script" not in drawn and drawn.count("&lt;script&gt;") > 40


def test_hostile_words_change_no_sum(hostile, tmp_path, tables):
    found = tables(draw_page(collect_report([hostile], tmp_path / "report.html")))
    assert [row[2:] for row in found["What each step read, and what became of it"][1:]] == [
        ["6", "4", "1", "1"],
        ["2", "2", "0", "0"],
        ["2", "1", "1", "0"],
    ]
    assert found["Rules that hold for a document"][1][:3] == [NASTY, "1", "1"]
    assert found["Rules that hold for a document"][1][5:] == ["1", "1"]


@pytest.mark.parametrize("step", ["crawl", "annotate", "decide", "pack"])
def test_the_page_says_of_each_step_what_its_manifest_says(audited, chain, tmp_path, tables, step):
    counts = find_latest(chain.out, step).counts
    found = tables(draw_page(collect_report([audited], tmp_path / "report.html")))
    (row,) = [row for row in found["What each step read, and what became of it"] if row[0] == step]
    assert [int(cell) for cell in row[2:]] == [
        counts[name] for name in ("read", "kept", "dropped", "quarantined")
    ]


def test_the_page_counts_tokens_and_models_as_the_manifests_do(audited, chain, tmp_path, tables):
    found = tables(draw_page(collect_report([audited], tmp_path / "report.html")))
    assert found["Splits"][1] == [
        "train",
        "1",
        str(find_latest(chain.out, "pack").counts["tokens"]),
        "100.0 %",
        "6 B",
    ]
    assert [row[2:5] for row in found["Models"][1:]] == [["5", "2", "16"]] * 2


def test_what_annotate_and_decide_really_write_can_be_reported(tmp_path, tables):
    pytest.importorskip("apache_beam")
    prose = (
        "The river rose in the night, and the people of the town carried their books to the upper floors of the houses. "
        "A baker who works while others sleep knows the place as nobody else does, and hears its news before it is printed. "
        "They say that the mill was older than the church, and that it stood idle for a century with its wheel in the dry bed."
    )
    rows = [
        {"id": id, "text": prose, "license": "CC0-1.0", "source": "own"} for id in ("one", "two")
    ]
    rows.append({"id": "short", "text": "No.", "source": "own"})
    (tmp_path / "in.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + "{broken\n"
    )
    out = tmp_path / "runs"
    for arguments in (["annotate", "--in", tmp_path / "in.jsonl"], ["decide", "--in", "annotate"]):
        given = [
            str(find_latest(out, "annotate").path) if a == "annotate" and i else str(a)
            for i, a in enumerate(arguments)
        ]
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from gristmill.cli import main; main()",
                *given,
                "--out",
                str(out),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 3), done.stderr
    facts = collect_report([find_latest(out, "decide")], tmp_path / "report.html")
    drawn = draw_page(facts)
    assert "The ledger balances" in drawn
    assert facts.corpus is not None and facts.corpus.documents == 3
    assert {reason.name: reason.first for reason in facts.corpus.reasons if reason.first} == {
        "exact_duplicate": 1,
        "too_few_words": 1,
    }
    assert [(q.step, q.file) for q in facts.quarantined] == [("annotate", "in.jsonl")]
    assert [
        (reason.name, reason.any, reason.alone) for reason in facts.corpus.reasons if reason.first
    ] == [
        ("exact_duplicate", 1, 1),
        ("too_few_words", 1, 0),
    ]
    (pair,) = facts.corpus.duplicates.largest
    assert (pair.size, pair.comparison.differing) == (2, 0) and pair.comparison.alike == len(
        prose.split()
    )
    decide = facts.last("decide")
    known = list_conditions(decide, facts.corpus.signals)
    assert [one.name for one in known] == decide.details["reasons"]
    assert [one.name for one in known if "not recorded" in one.drops_if] == []
    assert [
        one.name for one in known if one.origin.startswith("preset") and ": " not in one.signal
    ] == []
    assert {one.name: one.drops_if for one in known}["too_few_words"] == "words < 50"
    assert "<summary>1 input file, " in drawn
    (listed,) = [
        rows
        for caption, rows in tables(drawn).items()
        if caption.startswith("Input files of annotate-")
    ]
    assert [(row[0], row[2]) for row in listed[1:]] == [("in.jsonl", "4")]
    assert "3 records of its input files" not in drawn and "4 records of its input files" in drawn
