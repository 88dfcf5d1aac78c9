"""`gristmill quarantine`: totals first, then every record that could not be read, with its file, offset and error."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reports_only import only_reports

from gristmill import cli
from gristmill.config import Config
from gristmill.runs.run import start_run
from reports.run_tools import quarantine


class Settings(Config):
    """A small step's configuration."""


SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("compressed_offset", pa.int64()),
        ("reason", pa.string()),
        ("error", pa.string()),
    ]
)


def record(number, reason="bad_json", error="Expecting value", compressed=-1, file="a.jsonl"):
    return {
        "file": file,
        "offset": number,
        "compressed_offset": compressed,
        "reason": reason,
        "error": error,
    }


def sealed(tmp_path, *parts, step="annotate", counts=None):
    """A run whose quarantine has these files of records; the counts follow from them."""
    with start_run(step, out=tmp_path, config=Settings()) as run:
        for number, rows in enumerate(parts):
            (run.path / "quarantine").mkdir(exist_ok=True)
            pq.write_table(
                pa.Table.from_pylist(rows, SCHEMA),
                run.path / f"quarantine/part-{number:05d}.parquet",
            )
        found = [row["reason"] for rows in parts for row in rows]
        totals = {f"quarantined:{reason}": found.count(reason) for reason in found}
        return run.finish(counts={"read": 9, "quarantined": len(found), **totals, **(counts or {})})


@pytest.fixture
def asked(monkeypatch, capsys):
    """Run `gristmill quarantine RUN ...`; returns code, stdout and stderr."""
    monkeypatch.setattr(cli, "entry_points", only_reports)

    def run(run, *more):
        code = cli.run(["quarantine", str(run.path), *more])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_totals_by_reason_come_first_the_most_frequent_before_the_others(tmp_path, asked):
    run = sealed(
        tmp_path,
        [record(7), record(9, "utf8", "byte 0xff", 3)],
        [record(1, file="b.jsonl")],
    )
    assert asked(run) == (
        0,
        f"3 records of {run.id} could not be read\n"
        "  bad_json  2\n"
        "  utf8      1\n"
        "\n"
        "bad_json  a.jsonl at 7: Expecting value\n"
        "utf8      a.jsonl at 9 (compressed 3): byte 0xff\n"
        "bad_json  b.jsonl at 1: Expecting value\n",
        "",
    )


def test_an_empty_quarantine_says_so(tmp_path, asked):
    run = sealed(tmp_path)
    assert asked(run) == (0, f"no record of {run.id} was quarantined\n", "")


def test_a_step_that_keeps_no_list_tells_its_totals_and_that(tmp_path, asked):
    run = sealed(tmp_path, step="crawl", counts={"quarantined": 2, "quarantined:http_500": 2})
    code, out, _ = asked(run)
    assert code == 0
    assert out.splitlines()[1:] == [
        "  http_500  2",
        "",
        "`crawl` keeps no list of them, only these totals",
    ]


@pytest.mark.parametrize(
    ("limit", "shown", "left"), [(1, 1, 6), (6, 6, 1), (7, 7, 0), (8, 7, 0), (0, 7, 0)]
)
def test_the_limit_goes_over_all_files_and_what_is_left_out_is_counted(
    tmp_path, asked, limit, shown, left
):
    run = sealed(tmp_path, [record(n) for n in range(4)], [record(n) for n in range(4, 7)])
    lines = asked(run, "--limit", str(limit))[1].splitlines()
    assert [line.split(" at ")[1].split(":")[0] for line in lines if " at " in line] == [
        str(n) for n in range(shown)
    ]
    assert lines[-1].startswith(f"... and {left} more") == bool(left)


def test_twenty_records_are_shown_where_no_limit_is_given(tmp_path, asked):
    lines = asked(sealed(tmp_path, [record(n) for n in range(30)]))[1].splitlines()
    assert (sum(" at " in line for line in lines), lines[-1]) == (
        20,
        "... and 10 more: --limit 0 shows all",
    )


def test_one_reason_shows_its_records_and_counts_what_is_left_of_it_alone(tmp_path, asked):
    run = sealed(tmp_path, [record(n, "utf8" if n % 3 else "bad_json") for n in range(9)])
    lines = asked(run, "--reason", "bad_json", "--limit", "2")[1].splitlines()
    assert lines[-3:] == [
        "bad_json  a.jsonl at 0: Expecting value",
        "bad_json  a.jsonl at 3: Expecting value",
        "... and 1 more: --limit 0 shows all",
    ]


@pytest.mark.parametrize(
    ("rows", "fix"), [([record(1)], "choose one of bad_json"), ([], "leave --reason out")]
)
def test_a_reason_that_does_not_occur_is_the_users_error_and_names_those_that_do(
    tmp_path, asked, rows, fix
):
    code, out, err = asked(sealed(tmp_path, *([rows] if rows else [])), "--reason", "utf8")
    assert (code, out) == (2, "")
    assert "no record of this run was quarantined for this reason\n  given   utf8\n" in err
    assert f"to fix  {fix}" in err


def test_json_is_one_object_with_totals_and_the_records_as_they_are(tmp_path, asked):
    rows = [record(7), record(9, "utf8", "坏 \x1b[31m", 3)]
    run = sealed(tmp_path, rows)
    code, out, err = asked(run, "--json", "--limit", "0")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == {
        "path": str(run.path),
        "quarantined": 2,
        "reasons": {"bad_json": 1, "utf8": 1},
        "records": rows,
    }
    assert (
        json.loads(asked(run, "--json", "--limit", "1", "--reason", "utf8")[1])["records"]
        == rows[1:]
    )


def test_what_a_record_quotes_cannot_steer_the_terminal_or_add_lines(tmp_path, asked):
    run = sealed(
        tmp_path,
        [record(1, error="\x1b[2Jgone\nbad_json  b at 2: forged\r[red]中文", file="a\u202eb")],
    )
    (line,) = [line for line in asked(run)[1].splitlines() if " at " in line]
    assert line == "bad_json  a b at 1:  [2Jgone bad_json  b at 2: forged [red]中文"


def test_a_quarantine_file_that_was_cut_is_refused(tmp_path, asked):
    run = sealed(tmp_path, [record(1)])
    (run.path / "quarantine/part-00000.parquet").write_bytes(b"PAR1")
    code, _, err = asked(run)
    assert (code, "a file of this run is missing or cut" in err) == (2, True)


def test_an_unfinished_run_is_refused(tmp_path, asked):
    with start_run("annotate", out=tmp_path, config=Settings()) as run:
        pass
    code, _, err = asked(run)
    assert (code, "this run is unfinished" in err) == (2, True)


def test_records_are_read_only_as_far_as_they_are_shown(tmp_path, asked, monkeypatch):
    run = sealed(tmp_path, [record(1)], [record(2)])
    opened = []
    whole = quarantine.pq.ParquetFile
    monkeypatch.setattr(
        quarantine.pq, "ParquetFile", lambda path: (opened.append(path.name), whole(path))[1]
    )
    asked(run, "--limit", "1")
    assert opened == ["part-00000.parquet"]
