"""The four steps of preparation as a user runs them: outcomes, reruns, workers, kills, broken input."""

import gzip
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill import cli
from gristmill.runs.finished import FinishedRun, find_latest, list_runs, manifest_digest
from pipelines.annotate import graph as annotating

WORDS = (
    "the be to of and that have with nurse ward window light morning carpenter oak grain saw station train coast sister "
    "gossip report evening care tea bread house street river bridge market letter doctor farmer field winter summer road "
    "school lesson chalk child horse cart mill flour stone wheel water baker oven night engine driver ticket office clerk "
    "paper ink table chair kitchen garden apple pear wall gate tower bell church song choir captain harbour boat rope sail "
    "wind storm cloud rain snow mountain valley forest path hunter dog fox bird egg nest summer cheese butter milk cow "
    "sheep wool loom cloth tailor coat button pocket coin purse bank king queen law judge court lawyer thief prison key"
).split()
CHARACTERS = (
    "的是在了和有不一人为这中老师教室学生读书工程新桥河上早去市场买菜朋友说话护士夜里睡因病时候舒服山水云月风花春夏秋冬"
    "东西南北高低长短红黄蓝白黑来往坐立行走吃喝看听写画唱跳笑哭开关大小多少父母兄弟姐妹田地米面油盐茶酒城村路车马船"
)

SMALL = [
    "--set",
    "annotate.split_bytes=9000",
    "--set",
    "tokenizer.vocab_size=520",
    "--set",
    "pack.shard_bytes=6000",
    "--set",
    "pack.validation=0.2",
    "--set",
    "pack.test=0.1",
]


def article(number: int) -> str:
    """A text of its own that passes the rules: English, and every fourth Chinese."""
    rng = random.Random(number)
    if number % 4 == 3:
        starts = "老师说这是 我们在那里 他不知道有 昨天的晚上 孩子们和他 她想了一下 因为人很多 在城市里的 如果有时间 这一个故事".split()
        return "".join(
            f"{start}{''.join(rng.choices(CHARACTERS, k=12))}了。"
            for start in rng.sample(starts, 10)
        )
    return " ".join(
        f"The {' '.join(rng.choices(WORDS, k=6))} of {' '.join(rng.choices(WORDS, k=6))}."
        for _ in range(7)
    )


def rows(count: int) -> list[dict[str, str]]:
    return [
        {"id": f"a{n}", "text": article(n), "source": "tale", "type": "wiki", "license": "CC0-1.0"}
        for n in range(count)
    ]


def write_lines(path: Path, records: list[dict[str, str]]) -> Path:
    path.write_text(
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 documents, of which one is an exact and one a near copy, one too short, and one names a mail address."""
    records = rows(117)
    records.append(
        {
            **records[5],
            "id": "exact-copy",
            "text": records[5]["text"].replace(" ", "  ").replace("saw", "SAW").replace("T", "t"),
        }
    )
    records.append(
        {**records[9], "id": "near-copy", "text": records[9]["text"] + " and that was all of it."}
    )
    records.append({**records[0], "id": "short", "text": "too short to be of use to anyone."})
    records[1]["text"] += (
        " write to the.miller@example.org or call +49 30 1234567 to have more of the flour."
    )
    return write_lines(tmp_path_factory.mktemp("corpus") / "tale.jsonl", records)


def prepare(corpus: Path, out: Path, *options: str) -> int:
    return cli.run(["prepare", "--in", str(corpus), "--out", str(out), *SMALL, *options])


@pytest.fixture(scope="session")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four runs of the corpus, made by one worker in this process."""
    out = tmp_path_factory.mktemp("runs")
    assert prepare(corpus, out) == 0
    return out


def by_step(out: Path) -> dict[str, FinishedRun]:
    return {run.step: run for run in list_runs(out)}


def contents(out: Path) -> dict[str, str]:
    """Every sealed file of every run by path and hash, manifests included: what byte identity compares."""
    found = {f"{run.id}/manifest": manifest_digest(run) for run in list_runs(out)}
    for run in list_runs(out):
        assert run.verify() == []
        found |= {f"{run.id}/{file.path}": file.sha256 for file in run.data_files()}
    return found


def spawn(corpus: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        "from gristmill.cli import main; main()",
        "prepare",
        "--in",
        str(corpus),
    ]
    return subprocess.Popen(
        [*command, "--out", str(out), *SMALL, *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


# outcomes


def test_every_record_has_a_fate_and_the_sums_equal_an_independent_count(
    corpus: Path, prepared: Path
) -> None:
    lines = sum(1 for line in corpus.read_text().splitlines() if line)
    for step in ("annotate", "decide", "pack"):
        counts = by_step(prepared)[step].counts
        assert counts["read"] == lines == 120
        assert counts["kept"] + counts["dropped"] + counts["quarantined"] == lines


def test_copies_and_short_texts_are_dropped_with_their_reasons(prepared: Path) -> None:
    counts = by_step(prepared)["decide"].counts
    dropped = {key: number for key, number in counts.items() if key.startswith("dropped:")}
    assert dropped == {
        "dropped:exact_duplicate": 1,
        "dropped:near_duplicate": 1,
        "dropped:too_few_words": 1,
    }


def test_a_dropped_copy_names_one_that_is_kept_and_how_alike_they_are(prepared: Path) -> None:
    decided = by_step(prepared)["decide"]
    documents = pq.read_table(
        by_step(prepared)["annotate"].files("documents/"), columns=["id"]
    ).to_pylist()
    decisions = pq.read_table(decided.files("decisions/")).to_pylist()
    kept = {
        row["id"] for row, decision in zip(documents, decisions, strict=True) if decision["keep"]
    }
    copies = [decision for decision in decisions if decision["kept_id"]]
    assert len(copies) == 2
    assert all(copy["kept_id"] in kept and copy["cluster_size"] == 2 for copy in copies)
    assert sorted(copy["similarity"] == 1.0 for copy in copies) == [False, True]
    assert all(copy["similarity"] > 0.8 for copy in copies)


def test_the_copy_of_a_near_copy_names_the_document_that_is_kept(tmp_path: Path) -> None:
    """A1 and A2 are equal, B is like both and older: B stays, and both others name B."""
    older = {**rows(1)[0], "id": "b", "date": "1999-01-01"}
    newer = {**older, "text": older["text"] + " and that was all of it.", "date": "2020-01-01"}
    corpus = write_lines(
        tmp_path / "three.jsonl",
        [{**newer, "id": "a1"}, {**newer, "id": "a2"}, older, *rows(30)[1:]],
    )
    assert prepare(corpus, tmp_path / "runs") == 0
    made = by_step(tmp_path / "runs")
    ids = pq.read_table(made["annotate"].files("documents/"), columns=["id"])["id"].to_pylist()
    decisions = pq.read_table(made["decide"].files("decisions/")).to_pylist()
    assert [decision["keep"] for decision in decisions[:3]] == [False, False, True]
    assert [decision["kept_id"] for decision in decisions[:3]] == [ids[2], ids[2], None]
    counts = made["decide"].counts
    assert (counts["dropped:exact_duplicate"], counts["dropped:near_duplicate"]) == (1, 1)


def test_shards_hold_every_kept_document_once_with_ids_that_decode_to_its_masked_text(
    prepared: Path,
) -> None:
    import sentencepiece

    packed, annotated = by_step(prepared)["pack"], by_step(prepared)["annotate"]
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(packed.file("tokenizer/tokenizer.model"))
    )
    shards = [path for path in packed.files("") if path.suffix == ".arrow"]
    from gristmill.corpus.shards import open_shard

    found = {row["id"]: row for path in shards for row in open_shard(path).to_pylist()}
    texts = {
        row["id"]: row["text"]
        for row in pq.read_table(annotated.files("documents/"), columns=["id", "text"]).to_pylist()
    }
    assert len(found) == packed.counts["kept"] == 117
    masked = [id for id, row in found.items() if processor.decode(row["input_ids"]) != texts[id]]
    assert len(masked) == 1
    text = processor.decode(found[masked[0]]["input_ids"])
    assert "write to <EMAIL> or call <PHONE> to have" in text
    assert "miller" not in text


def test_sentence_offsets_cut_a_document_where_its_sentences_start(prepared: Path) -> None:
    import sentencepiece

    from gristmill.corpus.shards import open_shard

    packed = by_step(prepared)["pack"]
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(packed.file("tokenizer/tokenizer.model"))
    )
    row = next(
        row for row in open_shard(packed.files("train/data-")[0]).to_pylist() if row["lang"] == "en"
    )
    cuts = [*row["sentences"], len(row["input_ids"])]
    sentences = [processor.decode(row["input_ids"][a:b]) for a, b in itertools.pairwise(cuts)]
    assert sentences[0].startswith(processor.decode(row["input_ids"])[:20])
    assert len(sentences) == 7
    assert all(sentence.rstrip().endswith(".") for sentence in sentences)


def test_hugging_face_datasets_opens_the_shards_in_all_three_ways(prepared: Path) -> None:
    datasets = pytest.importorskip("datasets")
    packed = by_step(prepared)["pack"]
    names = [str(path) for path in packed.files("train/data-")]
    expected = packed.details["splits"]["train"]["documents"]
    assert len(names) > 1
    assert datasets.load_from_disk(str(packed.path / "train")).num_rows == expected
    assert sum(datasets.Dataset.from_file(name).num_rows for name in names) == expected
    opened = datasets.load_dataset(
        "arrow", data_files=names, split="train", cache_dir=str(packed.path.parent / "cache")
    )
    assert opened.num_rows == expected


def test_no_personal_data_reaches_the_vocabulary(prepared: Path) -> None:
    model = by_step(prepared)["tokenizer"].file("tokenizer/tokenizer.model").read_bytes()
    assert b"miller@" not in model


# reruns


def test_running_again_does_nothing_and_says_so(
    corpus: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(prepared)
    assert prepare(corpus, prepared) == 0
    told = capsys.readouterr()
    assert told.err.count("finished before") == 4
    assert told.out.splitlines()[-1] == str(by_step(prepared)["pack"].path)
    assert contents(prepared) == before


def test_a_changed_threshold_decides_and_packs_again_and_annotates_nothing(
    corpus: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = by_step(prepared)["tokenizer"].path
    options = ["--tokenizer", str(tokenizer), "--set", "decide.thresholds.too_few_words.min=5"]
    assert prepare(corpus, prepared, *options) == 0
    told = capsys.readouterr().err
    assert "annotate  finished before" in told
    assert "decide  finished before" not in told
    assert sorted(run.step for run in list_runs(prepared)) == [
        "annotate",
        "decide",
        "decide",
        "pack",
        "pack",
        "tokenizer",
    ]
    assert by_step(prepared)["decide"].counts["kept"] == 118
    prepare(corpus, prepared)  # what was asked for last is what the others' tests find


@pytest.mark.parametrize(
    "moved", ["near.min_similarity=0.9", "rules.long={signal='chars',max=100000}"]
)
def test_prepare_keeps_its_tokenizer_where_only_a_threshold_moved_and_says_so(
    corpus: Path, prepared: Path, capsys: pytest.CaptureFixture[str], moved: str
) -> None:
    before = {run.id for run in list_runs(prepared)}
    assert prepare(corpus, prepared, "--set", f"decide.{moved}") == 0
    assert "tokenizer  kept: only thresholds changed" in capsys.readouterr().err
    made = [run.step for run in list_runs(prepared) if run.id not in before]
    assert made == ["decide", "pack"]
    assert (
        by_step(prepared)["pack"].details["tokenizer"]
        == by_step(prepared)["tokenizer"].details["tokenizer"]
    )
    prepare(corpus, prepared)


@pytest.mark.parametrize("other", [["--new-tokenizer"], ["--set", "decide.languages=['en']"]])
def test_another_tokenizer_is_trained_where_it_is_asked_for_or_more_than_a_threshold_changed(
    corpus: Path, tmp_path: Path, other: list[str]
) -> None:
    assert prepare(corpus, tmp_path) == 0
    assert prepare(corpus, tmp_path, "--set", "decide.thresholds.too_few_words.min=5", *other) == 0
    assert [run.step for run in list_runs(tmp_path)].count("tokenizer") == 2


def test_an_empty_validation_split_opens_and_is_told_with_the_way_out(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(corpus, tmp_path, "--set", "pack.validation=0.000001") == 0
    assert "--set pack.validation=" in capsys.readouterr().err
    assert datasets.load_from_disk(str(by_step(tmp_path)["pack"].path / "validation")).num_rows == 0


def test_the_manifest_names_every_file_that_was_read(corpus: Path, prepared: Path) -> None:
    [row] = by_step(prepared)["annotate"].details["input_files"]
    assert row == {"name": "tale.jsonl", "bytes": corpus.stat().st_size, "records": 120}


def make_older(run: FinishedRun, columns: list[str]) -> None:
    """Leave columns out of the documents of a run, as if a version that did not know them had written it."""
    for path in run.files("documents/"):
        table = pq.read_table(path).drop_columns(columns)
        pq.write_table(table, path)
    manifest = json.loads((run.path / "manifest.json").read_text())
    for file in manifest["files"]:
        file["bytes"] = (run.path / file["path"]).stat().st_size
    (run.path / "manifest.json").write_text(json.dumps(manifest))


NEW = ["script", "script_share", "stated_lang", "url_hash", "line_hashes"]


@pytest.mark.parametrize("columns", [["text_bytes"], NEW])
def test_documents_of_another_version_are_refused_before_work(
    columns: list[str], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["annotate", "--in", str(corpus), "--out", str(tmp_path), *SMALL[:2]]) == 0
    [run] = list_runs(tmp_path)
    make_older(run, columns)
    assert cli.run(["decide", "--in", str(run.path), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "written by another version" in said and "run `gristmill annotate` again" in said
    assert ", ".join(sorted(columns)) in " ".join(said.split())


def test_what_an_earlier_version_decided_is_still_explored_and_packed(
    corpus: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = [name for name in NEW if name != "url_hash"]  # this version decides by it
    older = pa.schema(
        [field for field in annotating.SCHEMA if field.name not in new], annotating.SCHEMA.metadata
    )
    with monkeypatch.context() as earlier:
        earlier.setattr(annotating, "SCHEMA", older)
        assert prepare(corpus, tmp_path) == 0
    steps = by_step(tmp_path)
    assert not set(new) & set(pq.read_schema(steps["annotate"].files("documents/")[0]).names)
    for step in ("annotate", "decide"):
        page = tmp_path / f"{step}.html"
        assert (
            cli.run(["explore", str(steps[step].path), "--out", str(page)]) == 0 and page.exists()
        )
    given = ["--in", str(steps["decide"].path), "--tokenizer", str(steps["tokenizer"].path)]
    assert (
        cli.run(["pack", *given, "--out", str(tmp_path), *SMALL[4:], "--set", "pack.seed=3"]) == 0
    )
    again = [run for run in list_runs(tmp_path, "pack") if run.id != steps["pack"].id]
    assert [run.counts["tokens"] for run in again] == [by_step(prepared)["pack"].counts["tokens"]]


def test_a_changed_input_is_another_run(corpus: Path, prepared: Path, tmp_path: Path) -> None:
    other = write_lines(tmp_path / "tale.jsonl", rows(40))
    assert prepare(other, tmp_path / "runs") == 0
    assert by_step(tmp_path / "runs")["annotate"].id != by_step(prepared)["annotate"].id


def test_a_takedown_drops_the_document_and_the_list_is_an_input_by_content(
    corpus: Path, prepared: Path, tmp_path: Path
) -> None:
    annotated = by_step(prepared)["annotate"]
    victim = pq.read_table(annotated.files("documents/")[0], columns=["id"])["id"][3].as_py()
    names = []
    for folder, row in (("one", victim), ("two", victim), ("three", "f" * 32)):
        listed = tmp_path / folder / "takedown.csv"
        listed.parent.mkdir()
        listed.write_text(f"kind,value,reason,date\nid,{row},asked for it,2026-11-23\n")
        os.utime(listed, (len(names), len(names)))
        code = cli.run(
            [
                "decide",
                "--in",
                str(annotated.path),
                "--out",
                str(prepared),
                "--set",
                f"decide.takedown={listed}",
            ]
        )
        assert code == 0
        names.append(find_latest(prepared, "decide"))
    assert names[0].id == names[1].id != names[2].id
    assert [run.counts.get("dropped:takedown", 0) for run in names] == [1, 1, 0]
    prepare(corpus, prepared)


def test_an_author_listed_by_name_is_refused_and_by_pseudonym_is_matched(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotated = by_step(prepared)["annotate"]
    listed = tmp_path / "takedown.csv"
    listed.write_text(
        "kind,value,reason,date\nauthor,https://m.example/@bob,asked for it,2026-11-23\n"
    )
    options = [
        "--in",
        str(annotated.path),
        "--out",
        str(prepared),
        "--set",
        f"decide.takedown={listed}",
    ]
    assert cli.run(["decide", *options]) == 2
    assert "gristmill pseudonym" in capsys.readouterr().err
    assert cli.run(["pseudonym", "https://m.example/@bob", "--set", "annotate.author_key=k"]) == 0
    from pipelines.annotate.graph import make_pseudonym

    assert capsys.readouterr().out.strip() == make_pseudonym("https://m.example/@bob", "k")
    assert cli.run(["pseudonym", "bob"]) == 2


# the output does not depend on how it was made


@pytest.mark.parametrize(
    "options", [("--workers", "2"), ("--memory", "1K"), ("--workers", "2", "--memory", "2K")]
)
def test_workers_and_memory_change_no_byte(
    corpus: Path, prepared: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    code, _, err = finish(spawn(corpus, tmp_path, *options))
    assert code == 0, err
    expected = {
        name: sha
        for name, sha in contents(prepared).items()
        if name.split("/")[0] in {r.id for r in list_runs(tmp_path)}
    }
    assert contents(tmp_path) == expected
    assert len(list_runs(tmp_path)) == 4


def test_the_order_of_the_inputs_changes_no_shard(tmp_path: Path) -> None:
    from gristmill.corpus.shards import open_shard

    records = rows(60)
    first, second = (
        write_lines(tmp_path / "a.jsonl", records[:30]),
        write_lines(tmp_path / "b.jsonl", records[30:]),
    )
    shards = []
    for name, order in (("x", [first, second]), ("y", [second, first])):
        inputs = [word for path in order for word in ("--in", str(path))]
        assert cli.run(["prepare", *inputs, "--out", str(tmp_path / name), *SMALL]) == 0
        packed = by_step(tmp_path / name)["pack"]
        files = [path for path in packed.files("") if path.suffix == ".arrow"]
        shards.append(
            {path.relative_to(packed.path): open_shard(path).to_pydict() for path in files}
        )
    assert shards[0] == shards[1]


# crashes

KILL_AT = {
    "annotate": ("annotate-*/receipts/annotate", 1),
    "decide, after the keys": ("decide-*/receipts/keys", 2),
    "decide, while writing": ("decide-*/receipts/decide", 1),
    "pack, while encoding": ("pack-*/receipts/encode", 1),
    "pack, while writing": ("pack-*/receipts/shards", 1),
}


def wait_for(process: subprocess.Popen[str], reached: Callable[[], bool]) -> bool:
    """Wait until `reached`; False where the process ended before. Waits on the process, so nothing sleeps."""
    while not reached():
        try:
            process.wait(timeout=0.002)
        except subprocess.TimeoutExpired:
            continue
        return reached()
    return True


@pytest.mark.parametrize("place", KILL_AT)
def test_killed_at_any_place_and_run_again_the_bytes_are_those_of_an_undisturbed_run(
    corpus: Path, prepared: Path, tmp_path: Path, place: str
) -> None:
    pattern, number = KILL_AT[place]
    process = spawn(corpus, tmp_path)
    assert wait_for(process, lambda: len(list(tmp_path.glob(f"{pattern}/[0-9]*.json"))) >= number)
    process.kill()
    finish(process)
    code, _out, err = finish(spawn(corpus, tmp_path))
    assert code == 0, err
    assert "were done before and are reused" in err or "finished before" in err
    made = contents(tmp_path)
    assert made == {name: sha for name, sha in contents(prepared).items() if name in made}
    assert len(list_runs(tmp_path)) == 4
    assert not list(tmp_path.rglob(".part-*"))
    assert not list(tmp_path.rglob("spill"))


def test_a_killed_worker_process_ends_the_run_with_75_and_the_same_command_continues(
    corpus: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A function of the user's asks for processes; small splits leave work for when one dies.
    (tmp_path / "mill.py").write_text(
        "import pyarrow.compute as pc\ndef size(batch): return pc.utf8_length(batch['text'])\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    many = [
        "--workers",
        "2",
        "--set",
        "annotate.split_bytes=1500",
        "--set",
        "annotate.signals.size=mill:size",
    ]
    process = spawn(corpus, tmp_path, *many)
    workers: list[psutil.Process] = []

    def one_works() -> bool:
        workers[:] = [
            c
            for c in psutil.Process(process.pid).children(recursive=True)
            if "pipelines.engine.worker" in _words(c)
        ]
        return bool(workers) and bool(
            list(tmp_path.glob("annotate-*/receipts/annotate/[0-9]*.json"))
        )

    assert wait_for(process, one_works)
    workers[0].send_signal(signal.SIGKILL)
    code, _, err = finish(process)
    assert (code, "a worker process died (return code" in err) == (75, True), err
    assert "Traceback" not in err
    code, _, err = finish(spawn(corpus, tmp_path, *many))
    assert (code, "splits of `annotate` were done before and are reused" in err) == (0, True), err
    assert by_step(tmp_path)["decide"].counts == by_step(prepared)["decide"].counts
    assert by_step(tmp_path)["pack"].counts["kept"] == by_step(prepared)["pack"].counts["kept"]


def _words(child: psutil.Process) -> list[str]:
    try:
        return child.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_sigterm_stops_with_75_and_leaves_nothing_running(corpus: Path, tmp_path: Path) -> None:
    process = spawn(corpus, tmp_path, "--workers", "2")
    assert wait_for(
        process, lambda: bool(list(tmp_path.glob("annotate-*/receipts/annotate/[0-9]*.json")))
    )
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    code, _, err = finish(process)
    assert (code, "stopped by SIGTERM" in err) == (75, True), err
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_ctrl_c_with_two_workers_is_told_in_a_few_lines(corpus: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from gristmill.cli import main; main()",
        "prepare",
        "--in",
        str(corpus),
    ]
    options = ["--out", str(tmp_path), *SMALL, "--workers", "2"]
    process = subprocess.Popen(
        [*command, *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert wait_for(
        process, lambda: bool(list(tmp_path.glob("annotate-*/receipts/annotate/[0-9]*.json")))
    )
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    code, _, err = finish(process)
    assert (code, "stopped by Ctrl-C" in err, "Traceback" in err) == (75, True, False), err
    assert len(err.splitlines()) < 12, err
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_two_processes_cannot_write_one_run(corpus: Path, tmp_path: Path) -> None:
    first = spawn(corpus, tmp_path)
    assert wait_for(
        first, lambda: bool(list(tmp_path.glob("annotate-*/receipts/annotate/[0-9]*.json")))
    )
    first.send_signal(signal.SIGSTOP)
    try:
        code, _, err = finish(spawn(corpus, tmp_path))
        assert (code, "another process is writing this run" in err) == (2, True)
    finally:
        first.send_signal(signal.SIGCONT)
    assert finish(first)[0] == 0


def test_a_full_disk_is_said_and_the_same_command_continues(
    corpus: Path, prepared: Path, tmp_path: Path
) -> None:
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY));"
        "from gristmill.cli import main; main()"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "prepare",
        "--in",
        str(corpus),
        "--out",
        str(tmp_path),
        *SMALL,
    ]
    process = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert process.returncode in (1, 2)
    assert list_runs(tmp_path) == []
    assert finish(spawn(corpus, tmp_path))[0] == 0
    made = contents(tmp_path)
    assert made == {name: sha for name, sha in contents(prepared).items() if name in made}


# broken input


def test_a_bad_byte_and_a_cut_line_cost_exactly_those_records(tmp_path: Path) -> None:
    records = rows(30)
    path = write_lines(tmp_path / "bad.jsonl", records)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[6] = lines[6].replace(b".", b"\xff", 1)
    path.write_bytes(b"".join(lines)[:-40])
    code, out, err = finish(spawn(path, tmp_path / "runs"))
    annotated = by_step(tmp_path / "runs")["annotate"]
    assert code == 3
    assert "2 records could not be read" in err
    assert annotated.counts["kept"] == 28
    assert annotated.counts["quarantined"] == 2
    quarantine = pq.read_table(annotated.files("quarantine/")).sort_by("offset").to_pylist()
    places = [(row["file"], row["offset"], row["reason"]) for row in quarantine]
    starts = [sum(map(len, lines[:n])) for n in range(30)]
    assert places == [("bad.jsonl", starts[6], "not_utf8"), ("bad.jsonl", starts[29], "cut_line")]
    assert out.splitlines()[-1] == str(by_step(tmp_path / "runs")["pack"].path)
    assert finish(spawn(path, tmp_path / "runs"))[0] == 3


def test_a_gzip_cut_in_the_middle_keeps_every_whole_line_before_the_cut(tmp_path: Path) -> None:
    records = rows(200)
    whole = "".join(json.dumps(record) + "\n" for record in records).encode()
    packed = gzip.compress(whole, mtime=0)
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    assert prepare(path, tmp_path / "runs") == 3
    annotated = by_step(tmp_path / "runs")["annotate"]
    quarantine = pq.read_table(annotated.files("quarantine/")).to_pylist()
    assert [(row["file"], row["reason"]) for row in quarantine] == [
        ("cut.jsonl.gz", "unknown_remainder")
    ]
    kept = annotated.counts["kept"]
    before = b"".join(whole.splitlines(keepends=True)[:kept])
    assert quarantine[0]["offset"] == len(before)
    assert quarantine[0]["compressed_offset"] == len(packed) // 2
    assert 80 < kept < 120
    texts = pq.read_table(annotated.files("documents/"), columns=["text"])["text"].to_pylist()
    assert texts == [record["text"] for record in records[:kept]]


def test_a_larger_error_budget_ends_well(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "bad.jsonl", rows(20))
    path.write_bytes(path.read_bytes() + b"{broken\n")
    assert prepare(path, tmp_path / "runs") == 3
    assert prepare(path, tmp_path / "runs", "--set", "errors.budget=1") == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--in", "nowhere.jsonl"], "no file matches this input"),
        (["--in", "notes.docx"], "no reader for this kind of file"),
        (["--in", "tale.jsonl", "--set", "annotate.split_byts=5"], "did you mean `split_bytes`"),
        (["--in", "tale.jsonl", "--set", "decide.near.bands=40"], "need more"),
        (
            ["--in", "tale.jsonl", "--set", "decide.presets.wiki=['gofer']"],
            "no such preset of rules",
        ),
        (["--in", "tale.jsonl", "--runner", "DaskRunner"], "loses data without an error"),
        (["--in", "tale.jsonl", "--runner", "DataflowRunner"], "shared storage"),
        (["--in", "tale.jsonl", "--set", "decide.thresholds.too_few_wrods.min=5"], "no such rule"),
        (
            ["--in", "tale.jsonl", "--set", "tokenizer.vocab_size=300000"],
            "a smaller vocabulary: --set tokenizer.vocab_size=",
        ),
        (["--in", "tale.jsonl", "--wrokers", "3"], "No such option"),
        (["tale.jsonl"], "inputs are named with --in: --in tale.jsonl"),
        (
            ["--in", "tale.jsonl", "--set", "pack.validation=0.7", "--set", "pack.test=0.3"],
            "leave nothing to train on",
        ),
        (
            ["--in", "tale.jsonl", "--set", "annotate.columns.text=body"],
            "there are  id, license, source, text, type",
        ),
    ],
)
def test_mistakes_are_told_with_the_way_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "tale.jsonl", rows(12))
    (tmp_path / "notes.docx").write_bytes(b"PK")
    code = cli.run(["prepare", *arguments, "--out", str(tmp_path / "runs")])
    assert (code, told in capsys.readouterr().err) == (2, True)


# runners


def test_the_same_graphs_give_the_same_bytes_on_the_portable_job_server(
    corpus: Path, prepared: Path, tmp_path: Path
) -> None:
    """Beam's Job API, as Spark's and Flink's servers speak it, with workers that loop back to the submitter."""
    options = [
        "--runner",
        "PortableRunner",
        "--",
        "--job_endpoint=embed",
        "--environment_type=LOOPBACK",
    ]
    code, _, err = finish(spawn(corpus, tmp_path, *options))
    assert code == 0, err
    made = contents(tmp_path)
    assert made == {name: sha for name, sha in contents(prepared).items() if name in made}
    assert len(list_runs(tmp_path)) == 4


def test_empty_inputs_beside_others_are_splits_of_no_records_all_the_way_to_the_shards(
    corpus: Path, prepared: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "none.parquet")
    inputs = ["--in", str(tmp_path / "empty.jsonl"), "--in", str(tmp_path / "none.parquet")]
    assert prepare(corpus, tmp_path / "runs", *inputs) == 0
    found, alone = by_step(tmp_path / "runs"), by_step(prepared)
    assert found["annotate"].details["splits"] == alone["annotate"].details["splits"] + 2
    for step in ("annotate", "decide", "pack"):
        assert found[step].counts == alone[step].counts and found[step].verify() == []
