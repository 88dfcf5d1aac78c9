"""`gristmill takedown check`: every wrong line is told at once, and rows that could never match are wrong."""

import json

import pytest
from reports_only import only_reports

from gristmill import cli
from gristmill.rights.takedown import KINDS, read_takedowns

ID, AUTHOR = "0123456789abcdef0123456789abcdef", "f" * 32
GOOD = [
    f"id,{ID},asked by the author,2026-11-23",
    f"author,{AUTHOR},asked by the author,2026-11-23",
    "url,https://example.org/a,asked by the publisher,2026-11-23",
    "domain,例子.cn,出版者要求删除,2026-11-23",
    'domain,example.org,"asked, twice",2026-11-23',
]


@pytest.fixture
def check(monkeypatch, capsys, tmp_path):
    """Check a list of these rows; returns code, stdout and stderr."""
    monkeypatch.setattr(cli, "entry_points", only_reports)

    def run(rows, *more, header="kind,value,reason,date"):
        path = tmp_path / "takedowns.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        code = cli.run(["takedown", "check", str(path), *more])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_good_list_is_counted_by_kind(check):
    assert check(GOOD) == (0, "5 rows, all well: 1 id, 1 url, 2 domain, 1 author\n", "")


def test_a_row_that_stands_twice_in_another_spelling_is_counted_once_and_told(check):
    again = ["url,HTTP://Example.org/a/,asked by the publisher,2026-11-23"]
    assert (
        check(GOOD + again)[1]
        == "6 rows, all well: 1 id, 1 url, 2 domain, 1 author; 1 appear twice\n"
    )


def test_json_is_one_object(check, tmp_path):
    code, out, err = check(GOOD, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == {
        "path": str(tmp_path / "takedowns.csv"),
        "rows": 5,
        "twice": 0,
        "kinds": {"id": 1, "url": 1, "domain": 2, "author": 1},
    }


def test_an_empty_list_is_no_error_but_is_told(check):
    code, out, err = check([])
    assert (code, out) == (0, "0 rows, all well: 0 id, 0 url, 0 domain, 0 author\n")
    assert err == "the list is empty: it takes nothing down\n"


def test_all_wrong_lines_are_told_at_once_with_their_numbers_and_what_stands_there(check, tmp_path):
    rows = [
        GOOD[0],
        "name,x,asked,2026-11-23",
        "id,short,asked,2026-11-23",
        "",
        "url,https://example.org,asked,23.11.2026",
        "domain,https://example.org/,asked,2026-11-23",
        "domain,example.org,asked",
        "author,Ann Example,asked,2026-11-23",
    ]
    code, out, err = check(rows)
    assert (code, out) == (2, "")
    told = {
        line.strip().split("  ", 1)[0]: line.strip().split("  ", 1)[1].strip()
        for line in err.splitlines()[1:]
    }
    assert err.startswith("error: 6 of 7 rows of this takedown list are wrong\n")
    assert told == {
        "file": str(tmp_path / "takedowns.csv"),
        "line 3": f"a takedown needs a kind of {', '.join(KINDS)}, a value and a reason (name,x,asked,2026-11-23)",
        "line 4": "an id has 32 hex digits in lower case, as documents carry it (short)",
        "line 6": "a takedown's date must look like 2026-11-23 (23.11.2026)",
        "line 7": "this domain could never match a host: 'https://example.org/' (https://example.org/)",
        "line 8": "a takedown row must have four fields (domain,example.org,asked)",
        "line 9": "documents carry pseudonyms: give what `gristmill pseudonym Ann Example` prints",
        "to fix": "mend these lines; `gristmill takedown --help` shows the format",
    }


def test_a_long_list_of_wrong_lines_is_cut_and_says_how_many_more(check):
    err = check([f"name,{n},asked,2026-11-23" for n in range(30)])[2]
    assert err.startswith("error: 30 of 30 rows")
    assert (err.count("\n  line "), "and      10 lines more" in err) == (20, True)


@pytest.mark.parametrize("header", ["value,kind,reason,date", "kind;value;reason;date", ""])
def test_what_is_no_list_at_all_is_refused_with_the_header_it_needs(check, header):
    code, _, err = check(GOOD, header=header)
    assert code == 2
    assert err.endswith("to fix  its first line must be kind,value,reason,date\n")


def test_a_list_that_is_not_there_is_the_users_error(check, tmp_path, capsys):
    assert cli.run(["takedown", "check", str(tmp_path / "none.csv")]) == 2
    assert "there is no such file" in capsys.readouterr().err


@pytest.mark.parametrize("row", GOOD)
def test_what_the_check_accepts_a_step_reads(check, tmp_path, row):
    assert check([row])[0] == 0
    assert len(read_takedowns(tmp_path / "takedowns.csv")) == 1


@pytest.mark.parametrize("arguments", [["takedown", "--help"], ["takedown", "check", "--help"]])
def test_the_help_shows_the_format_and_its_example_is_valid(check, capsys, monkeypatch, arguments):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.run(arguments) == 0
    out = capsys.readouterr().out
    assert "kind,value,reason,date" in out
    assert all(f"{kind} (" in out for kind in KINDS)
    example = out.split("Example of a line: ")[1].splitlines()[0].strip()
    assert check([example])[:2] == (0, "1 rows, all well: 0 id, 0 url, 1 domain, 0 author\n")
