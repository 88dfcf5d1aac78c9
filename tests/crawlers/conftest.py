"""Fixtures of the crawling tests: saved pages, a running demo site, the command in a process of its own, one finished demo crawl."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawlers.demo_site import DemoSite
from gristmill.runs import FinishedRun, open_run

PAGES = Path(__file__).parent / "pages"
COMMAND = "import typer\nfrom gristmill import cli\nfrom crawlers import commands\napp = typer.Typer()\ncommands.register(app)\ncli.build_app = lambda: app\ncli.main()"
"""The command line with this room only: other rooms' imports would slow every test down."""


@pytest.fixture(scope="session")
def saved() -> Callable[[str], bytes]:
    """The bytes of a saved page."""
    return lambda name: (PAGES / name).read_bytes()


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    """A demo site of the test module's own."""
    with DemoSite() as running:
        yield running


@pytest.fixture(scope="session")
def environment(repository: Path) -> dict[str, str]:
    """The environment of a child process that imports this checkout."""
    return {**os.environ, "PYTHONPATH": str(repository)}


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The command's name, for tests that watch the process themselves."""
    return [sys.executable, "-c", COMMAND]


@pytest.fixture(scope="session")
def gristmill(
    repository: Path, environment: dict[str, str], command: list[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command to its end; Twisted's reactor starts once per process, so crawls need one of their own."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=repository,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def demo_crawl(
    gristmill: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> FinishedRun:
    """One finished crawl of the demo site, shared by all tests that only read it."""
    done = gristmill("crawl", "--config", "configs/crawl/demo.toml", "--out", tmp_path_factory.mktemp("runs"))
    assert done.returncode == 0, done.stderr
    return open_run(done.stdout.strip().splitlines()[-1], step="crawl")
