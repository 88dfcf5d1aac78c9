"""`decide` as a user runs it, with all it can look for: the same bytes however it is run, and after a kill at any job."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import processes
import pyarrow.parquet as pq
import pytest

from gristmill import cli
from gristmill.runs.finished import FinishedRun, find_latest, list_runs, manifest_digest
from pipelines.contract import FIXED_REASONS

ENGLISH = "the old mill by river had not turned its wheel green moss new owner spring baker bread village stone".split()
CHINESE = "老磨坊在河边转动水轮绿色青苔新主人春天面包村庄石头昨天晚上孩子们先生城市时间故事"
MENU = "Home | About the mill | Contact the miller | Imprint of this page"
SPAN = " ".join(f"{word}{number}" for number, word in enumerate(ENGLISH * 4))

ASKED = [
    "--set",
    "decide.preset=none",
    "--set",
    "decide.repeated.documents=5",
    "--set",
    "decide.repeated.span_words=50",
]
SMALL = ["--memory", "200"]
"""So little that components are found by rounds of stars."""


def text(number: int) -> str:
    rng = random.Random(number)
    if number % 3 == 2:
        return "。".join("".join(rng.choices(CHINESE, k=14)) for _ in range(12)) + "。"
    return ". ".join(" ".join(rng.choices(ENGLISH, k=9)) + str(rng.random()) for _ in range(9))


def records() -> list[dict[str, str]]:
    """60 texts: 10 with a menu, two with a passage in common, then copies of some: exact, near, and of one address."""
    made = [
        {"id": f"d{n}", "text": text(n), "url": f"https://mill.example/{n}", "source": "mill"}
        for n in range(60)
    ]
    for record in made[10:20]:
        record["text"] = f"{MENU}\n\n{record['text']}"
    for record in made[30:32]:
        record["text"] += f"\n\n{SPAN}."
    exact = [{**made[n], "id": f"exact{n}", "url": f"https://copy.example/{n}"} for n in (0, 2, 4)]
    near = [
        {**made[n], "id": f"near{n}", "url": "", "text": made[n]["text"] + " 完 end."}
        for n in (0, 5)
    ]
    words = made[40]["text"].split()
    url = [
        {
            **made[40],
            "id": "url40",
            "text": " ".join([*words[: len(words) * 2 // 3], *text(400).split()[:30]]),
        }
    ]
    return made + exact + near + url


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The annotate run of the records, in several shards."""
    folder = tmp_path_factory.mktemp("annotated")
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records())
    (folder / "mill.jsonl").write_text(lines, encoding="utf-8")
    given = ["annotate", "--in", str(folder / "mill.jsonl"), "--out", str(folder / "runs")]
    assert cli.run([*given, "--set", "annotate.split_bytes=8000"]) == 0
    [run] = list_runs(folder / "runs")
    assert len(run.files("documents/")) > 4
    return run.path


@pytest.fixture(scope="module")
def decided(annotated: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Decided by one worker in this process, by one union-find."""
    out = tmp_path_factory.mktemp("decided")
    assert cli.run(["decide", "--in", str(annotated), "--out", str(out), *ASKED]) == 0
    [run] = list_runs(out)
    return run


def spawn(annotated: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        "from gristmill.cli import main; main()",
        "decide",
        "--in",
        str(annotated),
    ]
    streams = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    return processes.Popen([*command, "--out", str(out), *ASKED, *options], text=True, **streams)


def finish(process: subprocess.Popen[str]) -> str:
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return err


def contents(out: Path) -> dict[str, str]:
    [run] = list_runs(out)
    assert run.verify() == []
    return {"manifest": manifest_digest(run)} | {
        file.path: file.sha256 for file in run.data_files()
    }


def expected(decided: FinishedRun) -> dict[str, str]:
    return contents(decided.path.parent)


def rows(decided: FinishedRun, annotated: Path) -> dict[str, dict[str, object]]:
    """Every decision by the id that the record came with."""
    made = [row for path in decided.files("decisions/") for row in pq.read_table(path).to_pylist()]
    return {record["id"]: row for record, row in zip(records(), made, strict=True)}


def test_every_kind_of_copy_has_its_reason_and_names_a_document_that_is_kept(decided, annotated):
    found = rows(decided, annotated)
    told = {
        name: {FIXED_REASONS[bit] for bit in range(7) if row["reasons"] >> bit & 1}
        for name, row in found.items()
    }
    copies = {name for name, reasons in told.items() if reasons}
    assert len(copies) == 6, "one of a pair each, whichever has the smaller id"
    assert sum("exact_duplicate" in told[name] for name in copies) == 3
    assert any("url_duplicate" in told[name] for name in ("d40", "url40"))
    ids = pq.read_table(annotated / "documents", columns=["id"])["id"].to_pylist()
    kept = {id for id, row in zip(ids, found.values(), strict=True) if row["keep"]}
    assert {found[name]["kept_id"] for name in copies} <= kept
    assert {found[name]["cluster_size"] for name in ("d0", "exact0", "near0")} == {3}


def test_menus_go_from_every_page_and_a_passage_from_its_second_place(decided, annotated):
    found = rows(decided, annotated)
    cut = {
        name: [cut["reason"] for cut in row["cuts"]] for name, row in found.items() if row["cuts"]
    }
    assert {name for name, reasons in cut.items() if "repeated_line" in reasons} == {
        f"d{n}" for n in range(10, 20)
    }
    assert len([name for name, reasons in cut.items() if reasons == ["repeated_span"]]) == 1
    assert set(decided.details["repeated"]) == {
        "documents",
        "repeated_line",
        "repeated_paragraph",
        "repeated_span",
    }
    assert decided.details["repeated"]["documents"] == 11


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--workers", "2"), marks=pytest.mark.slow),
        pytest.param(SMALL, marks=pytest.mark.slow),
        ("--workers", "2", *SMALL),
        pytest.param(
            (
                "--runner",
                "PortableRunner",
                "--",
                "--job_endpoint=embed",
                "--environment_type=LOOPBACK",
            ),
            marks=pytest.mark.slow,
        ),
        (
            *SMALL,
            "--runner",
            "PortableRunner",
            "--",
            "--job_endpoint=embed",
            "--environment_type=LOOPBACK",
        ),
    ],
    ids=["two workers", "rounds", "two workers, rounds", "job server", "job server, rounds"],
)
def test_no_byte_depends_on_workers_memory_or_runner(annotated, decided, tmp_path, options):
    told = finish(spawn(annotated, tmp_path, *options))
    assert (
        "repeated text is cut out of 11 documents: repeated_line 670 bytes, repeated_span 548 bytes"
        in told
    )
    assert contents(tmp_path) == expected(decided)


def test_no_byte_depends_on_whether_workers_are_threads_or_processes(annotated, decided, tmp_path):
    program = (
        "from pipelines.decide import jobs; run = jobs.engine.run_pipeline;"
        "jobs.engine.run_pipeline = lambda *a, mode, **k: run(*a, mode='processes', **k);"
        "from gristmill.cli import main; main()"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "decide",
        "--in",
        str(annotated),
        "--out",
        str(tmp_path),
        *ASKED,
    ]
    done = processes.run([*command, "--workers", "2"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == expected(decided)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_same_documents_have_the_same_verdicts_in_whatever_order_and_shards_they_come(
    annotated, decided, tmp_path, seed
):
    """Copies, survivors, similarities and cuts; a cluster's label names a place, and so is another."""
    made = records()
    random.Random(seed).shuffle(made)
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in made]
    for name, some in (("a", lines[:7]), ("b", lines[7:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(some), encoding="utf-8")
    inputs = ["--in", str(tmp_path / "b.jsonl"), "--in", str(tmp_path / "a.jsonl")]
    out = ["--out", str(tmp_path / "runs")]
    assert cli.run(["annotate", *inputs, *out, "--set", f"annotate.split_bytes={9000 * seed}"]) == 0
    assert cli.run(["decide", *out, *ASKED]) == 0
    run = find_latest(tmp_path / "runs", "decide")
    assert by_id(run, find_latest(tmp_path / "runs", "annotate").path) == by_id(decided, annotated)


def by_id(run: FinishedRun, annotated: Path) -> dict[str, dict[str, object]]:
    ids = [
        id
        for path in sorted((annotated / "documents").iterdir())
        for id in pq.read_table(path, columns=["id"])["id"].to_pylist()
    ]
    made = [
        row
        for path in run.files("decisions/")
        for row in pq.read_table(path).drop_columns(["cluster"]).to_pylist()
    ]
    return dict(zip(ids, made, strict=True))


KILL_AT = [
    *("edges-of-*", "settle"),
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "spans",
            "keys",
            "stars-1-of-*",
            "stars-1-of-*-check",
            "units",
            "fingerprints",
            "decide",
        )
    ),
]
"""The stages at the first receipt of which a run is killed."""


def wait_for(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Wait until `reached` or the process ended; waits on the process, so nothing sleeps."""
    while not reached() and process.poll() is None:
        try:
            process.wait(timeout=0.002)
        except subprocess.TimeoutExpired:
            continue


@pytest.mark.parametrize("stage", KILL_AT)
def test_killed_at_any_job_and_run_again_the_bytes_are_those_of_an_undisturbed_run(
    annotated, decided, tmp_path, stage
):
    process = spawn(annotated, tmp_path, *SMALL)
    wait_for(process, lambda: any(tmp_path.glob(f"decide-*/receipts/{stage}/[0-9]*.json")))
    assert process.poll() is None, "it was to be killed before it ended"
    process.kill()
    process.communicate()
    finish(spawn(annotated, tmp_path, *SMALL))
    assert contents(tmp_path) == expected(decided)
    assert not list(tmp_path.rglob("spill")) and not list(tmp_path.rglob(".part-*"))


def test_a_run_killed_with_little_memory_goes_on_with_much(annotated, decided, tmp_path):
    process = spawn(annotated, tmp_path, *SMALL)
    wait_for(process, lambda: any(tmp_path.glob("decide-*/receipts/stars-1-of-*/[0-9]*.json")))
    process.kill()
    process.communicate()
    finish(spawn(annotated, tmp_path, "--workers", "2"))
    assert contents(tmp_path) == expected(decided)


def test_a_full_disk_is_said_and_the_same_command_continues(annotated, decided, tmp_path):
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY));"
        "from gristmill.cli import main; main()"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "decide",
        "--in",
        str(annotated),
        "--out",
        str(tmp_path),
        *ASKED,
    ]
    full = processes.run(command, capture_output=True, text=True, timeout=240)
    assert full.returncode == 2 and "the disk is full" in full.stderr, full.stderr
    assert list_runs(tmp_path) == []
    finish(spawn(annotated, tmp_path))
    assert contents(tmp_path) == expected(decided)
