"""`gristmill card`: README.md and croissant.json of a run that is to be published."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from gristmill import cli, storage
from gristmill.errors import RunError, UserError
from gristmill.sealed import TELEMETRY, FinishedRun, open_run

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A pack or export-text run.")]
AuditOption = Annotated[
    list[Path] | None, typer.Option("--audit", help="An audit run of this corpus, for its biases; repeatable.")
]
FolderOption = Annotated[Path | None, typer.Option("--out", help="The folder to write; default card-<run>.")]


def register(app: typer.Typer) -> None:
    """Add `card`."""
    app.command()(card)


def card(
    run: RunArgument, audit: AuditOption = None, out: FolderOption = None, as_json: cli.JsonOption = False
) -> None:
    """Write the data card of a run: README.md for people and the Hub, croissant.json for machines, nothing left to fill in.

    Sources, licences, languages, what was dropped and why, personal data, rights, biases: from manifests, ledgers, data and audits.

    Examples: gristmill card runs/pack-e41a0c7d9f52; gristmill card runs/pack-e41a0c7d9f52 --audit runs/audit-3afee7c26b36 --out data
    """
    sealed, audits = open_published(run), [open_run(path, step="audit") for path in audit or ()]
    folder = out or Path(f"card-{sealed.id}")
    if folder.exists() and not folder.is_dir():
        raise UserError("a card is a folder of two files", {"out": folder}, "give the name of a folder")
    files = write(sealed, audits, folder)
    cli.say(f"card  {', '.join(map(str, files))}")
    typer.echo(json.dumps({"path": str(folder), "files": list(map(str, files))}) if as_json else folder)


def open_published(path: Path) -> FinishedRun:
    """The run that a card is asked for; raises RunError for one whose data are not published."""
    from gristmill.card.content import STEPS

    run = open_run(path)
    if run.step not in STEPS:
        raise RunError(
            "a card is of data that are published", {"run": path, "is a run of": run.step},
            f"give a run of {' or '.join(STEPS)}",
        )  # fmt: skip
    return run


def write(run: FinishedRun, audits: list[FinishedRun], folder: Path) -> list[Path]:
    """Write both files; equal runs (and times of sealing) give equal bytes."""
    from gristmill.card.content import gather
    from gristmill.card.croissant import croissant
    from gristmill.card.markdown import readme

    made = gather(run, audits, folder)
    told = json.dumps(croissant(made, sealed_on(run)), indent=1, ensure_ascii=False) + "\n"
    contents = {folder / "README.md": readme(made), folder / "croissant.json": told}
    for path, content in contents.items():
        storage.commit_bytes(path, content.encode())
    return list(contents)


def sealed_on(run: FinishedRun) -> str | None:
    """The day on which a run was sealed, in UTC; None where the run was copied without its telemetry."""
    place = run.path / TELEMETRY
    return time.strftime("%Y-%m-%d", time.gmtime(storage.read_json(place)["sealed"])) if place.is_file() else None
