"""`gristmill card`: README.md and croissant.json of a pack run."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from gristmill import cli, storage
from gristmill.sealed import TELEMETRY, FinishedRun, open_run

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A pack run.")]
AuditOption = Annotated[Path | None, typer.Option("--audit", help="An audit run of this corpus, for its biases.")]
FolderOption = Annotated[Path | None, typer.Option("--out", help="The folder to write; default card-<run>.")]


def register(app: typer.Typer) -> None:
    """Add `card`."""
    app.command()(card)


def card(run: RunArgument, audit: AuditOption = None, out: FolderOption = None) -> None:
    """Write the data card of a pack run: README.md for people and the Hub, croissant.json for machines, nothing left to fill in.

    Sources, licences, languages, what was dropped and why, personal data, rights, biases: from manifests, ledgers and the audit.

    Examples: gristmill card runs/pack-e41a0c7d9f52; gristmill card runs/pack-e41a0c7d9f52 --audit runs/audit-3afee7c26b36 --out data
    """
    sealed = open_run(run, step="pack")
    folder = out or Path(f"card-{sealed.id}")
    write(sealed, open_run(audit, step="audit") if audit else None, folder)
    cli.say(f"card  {folder / 'README.md'}, {folder / 'croissant.json'}")
    typer.echo(folder)


def write(run: FinishedRun, audit: FinishedRun | None, folder: Path) -> None:
    """Write both files."""
    from gristmill.card.content import card_of
    from gristmill.card.croissant import croissant
    from gristmill.card.markdown import readme
    from gristmill.report.collect import collect

    made = card_of(run, collect([run, *([audit] if audit else [])], folder / "README.md"))
    storage.commit_bytes(folder / "README.md", readme(made).encode())
    told = json.dumps(croissant(made, sealed_on(run)), indent=1, ensure_ascii=False)
    storage.commit_bytes(folder / "croissant.json", told.encode())


def sealed_on(run: FinishedRun) -> str:
    """The day on which a run was sealed, in UTC."""
    stamp = storage.read_json(run.path / TELEMETRY)["sealed"]
    return time.strftime("%Y-%m-%d", time.gmtime(stamp))
