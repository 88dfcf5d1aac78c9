"""`gristmill takedown check`: whether a takedown list will do what its author means, told before a run depends on it."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from gristmill import cli
from gristmill.errors import InputError
from gristmill.rights.takedown import KINDS, Takedown, read_lines, why_never_met

SHOWN = 20
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
    rows, wrong = examine_list(file)
    if wrong:
        more = {"and": f"{len(wrong) - SHOWN} lines more"} if len(wrong) > SHOWN else {}
        raise InputError(
            f"{len(wrong)} of {len(rows) + len(wrong)} rows of this takedown list are wrong",
            {
                "file": file,
                **{f"line {line}": what for line, what in list(wrong.items())[:SHOWN]},
                **more,
            },
            "mend these lines; `gristmill takedown --help` shows the format",
        )
    kinds = Counter(row.kind for row in set(rows))
    counts = {kind: kinds[kind] for kind in KINDS}
    twice = len(rows) - sum(counts.values())
    if as_json:
        typer.echo(
            json.dumps({"path": str(file), "rows": len(rows), "kinds": counts, "twice": twice})
        )
        return
    told = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    typer.echo(
        f"{len(rows)} rows, all well: {told}{f'; {twice} stand there twice' if twice else ''}"
    )
    if not rows:
        cli.say("the list is empty: it takes nothing down")


def examine_list(file: Path) -> tuple[list[Takedown], dict[int, str]]:
    """The good rows of a list, and what is wrong by line; raises InputError where the file is no list at all."""
    rows: list[Takedown] = []
    wrong: dict[int, str] = {}
    for line, row in read_lines(file):
        if isinstance(row, InputError):
            wrong[line] = f"{row.what} ({row.where['given']})" if "given" in row.where else row.what
        elif problem := why_never_met(row):
            wrong[line] = problem
        else:
            rows.append(row)
    return rows, wrong
