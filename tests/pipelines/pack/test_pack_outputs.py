"""What comes out at the end, from real small runs: mixed shards, exported text, a document's story."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill import cli
from gristmill.corpus.shards import open_shard
from gristmill.errors import ConfigError
from gristmill.runs.finished import FinishedRun, find_latest, list_runs
from pipelines.export_text.config import ExportTextConfig
from pipelines.export_text.graph import SCAFFOLD, choose_columns
from pipelines.export_text.writers import format_json_lines

WORDS = "the mill of stone water that and with have old man said river bread flour door house night road field".split()


def text_of(number, lang):
    rng = random.Random(number)
    if lang == "zh":
        return "".join(
            "".join(
                rng.choices("的是在了和有不一人为这中老师教室学生读书工程新桥河上早去市场", k=14)
            )
            + "。"
            for _ in range(9)
        )
    return " ".join(f"The {' '.join(rng.choices(WORDS, k=9))}." for _ in range(12))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder with the runs of 90 documents in two sources and languages."""
    folder = tmp_path_factory.mktemp("outputs")
    rows = []
    for number in range(90):
        lang = "zh" if number % 3 == 0 else "en"
        licence = {"license": "CC-BY-4.0"} if lang == "zh" else {}
        rows.append(
            {
                "id": f"d{number}",
                "text": text_of(number, lang),
                "source": f"s-{lang}",
                "type": "wiki",
                **licence,
            }
        )
    rows[1]["text"] += " Write to the.miller@example.org for more of the flour."
    rows.append({**rows[4], "id": "copy"})
    lines = folder / "tale.jsonl"
    lines.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    options = [
        "annotate.split_bytes=20000",
        "tokenizer.vocab_size=600",
        "pack.validation=0.2",
        "pack.test=0.1",
        "decide.preset=none",
    ]
    assert (
        cli.run(["prepare", "--in", str(lines), "--out", str(folder / "runs"), *sets(options)]) == 0
    )
    return folder / "runs"


def sets(options):
    return [word for option in options for word in ("--set", option)]


def newest(out, step):
    return find_latest(out, step)


def arrows(run):
    return {file.path: file.sha256 for file in run.data_files() if file.path.endswith(".arrow")}


def test_a_run_opens_with_datasets_as_all_its_splits(out, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="the extra `dev` brings datasets")
    run = newest(out, "pack")
    loaded = datasets.load_from_disk(str(run.path))
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: sums["documents"] for split, sums in run.details["splits"].items()
    }
    assert cli.run(["shards", "verify", str(run.path)]) == 0


# ---- mixtures and memory


def pack(out, where, *options, memory="1G", workers=1):
    decided, tokenizer = newest(out, "decide").path, newest(out, "tokenizer").path
    words = [
        "--in",
        decided,
        "--tokenizer",
        tokenizer,
        "--out",
        where,
        "--memory",
        memory,
        "--workers",
        workers,
    ]
    base = ["pack.validation=0.2", "pack.test=0.1"]
    assert cli.run(["pack", *map(str, words), *sets([*base, *options])]) == 0
    return newest(where, "pack")


def test_shards_are_equal_for_any_memory_and_workers_and_of_the_size_asked_for(out, tmp_path):
    options = ["pack.shard_bytes=4000"]
    found = [
        pack(out, tmp_path / f"{m}-{w}", *options, memory=m, workers=w)
        for m, w in (("1G", 1), ("1M", 1), ("1G", 2))
    ]
    assert arrows(found[0]) == arrows(found[1]) == arrows(found[2])
    train = [file.bytes for file in found[0].data_files("train/") if file.path.endswith(".arrow")]
    assert len(train) > 3 and sum(train) / len(train) < 2 * 4000


def test_a_mixture_is_planned_told_and_reached(out, tmp_path, capsys):
    options = [
        'pack.mixture.by=["lang"]',
        "pack.mixture.weights={'lang=zh'=4.0}",
        "pack.mixture.max_repeats=8",
    ]
    run = pack(out, tmp_path, *options)
    told = capsys.readouterr().err
    assert "the training split is planned as" in told and "the training split holds" in told
    by_key = {row["key"]: row for row in run.details["mixture"]}
    assert by_key["lang=zh"]["times"] / by_key["lang=en"]["times"] == pytest.approx(4.0)
    counted = dict.fromkeys(("en", "zh"), 0)
    for path in run.files("train/"):
        if path.suffix == ".arrow":
            for row in open_shard(path).to_pylist():
                counted[row["lang"]] += len(row["input_ids"])
    assert counted == {lang: by_key[f"lang={lang}"]["tokens"] for lang in counted}
    plain = newest(out, "pack")
    for split in ("validation", "test"):
        assert [file.sha256 for file in run.data_files(split) if "arrow" in file.path] != []
        assert ids(run, split) == ids(plain, split), (
            "what is held out does not depend on the mixture"
        )


def ids(run, split):
    return [
        id
        for path in run.files(f"{split}/")
        if path.suffix == ".arrow"
        for id in open_shard(path)["id"].to_pylist()
    ]


def test_the_plan_is_printed_without_a_run(out, capsys):
    before = len(list_runs(out))
    words = ["pack", "--plan", "--out", str(out), "--in", str(newest(out, "decide").path)]
    assert cli.run([*words, *sets(['pack.mixture.by=["source","lang"]'])]) == 0
    assert "source=s-zh lang=zh" in capsys.readouterr().out
    assert cli.run(words) == 0
    assert "lang=en" in capsys.readouterr().out and len(list_runs(out)) == before


def test_a_mixture_that_names_nothing_is_refused_before_any_work(out, capsys):
    words = ["pack", "--plan", "--out", str(out), "--in", str(newest(out, "decide").path)]
    assert (
        cli.run(
            [*words, *sets(['pack.mixture.by=["lang"]', "pack.mixture.weights={'lang=de'=4.0}"])]
        )
        == 2
    )
    assert "a weight names what no kept document is" in capsys.readouterr().err
    assert (
        cli.run(
            [
                *words,
                *sets(
                    [
                        'pack.mixture.by=["quality"]',
                        "pack.mixture.quality={signal='nothing', bounds=[1]}",
                    ]
                ),
            ]
        )
        == 2
    )
    assert "documents have no such number" in capsys.readouterr().err


# ---- exported text


def export(out, where, *options, workers=1):
    words = [
        "export-text",
        "--in",
        str(newest(out, "decide").path),
        "--out",
        str(where),
        "--workers",
        str(workers),
    ]
    assert cli.run([*words, *sets(options)]) == 0
    return newest(where, "export-text")


def texts_of(run: FinishedRun):
    return {
        row["id"]: row for path in run.files("text/") for row in pq.read_table(path).to_pylist()
    }


def test_kept_documents_are_exported_masked_with_all_their_columns(out, tmp_path):
    run = export(out, tmp_path)
    found = texts_of(run)
    assert (
        run.counts["read"] == 91
        and run.counts["kept"] == len(found) == 90
        and run.counts["dropped:decided"] == 1
    )
    assert sum("<EMAIL>" in row["text"] for row in found.values()) == 1
    assert not any("the.miller@" in row["text"] for row in found.values())
    columns = set(next(iter(found.values())))
    assert {
        "id",
        "text",
        "url",
        "licence",
        "source",
        "lang",
        "cluster",
        "repeats",
        "token_count",
    } - columns <= {"token_count"}
    assert not columns & set(SCAFFOLD)


@pytest.mark.parametrize(
    ("compression", "ending"), [("zstd", ".jsonl.zst"), ("gzip", ".jsonl.gz"), ("none", ".jsonl")]
)
def test_json_lines_hold_the_same_documents_and_open_with_datasets(
    out, tmp_path, monkeypatch, compression, ending
):
    run = export(
        out, tmp_path, "export_text.format=jsonl", f"export_text.compression={compression}"
    )
    files = run.files("text/")
    assert all(path.name.endswith(ending) for path in files)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        "json",
        data_files=[str(path) for path in files],
        split="train",
        cache_dir=str(tmp_path / "c"),
    )
    wanted = texts_of(export(out, tmp_path / "parquet"))
    assert {row["id"]: row["text"] for row in loaded} == {
        id: row["text"] for id, row in wanted.items()
    }
    first = loaded[0]
    assert first["url_hash"] is None or len(first["url_hash"]) == 16


def test_exports_are_equal_for_any_number_of_workers_and_a_rerun_does_nothing(
    out, tmp_path, capsys
):
    for options in ((), ("export_text.format=jsonl",)):
        one, two = (export(out, tmp_path / f"{w}", *options, workers=w) for w in (1, 2))
        assert [file.sha256 for file in one.data_files("text/")] == [
            file.sha256 for file in two.data_files("text/")
        ]
    capsys.readouterr()
    export(out, tmp_path / "1")
    assert "finished before" in capsys.readouterr().err


def test_columns_are_chosen_and_masking_is_turned_off(out, tmp_path):
    run = export(
        out, tmp_path, "export_text.columns=['id','text']", "export_text.mask_personal=false"
    )
    found = texts_of(run)
    assert all(set(row) == {"id", "text"} for row in found.values())
    assert sum("the.miller@example.org" in row["text"] for row in found.values()) == 1


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("signature", pa.binary())])
    assert choose_columns(schema, ()) == ["id", "text"] and choose_columns(
        schema, ("signature", "text")
    ) == [
        "signature",
        "text",
    ]
    with pytest.raises(ConfigError, match="documents have no such column"):
        choose_columns(schema, ("text", "absent"))
    with pytest.raises(ValueError, match="must name `text`"):
        ExportTextConfig(columns=("id",))


def test_json_keeps_what_json_can_hold():
    moment = pa.array([0], pa.timestamp("s", tz="UTC"))
    columns = {
        "h": pa.array([2**64 - 1], pa.uint64()),
        "n": pa.array([float("nan")]),
        "f": pa.array([1.5], pa.float32()),
        "t": moment,
        "b": pa.array([b"\x00\xff"]),
        "s": pa.array(["中\n\"'\u2028"]),
        "z": pa.array([None], pa.string()),
        "l": pa.array([["a"]]),
        "i": pa.array([2**53 - 1]),
    }
    raw = format_json_lines(pa.RecordBatch.from_pydict(columns))
    assert raw.count(b"\n") == 1
    assert json.loads(raw) == {
        "h": "ffffffffffffffff",
        "n": None,
        "f": 1.5,
        "t": "1970-01-01T00:00:00.000+00:00",
        "b": "00ff",
        "s": "中\n\"'\u2028",
        "z": None,
        "l": ["a"],
        "i": 2**53 - 1,
    }


# ---- a document's story


def test_a_row_of_a_shard_is_told_with_its_licence_and_where_it_was_read(out, capsys):
    run = newest(out, "pack")
    assert cli.run(["shards", "verify", str(run.path)]) == 0
    capsys.readouterr()
    for row in range(3):
        assert cli.run(["shards", "decode", str(run.path), "--row", str(row), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["story"]["licence"] == ("CC-BY-4.0" if told["lang"] == "zh" else "unknown")
        assert told["story"]["capture"]["file"] == "tale.jsonl" and told["text"].strip()
    assert cli.run(["shards", "decode", str(run.path), "--row", "0"]) == 0
    assert "licence" in capsys.readouterr().out
