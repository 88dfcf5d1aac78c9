"""`gristmill card`: README.md and croissant.json of a run that is to be published."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gristmill import cli
from gristmill.errors import RunError
from gristmill.formatting import format_list
from gristmill.runs import storage
from gristmill.runs.finished import TELEMETRY, FinishedRun, open_run
from reports.card.about import About
from reports.card.checks import CROISSANT, README, audits_of, check_place, check_sealed

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A pack or export-text run.")]
AuditOption = Annotated[
    list[Path] | None,
    typer.Option("--audit", help="An audit run of this corpus, for its biases; repeatable."),
]
TitleOption = Annotated[
    str | None, typer.Option("--title", help="What the corpus is called; default the run's id.")
]
CreatorOption = Annotated[str | None, typer.Option("--creator", help="Who made it.")]
ContactOption = Annotated[
    str | None,
    typer.Option(
        "--contact", help="An e-mail address or a page for questions; default the crawl's."
    ),
]
VersionOption = Annotated[
    str | None, typer.Option("--version", help="Its version, MAJOR.MINOR.PATCH.")
]
FolderOption = Annotated[
    Path | None, typer.Option("--out", help="The folder to write; default card-<run>.")
]


def register(app: typer.Typer) -> None:
    """Add `card`."""
    app.command()(card)


def card(
    run: RunArgument,
    audit: AuditOption = None,
    out: FolderOption = None,
    title: TitleOption = None,
    creator: CreatorOption = None,
    contact: ContactOption = None,
    version: VersionOption = None,
    as_json: cli.JsonOption = False,
) -> None:
    """Write the data card of a run: README.md for people and the Hub, croissant.json for machines.

    Sources, licences, languages, what was dropped and why, personal data, rights, biases: from manifests, ledgers, data and audits.
    Every file of the run is compared with its SHA-256 first.

    Examples: gristmill card runs/pack-e41a0c7d9f52;
    gristmill card runs/pack-e41a0c7d9f52 --audit runs/audit-3afee7c26b36 --title "Mill tales" --creator "The mill" --out data
    """
    about = About(title, creator, contact, version)
    about.check()
    sealed, audits = open_published(run), [open_run(path, step="audit") for path in audit or ()]
    folder = out or Path(f"card-{sealed.id}")
    files = write(sealed, audits, folder, about)
    cli.say(f"card  {', '.join(map(str, files))}")
    typer.echo(
        json.dumps({"path": str(folder), "files": list(map(str, files))}) if as_json else folder
    )


def open_published(path: Path) -> FinishedRun:
    """The run that a card is asked for; raises RunError for one whose data are not published."""
    from reports.card.content import STEPS

    run = open_run(path)
    if run.step not in STEPS:
        raise RunError(
            "a card is of data that are published",
            {"run": path, "is a run of": run.step},
            f"give a run of {' or '.join(STEPS)}",
        )
    return run


def write(
    run: FinishedRun, audits: list[FinishedRun], folder: Path, about: About | None = None
) -> list[Path]:
    """Write both files; equal runs (and times of sealing) give equal bytes. A card that told of other audits is replaced, aloud."""
    from reports.card.content import gather
    from reports.card.croissant import croissant
    from reports.card.markdown import readme

    check_place(run, folder)
    check_sealed(run)
    made, before = gather(run, audits, folder, about), audits_of(folder)
    told = json.dumps(croissant(made, sealed_on(run)), indent=1, ensure_ascii=False) + "\n"
    contents = {folder / README: readme(made), folder / CROISSANT: told}
    for path, content in contents.items():
        storage.commit_bytes(path, content.encode())
    if before is not None and set(before) != {one.id for one in audits}:
        cli.say(
            f"card  replaces a card with {_named(before)} by one with {_named([one.id for one in audits])}"
        )
    return list(contents)


def _named(audits: Sequence[str]) -> str:
    """audit A and B, or no audit."""
    return format_list(list(audits), most=9) or "no audit"


def sealed_on(run: FinishedRun) -> str | None:
    """The day on which a run was sealed, in UTC; None where the run was copied without its telemetry."""
    place = run.path / TELEMETRY
    return (
        time.strftime("%Y-%m-%d", time.gmtime(storage.read_json(place)["sealed"]))
        if place.is_file()
        else None
    )
