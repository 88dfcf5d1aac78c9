"""`gristmill takedown check`: look at a takedown list before a run depends on it."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from gristmill import cli
from gristmill.errors import InputError
from gristmill.rights.takedown import KINDS, Takedown, read_lines, why_never_met

LINES_SHOWN = 20
HELP = "Takedown lists: which documents must go, in every step, also when a corpus is built again."
EPILOG = """\
A list is a CSV file in UTF-8, as spreadsheets save it; give it to `prepare` and `decide` with --set decide.takedown=FILE.

Its first line is: kind,value,reason,date

kind is url (one page), domain (a host and its subdomains), author (what `gristmill pseudonym` prints) or id (of a document).

reason says why, in any words; date is when it was asked for, like 2026-11-23.

Example of a line: domain,example.org,asked by the publisher,2026-11-23
"""

FileArgument = Annotated[Path, typer.Argument(help="The CSV file.")]
CheckJsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of lines.")
]


def register(app: typer.Typer) -> None:
    """Add `takedown`."""
    group = typer.Typer(help=HELP, epilog=EPILOG, no_args_is_help=True)
    group.callback()(lambda: None)
    group.command(epilog=EPILOG)(check)
    app.add_typer(group, name="takedown")


def check(file: FileArgument, as_json: CheckJsonOption = False) -> None:
    """Check a takedown list: count its rows by kind, or name every line that is wrong or could never match.

    Exit code 2 where a line is wrong. Example: gristmill takedown check takedowns.csv
    """
    rows, problems = examine_list(file)
    if problems:
        raise _refuse_list(file, len(rows), problems)
    kinds = Counter(row.kind for row in set(rows))
    counts = {kind: kinds[kind] for kind in KINDS}
    repeated = len(rows) - sum(counts.values())
    if as_json:
        summary = {"path": str(file), "rows": len(rows), "kinds": counts, "twice": repeated}
        typer.echo(json.dumps(summary))
        return
    by_kind = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    line = f"{len(rows)} rows, all well: {by_kind}"
    if repeated:
        line += f"; {repeated} appear twice"
    typer.echo(line)
    if not rows:
        cli.say("the list is empty: it takes nothing down")


def _refuse_list(file: Path, good_rows: int, problems: dict[int, str]) -> InputError:
    """Return the error that names the wrong lines, the first of them one by one."""
    where: dict[str, object] = {"file": file}
    for line in list(problems)[:LINES_SHOWN]:
        where[f"line {line}"] = problems[line]
    if len(problems) > LINES_SHOWN:
        where["and"] = f"{len(problems) - LINES_SHOWN} lines more"
    return InputError(
        f"{len(problems)} of {good_rows + len(problems)} rows of this takedown list are wrong",
        where,
        "mend these lines; `gristmill takedown --help` shows the format",
    )


def examine_list(file: Path) -> tuple[list[Takedown], dict[int, str]]:
    """Return the good rows of a list, and what is wrong by line number.

    Raises InputError where the file is not a list at all.
    """
    rows: list[Takedown] = []
    problems: dict[int, str] = {}
    for line, row in read_lines(file):
        if isinstance(row, InputError):
            value = f" ({row.where['given']})" if "given" in row.where else ""
            problems[line] = f"{row.what}{value}"
            continue
        idle = why_never_met(row)
        if idle:
            problems[line] = idle
        else:
            rows.append(row)
    return rows, problems
