"""Exported text as others open it: types that do not depend on the first rows, whole after a kill, refused before work."""

import json
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import processes
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill import cli
from gristmill.runs.finished import FinishedRun, find_latest, manifest_digest
from gristmill.runs.ledger import Tally
from pipelines.export_text.config import ExportTextConfig
from pipelines.export_text.features import describe_feature, format_readme
from pipelines.export_text.graph import _tally_rows
from pipelines.export_text.writers import format_json_lines

WORDS = "the old mill by river had not turned its wheel green moss new owner spring baker bread village stone".split()
MENU = "Home | About the mill | Contact the miller | Imprint of this page"
PUBLISHED = "2021-03-04T05:06:07.089Z"
JSONL = "export_text.format=jsonl"


def text(number: int) -> str:
    rng = random.Random(number)
    return ". ".join(" ".join(rng.choices(WORDS, k=9)) + str(rng.random()) for _ in range(9))


def documents(name: str, count: int, **more: object) -> list[dict[str, object]]:
    return [
        {
            "id": f"{name}{n}",
            "text": text(n + 1000 * ord(name)),
            "url": f"https://{name}.example/{n}",
            "source": name,
            **more,
        }
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two files: one without titles and dates, one with them; six pages with a menu, one of them nothing else."""
    folder = tmp_path_factory.mktemp("export")
    bare, full = documents("a", 60), documents("b", 30, title="On mills", date=PUBLISHED)
    for page in bare[:5]:
        page["text"] = f"{MENU}\n\n{page['text']}"
    bare[5]["text"] = MENU
    full[0]["text"] = f"{text(7)} Write to the.miller@example.org."
    for name, rows in (("a", bare), ("b", full)):
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )
    given = [
        "--in",
        str(folder / "a.jsonl"),
        "--in",
        str(folder / "b.jsonl"),
        "--out",
        str(folder / "runs"),
    ]
    assert cli.run(["annotate", *given, "--set", "annotate.split_bytes=6000"]) == 0
    asked = ["--set", "decide.preset=none", "--set", "decide.repeated.documents=5"]
    assert cli.run(["decide", "--out", str(folder / "runs"), *asked]) == 0
    return folder / "runs"


def words(out: Path, where: Path, *options: str) -> list[str]:
    decided = str(find_latest(out, "decide").path)
    return [
        "export-text",
        "--in",
        decided,
        "--out",
        str(where),
        *(w for o in options for w in ("--set", o)),
    ]


def export(out: Path, where: Path, *options: str) -> FinishedRun:
    assert cli.run(words(out, where, *options)) == 0
    return find_latest(where, "export-text")


def loaded(
    run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *args: str, **more: object
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset(*args, split="train", cache_dir=str(tmp_path / "cache"), **more)


# ---- what others open


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_datasets_opens_json_whose_first_shard_has_no_titles_and_dates(
    out, tmp_path, monkeypatch, compression
):
    run = export(out, tmp_path, JSONL, f"export_text.compression={compression}")
    rows = list(loaded(run, tmp_path, monkeypatch, str(run.path)))
    assert [row["title"] for row in rows] == [None] * 59 + ["On mills"] * 30
    moment = datetime(2021, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
    assert [row["published"] for row in rows[58:60]] == [None, moment]


def test_all_values_are_those_of_parquet_but_for_hashes(out, tmp_path, monkeypatch):
    json_run, parquet = export(out, tmp_path, JSONL), export(out, tmp_path)
    ours = [row for path in parquet.files("text/") for row in pq.read_table(path).to_pylist()]
    theirs = list(loaded(json_run, tmp_path, monkeypatch, str(json_run.path)))
    for row in ours:
        row.update((name, row[name].hex()) for name in ("text_hash", "url_hash"))
    assert theirs == ours


def test_datasets_pandas_and_arrow_open_parquet(out, tmp_path, monkeypatch):
    run = export(out, tmp_path)
    files = [str(path) for path in run.files("text/")]
    assert len(files) > 3
    assert len(loaded(run, tmp_path, monkeypatch, "parquet", data_files=files)) == 89
    pandas = pytest.importorskip("pandas")
    assert sum(len(pandas.read_parquet(path)) for path in files) == 89


def test_every_line_opens_with_arrow_and_hashes_are_text(out, tmp_path):
    run = export(
        out,
        tmp_path,
        JSONL,
        "export_text.compression=none",
        'export_text.columns=["text","line_hashes","reasons"]',
    )
    tables = [pyarrow.json.read_json(path) for path in run.files("text/")]
    assert sum(table.num_rows for table in tables) == 89
    hashes = [one for table in tables for row in table["line_hashes"].to_pylist() for one in row]
    assert hashes and all(isinstance(one, str) and len(one) == 16 for one in hashes)
    sealed = find_latest(out, "annotate").files("documents/")
    made = {
        f"{one:016x}"
        for path in sealed
        for row in pq.read_table(path)["line_hashes"].to_pylist()
        for one in row
    }
    assert set(hashes) <= made


def test_only_json_has_a_readme_and_it_is_sealed(out, tmp_path):
    with_one, without = export(out, tmp_path, JSONL), export(out, tmp_path)
    assert "README.md" in [file.path for file in with_one.data_files()] and with_one.verify() == []
    assert not (without.path / "README.md").exists()


def test_the_next_command_is_the_one_that_works(out, tmp_path, capsys):
    run = export(out, tmp_path, JSONL)
    assert (
        f'next: datasets.load_dataset("{run.path}")   (with zstandard installed)'
        in capsys.readouterr().err
    )
    run = export(out, tmp_path, JSONL, "export_text.compression=gzip")
    assert f'next: datasets.load_dataset("{run.path}")\n' in capsys.readouterr().err
    run = export(out, tmp_path)
    told = f'next: datasets.load_dataset("parquet", data_files="{run.path}/text/*.parquet")\n'
    assert told in capsys.readouterr().err


# ---- what is counted and cut


def test_what_has_no_text_left_is_dropped_and_the_ledger_says_why(out, tmp_path):
    run = export(out, tmp_path)
    rows = [row for path in run.files("text/") for row in pq.read_table(path).to_pylist()]
    assert run.counts["dropped:empty_after_cuts"] == 1 and run.counts["kept"] == len(rows) == 89
    assert run.counts["read"] == 90
    assert not any(MENU in row["text"] or row["text"] != row["text"].strip() for row in rows)
    assert [row["text"][-18:] for row in rows if "<EMAIL>" in row["text"]] == [" Write to <EMAIL>."]
    ledger = pq.read_table(run.path / "ledger.parquet").to_pylist()
    kept = sum(row["bytes"] for row in ledger if row["fate"] == "kept")
    assert kept == sum(len(row["text"].encode()) for row in rows)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.text(max_size=5)), max_size=20
    ),
    reason=st.sampled_from(["", "decided"]),
)
def test_groups_are_counted_as_their_rows_would_be(rows, reason):
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    table = pa.table([pa.array(list(c), pa.string()) for c in columns], ["source", "lang", "text"])
    ours, theirs = Tally(), Tally()
    _tally_rows(ours, reason, table)
    for source, lang, told in rows:
        size = 0 if reason else len(told.encode())
        theirs.add("dropped" if reason else "kept", reason, source=source, lang=lang, size=size)
    assert ours.entries() == theirs.entries()


# ---- whole, or not at all


def contents(run: FinishedRun) -> dict[str, str]:
    assert run.verify() == []
    return {"manifest": manifest_digest(run)} | {
        file.path: file.sha256 for file in run.data_files()
    }


def spawn(out: Path, where: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        "from gristmill.cli import main; main()",
        *words(out, where, *options),
    ]
    return processes.Popen(command, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    "options", [(), (JSONL, "export_text.compression=gzip")], ids=["parquet", "jsonl"]
)
def test_killed_and_run_again_the_bytes_are_those_of_an_undisturbed_run(out, tmp_path, options):
    process = spawn(out, tmp_path / "killed", *options)
    while (
        not any((tmp_path / "killed").glob("export-text-*/receipts/export/[0-9]*.json"))
        and process.poll() is None
    ):
        try:
            process.wait(timeout=0.002)
        except subprocess.TimeoutExpired:
            continue
    assert process.poll() is None, "it was to be killed before it ended"
    process.kill()
    process.communicate()
    assert not list((tmp_path / "killed").glob("export-text-*/manifest.json"))
    again = export(out, tmp_path / "killed", *options)
    assert contents(again) == contents(export(out, tmp_path / "whole", *options))


# ---- refused before any work


def test_a_column_that_is_not_there_is_refused_before_a_run_is_begun(out, tmp_path, capsys):
    assert cli.run(words(out, tmp_path, 'export_text.columns=["text","absent"]')) == 2
    assert "documents have no such column" in capsys.readouterr().err
    assert not list(tmp_path.glob("export-text-*"))


def test_a_column_named_twice_is_refused():
    with pytest.raises(ValueError, match="name each column once"):
        ExportTextConfig(columns=("text", "id", "id"))


def test_a_run_of_another_step_is_refused(out, tmp_path, capsys):
    annotated = str(find_latest(out, "annotate").path)
    assert cli.run(["export-text", "--in", annotated, "--out", str(tmp_path)]) == 2
    assert "a run of `decide` is needed here" in capsys.readouterr().err


# ---- types


def test_lists_hold_what_json_can_hold():
    columns = {
        "h": pa.array([[2**64 - 1, None], None], pa.list_(pa.uint64())),
        "n": pa.array([[float("inf"), 0.5], []], pa.list_(pa.float32())),
        "l": pa.array([[[1], None], [[]]], pa.list_(pa.list_(pa.uint64()))),
        "s": pa.array([["a"], []]),
    }
    rows = [
        json.loads(line)
        for line in format_json_lines(pa.RecordBatch.from_pydict(columns)).splitlines()
    ]
    assert rows == [
        {"h": ["f" * 16, None], "n": [None, 0.5], "l": [["0" * 15 + "1"], None], "s": ["a"]},
        {"h": None, "n": [], "l": [[]], "s": []},
    ]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (pa.string(), {"dtype": "string"}),
        (pa.bool_(), {"dtype": "bool"}),
        (pa.int32(), {"dtype": "int32"}),
        (pa.uint64(), {"dtype": "string"}),
        (pa.binary(16), {"dtype": "string"}),
        (pa.binary(), {"dtype": "string"}),
        (pa.float32(), {"dtype": "float32"}),
        (pa.float64(), {"dtype": "float64"}),
        (pa.timestamp("ms", tz="UTC"), {"dtype": "timestamp[ms, tz=UTC]"}),
        (pa.list_(pa.string()), {"list": "string"}),
        (pa.list_(pa.uint64()), {"list": "string"}),
        (pa.list_(pa.list_(pa.int32())), {"list": {"list": "int32"}}),
        (pa.struct([("a", pa.int64())]), {"struct": [{"name": "a", "dtype": "int64"}]}),
        (pa.list_(pa.struct([("a", pa.string())])), {"list": [{"name": "a", "dtype": "string"}]}),
    ],
    ids=str,
)
def test_a_type_is_told_as_json_holds_it(kind, told):
    assert describe_feature(kind) == told


def test_the_types_told_are_those_datasets_reads(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    schema = pa.schema(
        {
            "s": pa.string(),
            "i": pa.int64(),
            "f": pa.float32(),
            "d": pa.float64(),
            "b": pa.bool_(),
            "l": pa.list_(pa.int32()),
            "t": pa.timestamp("ms", tz="UTC"),
            "e": pa.list_(pa.struct([("x", pa.string())])),
            "c": pa.struct([("y", pa.int64())]),
            "n": pa.list_(pa.list_(pa.string())),
        }
    )
    front = json.loads(format_readme(schema).split("---\n")[1])
    read = datasets.Features._from_yaml_list(front["dataset_info"]["features"])
    assert read == datasets.Features.from_arrow_schema(schema)
