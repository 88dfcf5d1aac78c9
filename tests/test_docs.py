"""What the documents say is true: commands exist, the tree is there, links lead somewhere, the command surface is known."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from gristmill.cli import build_app

DOCUMENTS = [
    "README.md",
    "README.zh-CN.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/decisions/README.md",
]
FENCE = re.compile(r"```sh\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)\)")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files_that_are_there(repository: Path, name: str) -> None:
    place = repository / name
    for target in LINK.findall(place.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (place.parent / target).exists(), f"{name} links to {target}"


def test_the_tree_in_the_readmes_is_the_tree(repository: Path) -> None:
    folders = {
        path.name
        for path in repository.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    }
    ignored = {"runs", "state", "build", "dist"} | {
        name for name in folders if name.endswith(".egg-info") or name == "__pycache__"
    }
    for name in ("README.md", "README.zh-CN.md"):
        text = (repository / name).read_text(encoding="utf-8")
        told = set(re.findall(r"^([a-z_]+)/ {2,}", text, re.MULTILINE))
        assert told == folders - ignored, name


def commands() -> dict[str, typer.models.CommandInfo]:
    click_app = typer.main.get_command(build_app())
    found = {}

    def walk(command: object, path: tuple[str, ...]) -> None:
        children = getattr(command, "commands", None)
        if children:
            for name, child in children.items():
                walk(child, (*path, name))
        else:
            found[" ".join(path)] = command

    walk(click_app, ())
    return found  # type: ignore[return-value]


def options(command: object) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"])
def test_commands_in_the_documents_exist_with_their_options(repository: Path, name: str) -> None:
    text = (repository / name).read_text(encoding="utf-8")
    known = commands()
    lines = [
        line for block in FENCE.findall(text) for line in block.splitlines() if "gristmill " in line
    ]
    for line in lines:
        words = line.split("gristmill ", 1)[1].split()
        verb = next(words[:n] for n in (2, 1) if " ".join(words[:n]) in known)
        given = {word for word in words if word.startswith("--")}
        assert given <= options(known[" ".join(verb)]), line
        for place in re.findall(r"configs/[\w/.-]+", line):
            assert (repository / place).is_file(), line


def test_make_targets_in_the_documents_exist(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for name in DOCUMENTS:
        text = (repository / name).read_text(encoding="utf-8")
        told = set(re.findall(r"`make ([a-z-]+)", text)) | set(
            re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
        )
        assert told <= targets, name


def test_the_command_surface_is_the_one_checked_in(repository: Path) -> None:
    """Adding or removing a command or an option is a decision: it changes this file by hand."""
    lines = [
        f"{name}: {' '.join(sorted(options(command)))}"
        for name, command in sorted(commands().items())
    ]
    checked_in = (repository / "tests/command_surface.txt").read_text(encoding="utf-8").splitlines()
    assert lines == checked_in


def test_every_command_has_a_help_text_with_an_example_of_its_use() -> None:
    for name, command in commands().items():
        help_text = command.help or ""
        assert len(help_text) > 20, name
        assert "gristmill" in help_text, f"{name} has no example"


def test_help_needs_neither_torch_nor_beam_nor_scrapy() -> None:
    program = (
        "import sys; from gristmill.cli import run; run(['--help']);"
        "print([name for name in ('torch', 'apache_beam', 'scrapy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_decision_record_is_listed(repository: Path) -> None:
    folder = repository / "docs/decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for path in folder.glob("0*.md"):
        assert f"({path.name})" in listed, path.name
