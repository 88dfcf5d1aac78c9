"""Kernels are compiled once on a machine: the mark that says so, and that nothing is left for a run to compile."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import compiling
from pipelines.compiling import is_compiled


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_an_empty_folder_holds_nothing_compiled_and_the_mark_of_these_kernels_says_that_all_is(
    folder,
):
    assert not is_compiled()
    compiling._mark().touch()
    assert is_compiled()


@pytest.mark.parametrize("place", ["kernel", "processor", "numba"])
def test_other_kernels_processors_and_versions_have_a_mark_of_their_own(
    place, folder, monkeypatch, tmp_path
):
    compiling._mark().touch()
    if place == "kernel":
        monkeypatch.setattr(compiling, "kernels_digest", lambda _: "0" * 12)
    elif place == "processor":
        monkeypatch.setattr(compiling.llvmlite.binding, "get_host_cpu_name", lambda: "abacus")
    else:
        monkeypatch.setattr(compiling, "version", lambda _: "9.9")
    assert not is_compiled()


def test_where_all_is_compiled_a_run_says_nothing_and_starts_no_process(
    folder, monkeypatch, capsys
):
    compiling._mark().touch()
    monkeypatch.setattr(
        compiling.subprocess, "run", lambda *_, **__: pytest.fail("a process was started")
    )
    compiling.compile_first("annotate")
    assert capsys.readouterr().err == ""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", "from gristmill.cli import main; main()", *words],
        env=env,
        capture_output=True,
        text=True,
        cwd=folder,
    )


def compiled(folder: Path) -> dict[str, int]:
    """Every file of compiled code with its size: an index grows when another form of a kernel is compiled."""
    return {str(path): path.stat().st_size for path in (folder / "cache").rglob("*.nb*")}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_after_compiling_no_run_compiles_anything_whatever_it_reads(tmp_path, shared_data):
    (tmp_path / "cache").mkdir()
    first = run(tmp_path, "compile")
    assert (first.returncode, first.stdout.strip()) == (0, str(tmp_path / "cache")), first.stderr
    made = compiled(tmp_path)
    assert len(made) > 50
    assert "compiled before" in run(tmp_path, "compile").stderr
    texts = [
        "The mill is old. " * 9,
        "老磨坊在河边。" * 9,
        "โรงสีเก่า " * 9,
        "古い水車小屋。" * 9,
        "كلمة عاد؟ " * 9,
        "x",
        "e\u0301",
    ]
    (tmp_path / "words.txt").write_text("mill\n老\n")
    (tmp_path / "texts.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts)
    )
    inputs = [tmp_path / "texts.jsonl", shared_data / "corpus" / "web_ud_ewt_en.parquet"]
    for number, source in enumerate(inputs):
        done = run(
            tmp_path,
            "annotate",
            "--in",
            str(source),
            "--out",
            f"runs{number}",
            "--workers",
            "2",
            "--set",
            'annotate.word_lists.rude={path="words.txt"}',
        )
        assert done.returncode == 0, done.stderr
        assert "compiling" not in done.stderr
    assert compiled(tmp_path) == made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_run_on_a_machine_says_that_it_compiles(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": "The mill is old."}) + "\n")
    done = run(tmp_path, "annotate", "--in", "texts.jsonl", "--out", "runs")
    assert done.returncode == 0, done.stderr
    assert "annotate  compiling kernels, once on this machine" in done.stderr
    assert "compiled before" in run(tmp_path, "compile").stderr


def test_every_sample_can_be_cut_and_encoded():
    compiling._compile_encoding(compiling.pa.array([text for _, text in compiling.SAMPLES]))
