"""What is looked at before a card is written: the files it describes, and what lies where it goes."""

import re
from collections.abc import Iterator
from pathlib import Path

from gristmill.errors import InputError, RunError, UserError
from gristmill.hashing import sha256_file
from gristmill.progress import Progress
from gristmill.runs import storage
from gristmill.runs.finished import REDO, FinishedRun
from reports.shards.checks import Fault, sealed_faults

README, CROISSANT = "README.md", "croissant.json"
MOST = 5
"""Damaged files that a message names."""


def check_sealed(run: FinishedRun) -> None:
    """Raise RunError unless all files of a run have the size and SHA-256 that were sealed; sizes first, as they cost nothing."""
    found = list(size_faults(run)) or list(content_faults(run))
    if found:
        where = {fault.file: fault.what for fault in found[:MOST]}
        more = {"and": f"{len(found) - MOST} more files"} if len(found) > MOST else {}
        raise RunError(
            "a card is of data as they were sealed, and these are not",
            {"run": run.path, **where, **more},
            REDO,
        )


def size_faults(run: FinishedRun) -> Iterator[Fault]:
    """Files that are missing, or longer or shorter than sealed."""
    for known in run.data_files():
        path = run.path / known.path
        if not path.is_file():
            yield Fault(known.path, "there is no such file")
        elif (size := path.stat().st_size) != known.bytes:
            yield Fault(known.path, f"it has {size} bytes, and {known.bytes} were sealed")


def content_faults(run: FinishedRun) -> Iterator[Fault]:
    """Files with another content than was sealed."""
    files = run.data_files()
    with Progress("card", total=sum(file.bytes for file in files) / 1e6, unit="MB checked") as bar:
        for known in files:
            yield from sealed_faults(run, known)
            bar.advance(known.bytes / 1e6)


def check_place(run: FinishedRun, folder: Path) -> None:
    """Raise UserError where writing would replace what is no card of this run."""
    if folder.exists() and not folder.is_dir():
        raise UserError(
            "a card is a folder of two files", {"out": folder}, "give the name of a folder"
        )
    sealed = run.data_files(README)
    if sealed and folder.exists() and folder.samefile(run.path):
        raise UserError(
            "the run has a sealed README.md, which the card would replace",
            {"out": folder},
            "copy the run, and give --out the copy",
        )
    page, other = folder / README, card_of(folder)
    if other not in (None, run.id):
        raise UserError(
            "another card lies there",
            {"out": folder, "it is of": other or "no run of ours"},
            "give another folder with --out",
        )
    ours = other is not None or (
        sealed and page.is_file() and sha256_file(page) == sealed[0].sha256
    )
    if page.exists() and not ours:
        raise UserError(
            "another README.md lies there",
            {"file": page},
            "give another folder with --out, or remove it",
        )


def card_of(folder: Path) -> str | None:
    """The run that the card in a folder is of; None where there is no card, and empty where the file is none of ours."""
    if not (folder / CROISSANT).is_file():
        return None
    try:
        cited = str(storage.read_json(folder / CROISSANT)["citeAs"])
    except (InputError, KeyError, TypeError):
        return ""
    return cited.partition(", made by Gristmill")[0]


def audits_of(folder: Path) -> tuple[str, ...] | None:
    """The audits that the card in a folder tells of; None where there is no card."""
    if not (folder / CROISSANT).is_file() or not (folder / README).is_file():
        return None
    lines = (folder / README).read_text(encoding="utf-8").splitlines()
    row = next((line for line in lines if line.startswith("| audit |")), "")
    return tuple(re.findall(r"audit-[0-9a-f]{12}", row))
