"""What the workers of annotate are, and that two threads in one process write the bytes that one worker writes."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill import cli
from gristmill.config import load
from gristmill.runs.finished import find_latest
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.readers.records import Split
from pipelines.annotate.step import choose_worker_mode
from pipelines.config import PrepareConfig

PLAIN = AnnotateConfig()


@pytest.mark.parametrize(
    ("kinds", "workers"),
    [
        (["parquet", "arrow", "lines"], "threads"),
        (["lines", "remainder"], "threads"),
        (["parquet", "warc"], "processes"),
        (["dump"], "processes"),
        ([], "threads"),
    ],
)
def test_plain_texts_are_work_for_threads_pages_and_dumps_for_processes(kinds, workers):
    plan = [Split(number, kind, f"file{number}", 0, 1) for number, kind in enumerate(kinds)]
    assert choose_worker_mode(plan, PLAIN) == workers


@pytest.mark.parametrize(
    ("chosen", "workers"),
    [
        ({"signals": {"x": "mill:x"}}, "processes"),
        ({"perplexity": {"x": {"model": "x.arpa"}}}, "processes"),
        ({"word_lists": {"x": {"path": "x.txt"}}}, "threads"),
    ],
)
def test_functions_of_the_user_and_texts_prepared_in_python_ask_for_processes(chosen, workers):
    assert (
        choose_worker_mode(
            [Split(0, "parquet", "file", 0, 1)], AnnotateConfig.model_validate(chosen)
        )
        == workers
    )


LINES = (
    "The old mill stood beside the river, and {} people came.",
    "这座老磨坊在河边，第{}个人来了。",
    "古い水車小屋は川のそばにあり、{}人が来た。",
    "โรงสีเก่าตั้งอยู่ริมแม่น้ำ {} คน",
    "الطاحونة القديمة بجانب النهر، جاء {} شخصًا.",
    "Die alte Mühle am Fluss: {} Leute.",
    "e\u0301{}  \r\n 7",
)


def documents(out, source, *options):
    words = [
        "annotate",
        "--in",
        str(source),
        "--out",
        str(out),
        "--set",
        "annotate.split_bytes=2000",
        *options,
    ]
    assert cli.run(words) == 0
    run = find_latest(out, "annotate")
    return {path.name: path.read_bytes() for path in run.files("documents/")}, run


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
def test_two_threads_write_the_bytes_of_one_worker_whatever_the_languages(kind, tmp_path):
    texts = [
        "\n".join([LINES[(number + line) % 7].format(number) for line in range(1 + number % 9)])
        for number in range(210)
    ]
    source = tmp_path / f"mills.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"text": texts}), source, row_group_size=30)
    else:
        source.write_bytes(
            gzip.compress(
                "".join(json.dumps({"text": text}) + "\n" for text in texts).encode(), mtime=0
            )
        )
    (tmp_path / "words.txt").write_text("mill\n磨坊\n")
    listed = ["--set", f"annotate.word_lists.mills={{path='{tmp_path / 'words.txt'}'}}"]
    one, run = documents(tmp_path / "one", source, *listed)
    two, again = documents(tmp_path / "two", source, *listed, "--workers", "2")
    assert one == two and run.id == again.id
    assert len(one) > 5 and run.counts["kept"] == 210
    langs = {
        lang for path in run.files("documents/") for lang in pq.read_table(path)["lang"].to_pylist()
    }
    assert langs >= {"en", "zh", "ja", "th", "ar", "de"}


def test_the_default_configuration_asks_for_nothing_that_threads_cannot_do(repository):
    config = load(PrepareConfig, repository / "configs" / "prepare" / "default.toml", [])
    assert choose_worker_mode([Split(0, "lines", "file", 0, 1)], config.annotate) == "threads"
